"""Text folded to the width there is; a width of 0 means a pipe, where nothing is folded."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from typing import TextIO

_NARROWEST = 20
_JOIN = "\0"
_TYPED = re.compile(r"`[^`\n]+`|(?<=: )macfleet .+$")


def width_of(stream: TextIO) -> int:
    """Return the columns of a terminal, what COLUMNS says, or 0 for a pipe or file."""
    named = os.environ.get("COLUMNS", "")
    if named.isdigit() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return 0


def fold(text: str, width: int, *, indent: str = "") -> list[str]:
    """Return the lines of one paragraph; later lines begin with `indent`, no word is cut."""
    if not width or len(text) <= width:
        return [text]
    room = max(width, _NARROWEST)
    wrapped = textwrap.wrap(
        _joined(text), room, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return _parted(wrapped)


def fold_words(text: str, width: int) -> list[str]:
    """Return the lines of one paragraph without cutting any word: paths and commands stay whole."""
    room = max(width, _NARROWEST)
    return _parted(textwrap.wrap(_joined(text), room, break_long_words=False, break_on_hyphens=False))


def _joined(text: str) -> str:
    """Return text whose commands to type are one word each: those in backticks, and one that ends it."""
    return _TYPED.sub(lambda found: found[0].replace(" ", _JOIN), text)


def _parted(lines: list[str]) -> list[str]:
    return [line.replace(_JOIN, " ") for line in lines] or [""]


def flow(parts: Sequence[str], width: int, *, joint: str = " · ") -> list[str]:
    """Return parts in lines that break between parts; a part longer than a line is folded by words."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}{joint}{part}" if lines else part
        if lines and (not width or len(joined) < width):
            lines[-1] = joined
        else:
            if lines and not joint.startswith(" "):
                lines[-1] += joint.rstrip()
            lines += fold(part, width)
    return lines
