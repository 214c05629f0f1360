"""The fleet folder: where it is, and what git says of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

_PATIENCE = 20.0
"""Seconds that git gets to look at a folder."""


def find_root(given: str | None) -> Path:
    """Return the fleet folder: --fleet, then MACFLEET_FLEET, then upwards from here.

    Raises:
        MacfleetError: E0110 when there is none.
    """
    chosen = given or os.environ.get("MACFLEET_FLEET")
    if chosen:
        root = Path(chosen).resolve()
        if (root / "macfleet.yml").is_file():
            return root
        raise MacfleetError(_no_fleet(f"{root} holds no macfleet.yml"))
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "macfleet.yml").is_file():
            return folder
    raise MacfleetError(_no_fleet(f"neither {here} nor a folder above it holds macfleet.yml"))


def committed(folder: Path) -> tuple[str, bool]:
    """Return a folder's git commit and whether its tree is dirty; ("", True) without git or a commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", True
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    head = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if head == "(initial)":
        return "", True
    return head, any(not line.startswith("#") for line in lines)


def _no_fleet(why: str) -> Diagnostic:
    return Diagnostic(
        "E0110",
        "this is not a fleet folder",
        why=why[0].upper() + why[1:] + ".",
        mend="Make one with: macfleet init my-fleet, or name one with --fleet DIR",
        exit_code=ExitCode.USAGE,
    )
