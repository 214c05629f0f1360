"""Digests, durability and read-only folders."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def digest_of(file: Path) -> str:
    """Return a file's SHA-256 as hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> tuple[str, ...]:
    """Return the paths of all regular files below a folder, relative to it, sorted."""
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))


def sync(path: Path) -> None:
    """Make a file's content, or a folder's list of names, survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_read_only(folder: Path) -> None:
    """Take the write permission from everything below a folder and from the folder itself."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
