"""Files on the controller's disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode


class DiskFiles:
    """The `Files` port over a folder; paths are relative to it, absolute ones stand for themselves."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileNotFoundError: nothing, or nothing readable as a file, stands there.
            MacfleetError: E0290 the system refuses to read it.
        """
        try:
            return (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise FileNotFoundError(path) from error
        except OSError as error:
            raise _refused(path, error) from error

    def exists(self, path: str) -> bool:
        """Whether a regular file (or a link to one) is there."""
        return (self._root / path).is_file()

    def list(self, folder: str) -> tuple[str, ...]:
        """Return the regular files below a folder, spelled like `folder` itself, sorted.

        Linked folders are entered, but none inside itself, so that a loop of links ends.

        Raises:
            MacfleetError: E0290 the system refuses to list a folder.
        """
        # As text: a command lists some hundred files, and pathlib takes longer over each than the system.
        top = str(self._root / folder)
        spelled = PurePosixPath(folder).as_posix()
        base = "" if spelled == "." else f"{spelled.rstrip('/')}/"
        found: list[str] = []
        ways: dict[str, tuple[str, ...]] = {top: (os.path.realpath(top),)}
        for where, folders, names in os.walk(top, followlinks=True, onerror=_unreadable):
            folders[:] = _enter(where, folders, ways)
            inside = where[len(top) :].strip("/")
            below = f"{base}{inside}/" if inside else base
            found += [f"{below}{name}" for name in names if os.path.isfile(f"{where}/{name}")]  # noqa: PTH113
        return tuple(sorted(found))


def _enter(where: str, folders: Sequence[str], ways: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the folders that are none of those above, and note of each what is above it and what it is."""
    above = ways[where]
    found: list[str] = []
    for name in folders:
        path = os.path.join(where, name)  # noqa: PTH118 (as `os.walk` spells it)
        linked = os.path.islink(path)  # noqa: PTH114 (see `DiskFiles.list`)
        real = os.path.realpath(path) if linked else f"{above[-1]}/{name}"
        if real not in above:
            ways[path] = (*above, real)
            found.append(name)
    return found


def _unreadable(error: OSError) -> None:
    """Say which folder the system refuses to list; one that is not there is empty."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise _refused(str(error.filename), error) from error


def _refused(path: str, error: OSError) -> MacfleetError:
    return MacfleetError(
        Diagnostic(
            "E0290",
            f"cannot be read: {error.strerror or error}",
            mend="Check who owns it and its mode.",
            where=Location(path),
            exit_code=ExitCode.INTERNAL,
        )
    )
