"""A single-platform image as one tar stream that `docker load` takes, built from verified blobs.

The tar is an OCI layout, which engines with the containerd store read, and carries besides the
``manifest.json`` of `docker save`, which classic stores read. Nothing in it varies with time or machine.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator

from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.reference import Reference
from macfleet.registry import failures
from macfleet.registry.manifest import Index, Manifest
from macfleet.registry.resolver import RegistryResolver

_BLOCK = 512
_END = bytes(2 * _BLOCK)


class OciSources:
    """Opens ``oci:REFERENCE|PLATFORM|NAME`` for `Stream` steps (port `Sources`).

    REFERENCE is pinned by digest; NAME is what the engine calls the image after the load, a reference
    with a tag for classic stores, or the pinned reference for containerd stores.
    """

    def __init__(self, resolver: RegistryResolver) -> None:
        self._resolver = resolver

    def open(self, source: str) -> Iterator[bytes]:
        """Yield the bytes of a tar for `docker load`; the last piece of a blob comes after its proof.

        Raises:
            MacfleetError: E0610 the source is not understood, and everything `RegistryResolver.resolve` says.
        """
        scheme, _, rest = source.partition(":")
        parts = rest.split("|")
        if scheme != "oci" or len(parts) != 3 or not all(parts):
            raise failures.not_a_source(source)
        reference, platform, name = parts
        pinned = _parsed(reference)
        if pinned is None or not pinned.is_pinned or _parsed(name) is None:
            raise failures.not_a_source(source)
        image = self._resolver.resolve(reference, platform)
        yield from archive(self._resolver, image, name)


def archive(resolver: RegistryResolver, image: ResolvedImage, name: str) -> Iterator[bytes]:
    """Yield the tar of a resolved image under `name` ; raises as soon as a blob is not genuine."""
    reference = Reference.parse(image.repository)
    manifest_bytes, manifest = resolver.document(reference, image.manifest)
    if isinstance(manifest, Index):
        raise failures.malformed(image.pinned, "it is an index, not one platform's manifest")
    config = resolver.blob(reference, manifest.config)
    yield from _file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    yield from _file("index.json", _index(image, name, manifest, len(manifest_bytes)))
    yield from _file("manifest.json", _docker_manifest(name, manifest))
    yield from _file(_path(image.manifest), manifest_bytes)
    yield from _file(_path(manifest.config.digest), config)
    sent: set[str] = set()
    for layer in manifest.layers:
        if layer.digest not in sent:  # an image may hold one layer twice; a tar must not
            sent.add(layer.digest)
            yield _header(_path(layer.digest), layer.size)
            yield from verified(_layer(resolver, reference, layer), layer)
            yield _padding(layer.size)
    yield _END


def verified(chunks: Iterable[bytes], blob: Blob) -> Iterator[bytes]:
    """Pass chunks on, holding each one back until the next, so that the last comes only after the proof.

    Raises:
        MacfleetError: E0604, size or digest are not the blob's; at most `blob.size` bytes were passed on.
    """
    digest = hashlib.sha256()
    size = 0
    held = b""
    for chunk in chunks:
        size += len(chunk)
        if size > blob.size:
            raise failures.not_genuine(blob.digest, f"more than the promised {blob.size} bytes came")
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    found = f"sha256:{digest.hexdigest()}"
    if size != blob.size or found != blob.digest:
        raise failures.not_genuine(blob.digest, f"{size} of {blob.size} bytes came, with digest {found}")
    yield held


def _parsed(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except ValueError:
        return None


def _layer(resolver: RegistryResolver, reference: Reference, layer: Blob) -> Iterator[bytes]:
    return resolver.wire.stream(reference.registry, reference.path, f"blobs/{layer.digest}")


def _index(image: ResolvedImage, name: str, manifest: Manifest, size: int) -> bytes:
    os, architecture, *variant = image.platform.split("/")
    platform = {"os": os, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
    tag = Reference.parse(name).tag
    notes = {"io.containerd.image.name": name} | ({"org.opencontainers.image.ref.name": tag} if tag else {})
    entry = {
        "mediaType": manifest.media_type,
        "digest": image.manifest,
        "size": size,
        "platform": platform,
        "annotations": notes,
    }
    return _json({"schemaVersion": 2, "manifests": [entry]})


def _docker_manifest(name: str, manifest: Manifest) -> bytes:
    tagged = [name] if "@" not in name else []
    layers = [_path(layer.digest) for layer in manifest.layers]
    return _json([{"Config": _path(manifest.config.digest), "RepoTags": tagged, "Layers": layers}])


def _file(path: str, data: bytes) -> Iterator[bytes]:
    yield _header(path, len(data))
    yield data
    yield _padding(len(data))


def _header(path: str, size: int) -> bytes:
    entry = tarfile.TarInfo(path)
    entry.size = size
    entry.mode = 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
