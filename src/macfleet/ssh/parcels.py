"""Files of this machine as parcels for nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from macfleet.engine.transfer import Parcel

_PIECE = 256 * 1024


def file_parcel(path: Path, sha256: str = "") -> Parcel:
    """Return a file as a parcel.

    Args:
        path: of this machine; must not change until it is delivered, or the nodes refuse it.
        sha256: when it is known; else the file is read once for it.

    Raises:
        OSError: the file cannot be read.
    """
    if not sha256:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def opened(offset: int) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    return Parcel(path.stat().st_size, sha256, opened)
