"""``file:PATH``: a secret in a file of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, Severity
from macfleet.model.shell import quote

MOST = 64 * 1024


def text_of(root: Path, path: str, warn: Callable[[Diagnostic], None]) -> str:
    """Return the file's text without the line break at its end; warn when others may read the file.

    A relative path starts at `root`, ``~`` is the home folder.

    Raises:
        MacfleetError: E1202 it cannot be read; E1203 it is no text file of at most 64 KiB.
    """
    place = root / Path(path).expanduser()
    data = contents(place, path)
    mode = stat.S_IMODE(place.stat().st_mode)
    if mode & 0o077:
        warn(
            Diagnostic(
                "E1206",
                f"other users of this machine may read the secret (mode {mode:04o})",
                why="A file with a secret should be open to its owner alone.",
                mend=f"chmod 600 {quote(str(place))}",
                where=Location(path),
                severity=Severity.WARNING,
            )
        )
    try:
        return without_line_break(data.decode())
    except UnicodeDecodeError as error:
        raise MacfleetError(no_text(path, "is not UTF-8 text")) from error


def contents(place: Path, path: str) -> bytes:
    """Return the bytes of a regular file; `path` is how the user spells it (raises MacfleetError)."""
    try:
        # A named pipe would wait for a writer for ever.
        handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MacfleetError(_unreadable(path, error)) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise MacfleetError(no_text(path, "is not a regular file"))
        with open(handle, "rb", closefd=False) as stream:
            data = stream.read(MOST + 1)
    finally:
        os.close(handle)
    if len(data) > MOST:
        raise MacfleetError(no_text(path, "is larger than 64 KiB"))
    return data


def without_line_break(text: str) -> str:
    """Return text without the one line break that editors and programs put at its end."""
    return text.removesuffix("\n").removesuffix("\r")


def no_text(path: str, problem: str) -> Diagnostic:
    """Return the diagnostic of a file that cannot hold a secret."""
    return Diagnostic(
        "E1203",
        f"the file {problem}",
        why="A secret is read from a small text file.",
        mend="Name the file that holds the secret.",
        where=Location(path),
    )


def _unreadable(path: str, error: OSError) -> Diagnostic:
    return Diagnostic(
        "E1202",
        f"the file with the secret cannot be read: {error.strerror or error}",
        why="Relative paths start at the fleet folder.",
        mend="Check the path, who owns the file and its mode.",
        where=Location(path),
    )
