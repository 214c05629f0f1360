"""Looks into the layers of an image while they stream from the registry; what was found is kept by digest."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from macfleet.facts.image_contents import (
    LayerContents,
    Program,
    installed_packages,
    is_package_database,
    program_architecture,
    samples_of,
    weights_kind,
)
from macfleet.facts.model_bytes import shown
from macfleet.facts.scan_packages import SYSTEM_FILES, Package, system_of
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import Blob, ResolvedImage
from macfleet.model.quantity import show_bytes
from macfleet.model.reference import Reference
from macfleet.registry import failures
from macfleet.registry.proof import verified
from macfleet.registry.resolver import RegistryResolver

_HEAD = 4096
_DATABASE_LIMIT = 64 * 2**20
_FILES_LIMIT = 2_000_000
_UNPACKED_LIMIT = 256 * 2**30
_PIECE = 256 * 1024


class Reports(Protocol):
    """Keeps what was found in layers."""

    def of(self, digest: str) -> LayerContents | None:
        """Return a layer's report, None where there is none."""

    def keep(self, report: LayerContents) -> None:
        """Keep a report."""


class LayerInspector:
    """Reports what layers hold; each is read once, ever, since its digest says what it is."""

    def __init__(self, resolver: RegistryResolver, reports: Reports) -> None:
        self._resolver = resolver
        self._reports = reports

    def contents(self, image: ResolvedImage) -> tuple[LayerContents, ...]:
        """Return what each layer of a resolved image holds, in order.

        Raises:
            MacfleetError: E0604 a layer is not what its digest says, E0670 it cannot be looked into, E0675
                it does not say what each layer unpacks to, and what the registry says.
        """
        if len(image.layers) != len(image.diff_ids):
            raise MacfleetError(_unpaired(image))
        repository = Reference.parse(image.repository)
        pairs = zip(image.layers, image.diff_ids, strict=True)
        return tuple(self._layer(repository, layer, diff_id) for layer, diff_id in pairs)

    def _layer(self, repository: Reference, layer: Blob, diff_id: str) -> LayerContents:
        if (known := self._reports.of(layer.digest)) is not None:
            return known
        chunks = self._resolver.layer(repository, layer)
        found = inspect_layer(verified(chunks, layer), layer, diff_id)
        self._reports.keep(found)
        return found


def inspect_layer(chunks: Iterable[bytes], layer: Blob, diff_id: str) -> LayerContents:
    """Return what a layer holds; reads all of it, once, and keeps a few KB.

    Raises:
        MacfleetError: E0604 unpacked it is not `diff_id`, E0670 it is no gzip or plain tar; whatever `chunks`
            raises.
    """
    plain = _Unpacked(chunks, layer)
    found = _Found()
    try:
        with tarfile.open(fileobj=plain, mode="r|", bufsize=_PIECE) as archive:
            for member in archive:
                if member.isreg():
                    found.take(archive, member)
                if found.files > _FILES_LIMIT:
                    raise _not_read(layer, f"it has more than {_FILES_LIMIT} files")
    except (tarfile.TarError, zlib.error, EOFError, UnicodeError, ValueError, OverflowError) as error:
        raise _not_read(layer, str(error)) from error
    unpacked = plain.finish()
    if unpacked != diff_id:
        raise failures.not_genuine(layer.digest, f"unpacked it has digest {unpacked}, not {diff_id}")
    return found.settled(layer.digest)


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    files: int = 0
    size: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    packages: dict[str, int] = field(default_factory=dict)
    installed: dict[str, tuple[Package, ...]] = field(default_factory=dict)
    system: str = ""

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Look at one regular file."""
        self.files += 1
        self.size += member.size
        path = member.name.removeprefix("./").lstrip("/")
        content = archive.extractfile(member)
        if content is None:
            return
        head = content.read(_HEAD)
        if architecture := program_architecture(head):
            self.counts[architecture] = self.counts.get(architecture, 0) + 1
            self.programs = list(samples_of([*self.programs, Program(path, architecture)]))
        if kind := weights_kind(head, member.size):
            self.weights.append(f"{shown(path)} ({kind}, {show_bytes(member.size)})")
        if is_package_database(path) and member.size <= _DATABASE_LIMIT:
            counted = installed_packages(path, head + content.read())
            if counted is not None:
                self.packages[counted[0]] = self.packages.get(counted[0], 0) + len(counted[1])
                self.installed[path] = counted[1]
        if path in SYSTEM_FILES:
            self.system = system_of(head) or self.system

    def settled(self, digest: str) -> LayerContents:
        """Return the report."""
        return LayerContents(
            digest,
            self.files,
            self.size,
            self.counts,
            tuple(self.programs),
            tuple(self.weights[:20]),
            self.packages,
            self.installed,
            self.system,
        )


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a layer as a stream; its digest is taken on the way."""

    def __init__(self, chunks: Iterable[bytes], layer: Blob) -> None:
        self._layer = layer
        self._pieces = self._unpack(chunks)
        self._left = b""
        self._digest = hashlib.sha256()
        self._count = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, less only at the end."""
        parts = [self._left]
        have = len(self._left)
        for piece in self._pieces if have < size else ():
            parts.append(piece)
            have += len(piece)
            if have >= size:
                break
        joined = b"".join(parts)
        self._left = joined[size:]
        return joined[:size]

    def finish(self) -> str:
        """Read what follows the tar's end, so that every byte is proven, and return the digest of all."""
        for _ in self._pieces:
            pass
        return f"sha256:{self._digest.hexdigest()}"

    def _unpack(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for piece in _plain(chunks, self._layer):
            self._count += len(piece)
            if self._count > _UNPACKED_LIMIT:
                raise _not_read(self._layer, f"unpacked it has more than {show_bytes(_UNPACKED_LIMIT)}")
            self._digest.update(piece)
            yield piece


def _plain(chunks: Iterable[bytes], layer: Blob) -> Iterator[bytes]:
    """Unpack gzip, also of several members, in small pieces; pass a plain tar on."""
    rest = iter(chunks)
    first = b""
    while len(first) < 4 and (chunk := next(rest, b"")):
        first += chunk
    if first[:4] == b"\x28\xb5\x2f\xfd":
        raise _not_read(layer, "it is packed with zstd, which is not unpacked here")
    if first[:2] != b"\x1f\x8b":
        yield from chain((first,), rest)
        return
    unpacker = zlib.decompressobj(wbits=31)
    for chunk in chain((first,), rest):
        data = chunk
        while data:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=31)
            yield unpacker.decompress(data, _PIECE)
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    while not unpacker.eof:
        if not (piece := unpacker.decompress(b"", _PIECE)):
            raise _not_read(layer, "it ends amid a packed block")
        yield piece


def _unpaired(image: ResolvedImage) -> Diagnostic:
    return Diagnostic(
        "E0675",
        f"{image.repository}@{image.manifest[:19]} has {len(image.layers)} layers and names what "
        f"{len(image.diff_ids)} of them unpack to",
        why="A layer is believed only when it unpacks to what the image's config says.",
        mend="If a lock was edited, write it anew: macfleet image pin",
        exit_code=ExitCode.HELD,
    )


def _not_read(layer: Blob, why: str) -> MacfleetError:
    return MacfleetError(
        Diagnostic(
            "E0670",
            f"layer {layer.digest[:19]} cannot be looked into: {why}",
            why="What an image carries is known only once every layer is unpacked.",
            mend="Build the image with gzip layers (compression=gzip), then: macfleet image pin",
            exit_code=ExitCode.HELD,
        )
    )
