"""A single-platform image as one tar stream that `docker load` takes, built from verified blobs.

The tar is an OCI layout, which engines with the containerd store read, and carries besides the
``manifest.json`` of `docker save`, which classic stores read. Nothing in it varies with time or machine.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence

from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.ports import Part
from macfleet.model.reference import Reference
from macfleet.registry import failures
from macfleet.registry.cache import BlobCache
from macfleet.registry.manifest import Index, Manifest
from macfleet.registry.proof import verified
from macfleet.registry.resolver import RegistryResolver

_BLOCK = 512
_END = bytes(2 * _BLOCK)


class OciSources:
    """Opens ``oci:REFERENCE|PLATFORM|NAME`` for `Stream` and `Assemble` steps (port `Sources`).

    With a cache each layer is read from its registry once, however many nodes get it. REFERENCE is pinned by
    digest; NAME is what the engine calls the image after the load, a reference with a tag for classic
    stores, or the pinned reference for containerd stores.
    """

    def __init__(self, resolver: RegistryResolver, cache: BlobCache | None = None) -> None:
        self._resolver = resolver
        self._cache = cache

    def open(self, source: str) -> Iterator[bytes]:
        """Yield the bytes of a tar for `docker load`; the last piece of a blob comes after its proof.

        Raises:
            MacfleetError: E0610 the source is not understood, and everything `RegistryResolver.resolve` says.
        """
        image, name = self._resolved(source)
        yield from archive(self._resolver, image, name)

    def parts(self, source: str) -> tuple[Part, ...]:
        """Return the frame (everything but layers, as a tar) and the layers, each once, in the image's order.

        Raises:
            MacfleetError: as `open`; reading a layer raises E0604 where it is not genuine.
        """
        image, name = self._resolved(source)
        reference = Reference.parse(image.repository)
        pieces, layers = _frame(self._resolver, image, name)
        frame = b"".join([*pieces, _END])
        digest = hashlib.sha256(frame).hexdigest()
        blobs = tuple({layer.digest: layer for layer in layers}.values())
        return (
            Part(f"frame-{digest}", len(frame), digest, lambda offset: [frame[offset:]]),
            *(self._part(reference, blob) for blob in blobs),
        )

    def _part(self, reference: Reference, blob: Blob) -> Part:
        digest = blob.digest.removeprefix("sha256:")

        def opened(offset: int) -> Iterator[bytes]:
            if self._cache is not None:
                yield from self._cache.read(blob, lambda: _layer(self._resolver, reference, blob), offset)
                return
            yield from _after(verified(_layer(self._resolver, reference, blob), blob), offset)

        return Part(f"sha256-{digest}", blob.size, digest, opened)

    def _resolved(self, source: str) -> tuple[ResolvedImage, str]:
        scheme, _, rest = source.partition(":")
        parts = rest.split("|")
        if scheme != "oci" or len(parts) != 3 or not all(parts):
            raise failures.not_a_source(source)
        reference, platform, name = parts
        pinned = _parsed(reference)
        if pinned is None or not pinned.is_pinned or _parsed(name) is None:
            raise failures.not_a_source(source)
        return self._resolver.resolve(reference, platform), name


def archive(resolver: RegistryResolver, image: ResolvedImage, name: str) -> Iterator[bytes]:
    """Yield the tar of a resolved image under `name` ; raises as soon as a blob is not genuine."""
    reference = Reference.parse(image.repository)
    pieces, layers = _frame(resolver, image, name)
    yield from pieces
    sent: set[str] = set()
    for layer in layers:
        if layer.digest not in sent:  # an image may hold one layer twice; a tar must not
            sent.add(layer.digest)
            yield _header(_path(layer.digest), layer.size)
            yield from verified(_layer(resolver, reference, layer), layer)
            yield _padding(layer.size)
    yield _END


def _frame(resolver: RegistryResolver, image: ResolvedImage, name: str) -> tuple[list[bytes], Sequence[Blob]]:
    """Return everything of the tar that is not a layer, and the layers."""
    reference = Reference.parse(image.repository)
    manifest_bytes, manifest = resolver.document(reference, image.manifest)
    if isinstance(manifest, Index):
        raise failures.malformed(image.pinned, "it is an index, not one platform's manifest")
    config = resolver.blob(reference, manifest.config)
    files = (
        ("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
        ("index.json", _index(image, name, manifest, len(manifest_bytes))),
        ("manifest.json", _docker_manifest(name, manifest)),
        (_path(image.manifest), manifest_bytes),
        (_path(manifest.config.digest), config),
    )
    return [piece for path, data in files for piece in _file(path, data)], manifest.layers


def _after(chunks: Iterable[bytes], offset: int) -> Iterator[bytes]:
    for chunk in chunks:
        if offset < len(chunk):
            yield chunk[offset:]
        offset = max(0, offset - len(chunk))


def _parsed(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except ValueError:
        return None


def _layer(resolver: RegistryResolver, reference: Reference, layer: Blob) -> Iterator[bytes]:
    return resolver.layer(reference, layer)


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
