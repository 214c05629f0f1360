"""Exit codes of the command line and which one wins when several apply."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What a finished command tells its caller; the table stands in the CLI reference."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    PENDING = 3
    NODE_FAILED = 4
    UNREACHABLE = 5
    LOCKED = 6
    HELD = 7
    NOTHING_SELECTED = 8
    INTERRUPTED = 130


PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.LOCKED,
    ExitCode.NODE_FAILED,
    ExitCode.UNREACHABLE,
    ExitCode.HELD,
    ExitCode.PENDING,
    ExitCode.NOTHING_SELECTED,
)


def strongest(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code that wins among several; DONE when there is none."""
    present = set(codes)
    return next((code for code in PRECEDENCE if code in present), ExitCode.DONE)
