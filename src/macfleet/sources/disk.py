"""Files on the controller's disk."""

from __future__ import annotations

import os
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
            reason = error.strerror or str(error)
            raise MacfleetError(
                Diagnostic(
                    "E0290",
                    f"cannot be read: {reason}",
                    mend="Check who owns the file and its mode.",
                    where=Location(path),
                    exit_code=ExitCode.INTERNAL,
                )
            ) from error

    def exists(self, path: str) -> bool:
        """Whether a regular file (or a link to one) is there."""
        return (self._root / path).is_file()

    def list(self, folder: str) -> tuple[str, ...]:
        """Return the regular files below a folder, spelled like `folder` itself, sorted.

        Linked folders are not entered, so that a loop of links ends.
        """
        # As text: a command lists some hundred files, and pathlib takes longer over each than the system.
        top = str(self._root / folder)
        spelled = PurePosixPath(folder).as_posix()
        base = "" if spelled == "." else f"{spelled.rstrip('/')}/"
        found: list[str] = []
        for where, _, names in os.walk(top, followlinks=False):
            inside = where[len(top) :].strip("/")
            below = f"{base}{inside}/" if inside else base
            found += [f"{below}{name}" for name in names if os.path.isfile(f"{where}/{name}")]  # noqa: PTH113
        return tuple(sorted(found))
