"""Files that commands write: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote


def write_whole(path: Path, text: str) -> None:
    """Write or replace a file in one step; its folder is made where it is missing.

    Raises:
        MacfleetError: E1006 (exit 1) it cannot be written; what was there is untouched.
    """
    aside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        folder = quote(str(path.parent))
        raise MacfleetError(
            Diagnostic(
                "E1006",
                f"cannot write {path}: {error.strerror}",
                why="Nothing was changed there.",
                mend=f"See who may write there and what is free: ls -ld {folder}; df {folder}; "
                "or name another place.",
                exit_code=ExitCode.INTERNAL,
            )
        ) from error
