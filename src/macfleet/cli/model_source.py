"""Model files to look into, on this machine and on a node; only the asked ranges are read."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from macfleet.model.ports import Transport
from macfleet.model.shell import quote

_BLOCK = 2**20
_DEADLINE = 60.0


class DiskModel:
    """A file of this machine (port `ModelSource` of the core); raises OSError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset`, fewer at the file's end."""
        self._file.seek(offset)
        return self._file.read(count)


class NodeModel:
    """A file of a node, fetched in pieces of 1 MiB, the last one kept; one exec a piece.

    Raises:
        OSError: it is not there or cannot be read.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport = transport
        self._path = quote(path)
        self._start = 0
        self._block = b""
        self.size = self._measure(path)

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset`, fewer at the file's end."""
        end = min(offset + count, self.size)
        if offset < self._start or end > self._start + len(self._block):
            self._start = offset
            wanted = min(max(count, _BLOCK), self.size - offset)
            self._block = self._run(f"tail -c +{offset + 1} {self._path} | head -c {wanted}")
            if len(self._block) != wanted:
                raise OSError(5, f"{len(self._block)} of {wanted} bytes came")
        return self._block[offset - self._start : end - self._start]

    def _measure(self, path: str) -> int:
        printed = self._run(f"[ -f {self._path} ] && wc -c <{self._path}").strip()
        if not printed.isdigit():
            raise OSError(2, "No such file", path)
        return int(printed)

    def _run(self, script: str) -> bytes:
        return self._transport.run(script, deadline=_DEADLINE).stdout
