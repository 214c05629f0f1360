"""Images made from layers and put into a registry over HTTP: no builder, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_EPOCH = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed layer on disk: digest of the file, digest of the tar in it, size of the file in bytes."""

    path: Path
    digest: str
    diff_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Blob:
    """A small document and its digest."""

    content: bytes
    digest: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Image:
    """One platform's image: layers, configuration and manifest."""

    layers: tuple[Layer, ...]
    config: Blob
    manifest: Blob
    architecture: str


def pack_layer(tar: Path, cache: Path) -> Layer:
    """Return the gzip form of a tar file; the cache keeps it by the name of the tar."""
    packed, record = cache / f"{tar.stem}.tar.gz", cache / f"{tar.stem}.layer.json"
    if not (packed.exists() and record.exists()):
        handle, name = tempfile.mkstemp(dir=cache, suffix=".new")
        os.close(handle)
        fresh = Path(name)
        with tar.open("rb") as source, fresh.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as out:
            shutil.copyfileobj(source, out, 1 << 20)
        digests = {"digest": _sha256(fresh), "diff_id": _sha256(tar)}
        fresh.replace(packed)
        fresh.write_text(json.dumps(digests))
        fresh.replace(record)
    digests = json.loads(record.read_text())
    return Layer(packed, str(digests["digest"]), str(digests["diff_id"]), packed.stat().st_size)


def tree_layer(name: str, files: Mapping[str, Path | bytes], cache: Path) -> Layer:
    """Return a layer of `files` (path in the image → content), the same bytes for the same content."""
    # A folder of its own: another lab may come up at the same time and pack the same layer.
    with tempfile.TemporaryDirectory(dir=cache) as apart:
        tar = Path(apart) / f"{name}.tar"
        with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as archive:
            for place, source in sorted(files.items()):
                content = source if isinstance(source, bytes) else source.read_bytes()
                member = tarfile.TarInfo(place.lstrip("/"))
                member.size, member.mode, member.mtime = len(content), 0o755, 0
                archive.addfile(member, io.BytesIO(content))
        return pack_layer(tar, cache)


def make_image(layers: Iterable[Layer], architecture: str, config: Mapping[str, object]) -> Image:
    """Return an image of these layers; `config` is the runtime part (Entrypoint, Env, Labels, …)."""
    stack = tuple(layers)
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]},
        "history": [{"created": _EPOCH, "created_by": "macfleet lab"} for _ in stack],
    }
    config_blob = _blob(document, _CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(config_blob),
        "layers": [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size} for layer in stack],
    }
    return Image(stack, config_blob, _blob(manifest, _MANIFEST), architecture)


def make_index(images: Iterable[Image]) -> Blob:
    """Return the index over one image a platform."""
    entries = [
        {**_descriptor(image.manifest), "platform": {"os": "linux", "architecture": image.architecture}}
        for image in images
    ]
    return _blob({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}, _INDEX)


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry over plain HTTP; `address` is host:port."""

    address: str

    def push_image(self, repository: str, image: Image, tags: Iterable[str] = ()) -> None:
        """Upload what the registry lacks of an image and tag its manifest."""
        with self._client() as client:
            for layer in image.layers:
                self._push_blob(client, repository, layer.digest, layer.path)
            self._push_blob(client, repository, image.config.digest, image.config.content)
            self._push_manifest(client, repository, image.manifest, tags)

    def push_index(self, repository: str, index: Blob, tags: Iterable[str]) -> None:
        """Upload an index whose manifests are there, and tag it."""
        with self._client() as client:
            self._push_manifest(client, repository, index, tags)

    def has(self, repository: str, reference: str) -> bool:
        """Whether the registry answers and holds this manifest."""
        try:
            with self._client() as client:
                answer = client.head(
                    f"/v2/{repository}/manifests/{reference}", headers={"Accept": f"{_INDEX}, {_MANIFEST}"}
                )
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def answers(self) -> bool:
        """Whether the registry answers at all."""
        try:
            with httpx.Client(base_url=f"http://{self.address}", timeout=2, trust_env=False) as client:
                return client.get("/v2/").status_code == 200
        except httpx.HTTPError:
            return False

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.address}", timeout=120, trust_env=False)

    def _push_blob(self, client: httpx.Client, repository: str, digest: str, content: Path | bytes) -> None:
        if client.head(f"/v2/{repository}/blobs/{digest}").status_code == 200:
            return
        begun = client.post(f"/v2/{repository}/blobs/uploads/")
        _expect(begun, 202)
        place = httpx.URL(begun.headers["Location"])
        body = content if isinstance(content, bytes) else content.read_bytes()
        put = client.put(
            place.copy_merge_params({"digest": digest}),
            content=body,
            headers={"Content-Type": "application/octet-stream"},
        )
        _expect(put, 201)

    def _push_manifest(
        self, client: httpx.Client, repository: str, manifest: Blob, tags: Iterable[str]
    ) -> None:
        for reference in [manifest.digest, *tags]:
            put = client.put(
                f"/v2/{repository}/manifests/{reference}",
                content=manifest.content,
                headers={"Content-Type": manifest.media_type},
            )
            _expect(put, 201)


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise MacfleetError(
            Diagnostic(
                "E0930",
                f"the lab's registry answered {answer.status_code} to {answer.request.method}",
                why=answer.text[:400],
                mend="macfleet lab down, then macfleet lab up",
                exit_code=ExitCode.INTERNAL,
            )
        )


def _descriptor(blob: Blob) -> dict[str, object]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": len(blob.content)}


def _blob(document: Mapping[str, object], media_type: str) -> Blob:
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return Blob(content, f"sha256:{hashlib.sha256(content).hexdigest()}", media_type)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
