"""Runs the operator's vulnerability scanner over an image, on this machine, and keeps what it said."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory, TemporaryFile

from pydantic import TypeAdapter, ValidationError

from macfleet.facts.model_bytes import shown
from macfleet.facts.scan import Scanned, ScanReport
from macfleet.facts.scan_formats import EXITS, FORMATS, database_built
from macfleet.facts.scan_reading import SCAN_LIMIT, ScanRefused
from macfleet.inventory.scanner import ScannerSettings
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

_PIECE = 256 * 1024
_STATUS_SECONDS = 60.0
_SCANNED = TypeAdapter(Scanned)


class ImageScanner:
    """The scanner that `scanner:` of macfleet.yml names, once its program proved to be the pinned one.

    Args:
        root: the fleet folder: where the program starts, and which holds the image while it is scanned.

    Attributes:
        program: hex SHA-256 of the program.
        key: changes with the program, its arguments and its database; the same key finds the same.
        database: when its database was built (RFC 3339), empty where nobody knows.

    Raises:
        MacfleetError: E0732 there is no such program; E0733 it is not the pinned one; E0734 it does not tell
            of its database.
    """

    def __init__(self, settings: ScannerSettings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._path = _found(settings, root)
        self.program = _digest(self._path)
        if self.program not in settings.sha256:
            raise MacfleetError(_not_pinned(settings, self._path, self.program))
        status = self._run(settings.status, _STATUS_SECONDS, frozenset({0})) if settings.status else b""
        self.database = database_built(status)
        parts = (self.program, settings.format, *settings.command, status.hex())
        self.key = hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def scan(self, image: Iterable[bytes]) -> ScanReport:
        """Return what the scanner says of an image, given as a tar that holds an OCI layout.

        The folder with the image is removed whatever happens.

        Raises:
            MacfleetError: E0734 the program failed or took too long, E0735 its report cannot be read; and
                whatever `image` raises.
        """
        words = self._settings.command[1:]
        kept = self._root / ".macfleet"
        kept.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=kept, prefix="scan-") as folder:
            archive, layout = Path(folder) / "image.tar", Path(folder) / "layout"
            _write(image, archive)
            if any("{layout}" in word for word in words):
                layout.mkdir()
                with tarfile.open(archive) as packed:
                    packed.extractall(layout, filter="data")
            if not any("{archive}" in word for word in words):
                archive.unlink()
            named = [
                word.replace("{layout}", str(layout)).replace("{archive}", str(archive)) for word in words
            ]
            printed = self._run(named, self._settings.deadline, EXITS[self._settings.format])
        try:
            return FORMATS[self._settings.format](printed)
        except ScanRefused as error:
            raise MacfleetError(self._not_read(str(error))) from error

    def _run(self, words: Sequence[str], deadline: float, exits: frozenset[int]) -> bytes:
        """Run the program without a terminal and return what it printed; no shell is between."""
        command = [str(self._path), *words]
        with TemporaryFile() as said:
            try:
                process = subprocess.Popen(  # (a program of the operator, proven by its hash)
                    command,
                    cwd=self._root,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                raise MacfleetError(self._failed(f"cannot be run: {error.strerror or error}")) from error
            late = threading.Event()
            with process:
                printed = _read(process, deadline, late)
            if late.is_set():
                raise MacfleetError(self._failed(f"took longer than {deadline:g} s"))
            if len(printed) > SCAN_LIMIT:
                raise MacfleetError(self._not_read(f"it is longer than {SCAN_LIMIT // 2**20} MiB"))
            if process.returncode not in exits:
                said.seek(0)
                last = said.read()[-4000:].decode(errors="replace").strip().rpartition("\n")[2]
                raise MacfleetError(
                    self._failed(f"ended with {process.returncode}" + (f": {shown(last)}" if last else ""))
                )
        return printed

    def _failed(self, what: str) -> Diagnostic:
        return Diagnostic(
            "E0734",
            f"scanner {self._path.name} {what}",
            why="Without its report nobody knows what the image holds.",
            mend="Run the command of scanner: by hand; no flag of it may make findings an error.",
            where=self._settings.where,
            exit_code=ExitCode.INTERNAL,
        )

    def _not_read(self, why: str) -> Diagnostic:
        return Diagnostic(
            "E0735",
            f"what scanner {self._path.name} printed cannot be read: {why}",
            why="A report that is read wrongly would let an image pass.",
            mend=f"Let its command print JSON, and format: be what it is, not {self._settings.format}.",
            where=self._settings.where,
            exit_code=ExitCode.HELD,
        )


class ScanCache:
    """The last scan of each image, by the digest of its manifest.

    Args:
        folder: made when the first scan is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, manifest: str) -> Scanned | None:
        """Return an image's last scan; None where there is none, or none that this version can read."""
        with suppress(FileNotFoundError, ValidationError):
            return _SCANNED.validate_json(self._path(manifest).read_bytes())
        return None

    def keep(self, manifest: str, scan: Scanned) -> None:
        """Keep an image's scan in place of the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._folder, prefix=".part-", delete=False) as file:
            file.write(_SCANNED.dump_json(scan))
        Path(file.name).replace(self._path(manifest))

    def _path(self, manifest: str) -> Path:
        return self._folder / f"{manifest.replace(':', '-')}.json"


def _found(settings: ScannerSettings, root: Path) -> Path:
    name = settings.command[0]
    path = root / name if "/" in name else shutil.which(name)
    if path is None or not Path(path).is_file():
        raise MacfleetError(
            Diagnostic(
                "E0732",
                f"there is no scanner {name} on this machine",
                why="macfleet brings no scanner: the one that scanner: names runs on the controller.",
                mend=f"Install {name}, or name its path.",
                where=settings.where,
            )
        )
    return Path(path).resolve()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(chunks: Iterable[bytes], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)


def _read(process: subprocess.Popen[bytes], deadline: float, late: threading.Event) -> bytes:
    """Return what the program prints, hardly more than `SCAN_LIMIT`; at the deadline it is killed."""

    def end() -> None:
        if process.returncode is None:
            late.set()
            _kill(process)

    timer = threading.Timer(deadline, end)
    timer.start()
    printed = bytearray()
    try:
        if process.stdout is not None:
            while len(printed) <= SCAN_LIMIT and (piece := process.stdout.read1(_PIECE)):  # type: ignore[attr-defined]
                printed += piece
        if len(printed) > SCAN_LIMIT:
            _kill(process)
        process.wait()
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()
    return bytes(printed)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and what it started; it was not waited for yet, so its id is still its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _not_pinned(settings: ScannerSettings, path: Path, found: str) -> Diagnostic:
    return Diagnostic(
        "E0733",
        f"{path} is not the pinned scanner: its SHA-256 is {found}",
        why="Whoever replaces the scanner decides what it finds.",
        mend="If you updated it on purpose, put that digest under scanner: sha256: in macfleet.yml.",
        where=settings.where,
    )
