"""Outputs that were looked at, kept as files."""

from __future__ import annotations

import os
from pathlib import Path


def golden(file: Path, text: str) -> None:
    """Compare `text` with `file`, blanks at line ends aside; MACFLEET_GOLDEN=1 writes the file anew.

    Raises:
        AssertionError: they differ, or the file is missing; the message says how to accept the text.
    """
    shown = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    if os.environ.get("MACFLEET_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown, encoding="utf-8")
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if shown != known:
        raise AssertionError(
            f"{file.name} differs; look at it, then accept it with MACFLEET_GOLDEN=1.\n"
            f"--- expected\n{known}--- found\n{shown}"
        )
