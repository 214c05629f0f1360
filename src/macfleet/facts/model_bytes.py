"""Bytes of a model file that nobody trusts yet, read from the start and never more than is asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

HEADER_LIMIT = 64 * 2**20
"""Bytes a header may have; those of the largest vocabularies need a quarter of it."""
BEYOND = "goes on behind the first"
_WINDOW = 64 * 1024
_LENGTH = struct.Struct("<Q")


class ModelFileRefused(ValueError):
    """The file must not be given to an engine; the message says why, one line without a full stop."""


class HeaderBeyond(ModelFileRefused):
    """The header goes on behind the bytes that can be read here; it may be sound, but it is not proven."""


class ModelSource(Protocol):
    """Random access to a model file, wherever it lies."""

    @property
    def size(self) -> int:
        """Size of the whole file in bytes."""

    def read(self, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from `offset`: fewer at the end of what can be read here."""


def shown(name: str) -> str:
    """Return a name out of a header as it may stand in a message: short, one line, nothing to obey."""
    short = name if len(name) <= 80 else f"{name[:77]}…"
    return short if short.isprintable() else ascii(short)


class PrefixSource:
    """A file of which only the first bytes were brought here.

    Args:
        prefix: the file's first bytes.
        size: size of the whole file.
    """

    def __init__(self, prefix: bytes, size: int) -> None:
        self._prefix = prefix[:size]
        self.size = size

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes of the prefix, none behind it."""
        return self._prefix[offset : offset + count]


def beyond(read: int) -> HeaderBeyond:
    """Return the refusal of a header of which only the first `read` bytes can be read here."""
    return HeaderBeyond(f"its header {BEYOND} {read} bytes, which are all that was read")


class Cursor:
    """Reads forwards through a source in small windows; every count is checked before it is believed.

    Attributes:
        position: offset of the next byte; past `HEADER_LIMIT` everything is refused.
    """

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self._window = b""
        self._start = 0
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes between here and the end of the file."""
        return self._source.size - self.position

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes; `what` names them in the refusal of a file that ends before."""
        self._claim(count, what)
        inside = self.position - self._start
        if inside < 0 or inside + count > len(self._window):
            self._window = self._source.read(self.position, max(count, min(_WINDOW, self.left)))
            self._start, inside = self.position, 0
        taken = self._window[inside : inside + count]
        if len(taken) < count:
            raise beyond(self.position + len(taken))
        self.position += count
        return taken

    def skip(self, count: int, what: str) -> None:
        """Step over `count` bytes without reading them."""
        self._claim(count, what)
        self.position += count

    def skip_strings(self, count: int, what: str) -> None:
        """Step over `count` strings, each a length of 8 bytes and as many bytes."""
        while count:
            if self.left < _LENGTH.size:
                raise ModelFileRefused(f"the file ends inside {what}")
            window = self._source.read(self.position, min(_WINDOW, self.left))
            if len(window) < _LENGTH.size:
                raise beyond(self.position + len(window))
            last, inside = len(window) - _LENGTH.size, 0
            while count and inside <= last:
                inside += _LENGTH.size + _LENGTH.unpack_from(window, inside)[0]
                count -= 1
            self._claim(inside, what)
            self.position += inside

    def pieces(self, count: int, what: str) -> Iterator[bytes]:
        """Yield the next `count` bytes in pieces of at most a window."""
        self._claim(count, what)
        while count:
            piece = self.take(min(count, _WINDOW), what)
            count -= len(piece)
            yield piece

    def number(self, size: int, what: str) -> int:
        """Return an unsigned little-endian number of `size` bytes."""
        return int.from_bytes(self.take(size, what), "little")

    def _claim(self, count: int, what: str) -> None:
        if count > self.left:
            raise ModelFileRefused(f"{what} claims {count} bytes where {self.left} are left")
        if self.position + count > HEADER_LIMIT:
            raise ModelFileRefused(f"its header is longer than {HEADER_LIMIT // 2**20} MiB with {what}")
