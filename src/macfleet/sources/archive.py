"""The load client as one file that runs anywhere: its source, the model, and libraries by platform."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from macfleet.sources.wheels import LockedWheel, ensure_wheels, read_lock

CACHE_VARIABLE = "MACFLEET_CACHE"

# What changes when the layout of the archive changes, so that caches do not serve the old one.
_LAYOUT = "1"
_PACKAGES = ("loadgen", "model")
# Sources of the compiled modules and build notes; licences stay.
_LEFT_OUT = (".pyx", ".pxd", ".pyi", ".c", "RECORD", "WHEEL", "top_level.txt", "METADATA")


@dataclass(frozen=True, slots=True)
class Archive:
    """A built archive.

    Attributes:
        path: the ``.tar.gz``.
        digest: hex SHA-256 of the tar inside it: independent of the compressor, so that every machine
            that builds from the same inputs names it the same.
    """

    path: Path
    digest: str


def ensure_archive(cache: Path | None = None) -> Archive:
    """Return the archive of this installation, building it only when its inputs changed.

    Args:
        cache: folder for wheels and archives; the default is ``$MACFLEET_CACHE``, else
            ``~/.cache/macfleet``.

    Raises:
        MacfleetError: a wheel cannot be had (E0908).
    """
    folder = cache or default_cache()
    key = hashlib.sha256(_LAYOUT.encode())
    for name, content in sorted(_sources().items()):
        key.update(f"{name}\0{len(content)}\0".encode() + content)
    key.update(_lock_text().encode())
    target = folder / "loadgen" / f"{key.hexdigest()}.tar.gz"
    if not target.is_file():
        ensure_wheels(locked_wheels(), folder / "wheels")
        return build_archive(folder / "wheels", target)
    with gzip.open(target) as tar:
        return Archive(target, hashlib.file_digest(tar, "sha256").hexdigest())


def build_archive(wheel_dir: Path, target: Path) -> Archive:
    """Write the archive to `target` from verified wheels in `wheel_dir`; equal inputs give equal tars."""
    tar = _tar(_sources() | dict(_libraries(wheel_dir)))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=".building-")
    with os.fdopen(handle, "wb") as out:
        out.write(gzip.compress(tar, mtime=0))
    Path(scratch).replace(target)
    return Archive(target, hashlib.sha256(tar).hexdigest())


def locked_wheels() -> tuple[LockedWheel, ...]:
    """Return the wheels the archive carries."""
    return read_lock(_lock_text())


def default_cache() -> Path:
    """Return the folder that may be thrown away at any time."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "macfleet"


def _lock_text() -> str:
    return (files("macfleet.loadgen") / "wheels.lock").read_text(encoding="utf-8")


def _sources() -> dict[str, bytes]:
    root = Path(str(files("macfleet")))
    found = {"macfleet/__init__.py": (root / "__init__.py").read_bytes()}
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            found[f"macfleet/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    found["run.py"] = found["macfleet/loadgen/entry.py"]
    return found


def _libraries(wheel_dir: Path) -> Iterator[tuple[str, bytes]]:
    for wheel in locked_wheels():
        with zipfile.ZipFile(wheel_dir / wheel.name) as packed:
            for name in packed.namelist():
                if not name.endswith(("/", *_LEFT_OUT)):
                    yield f"lib/{wheel.python}-{wheel.system}/{name}", packed.read(name)


def _tar(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            # A fresh TarInfo has owner 0, no names and mtime 0: nothing of this machine gets in.
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(members[name]), 0o644
            tar.addfile(entry, io.BytesIO(members[name]))
    return out.getvalue()
