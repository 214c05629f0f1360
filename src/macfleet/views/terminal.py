"""Where text meets the terminal: colour when there is one, plain text in a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from macfleet.model.json import Json
from macfleet.views.symbols import COLOURS


def show(lines: Iterable[str]) -> None:
    """Print result lines on stdout."""
    colour = coloured(sys.stdout)
    for line in lines:
        print(paint(line) if colour else line)


def drawable(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can colour and draw lines anew; one that is dumb cannot."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def coloured(stream: TextIO) -> bool:
    """Whether what goes to a stream may be coloured."""
    return drawable(stream) and not os.environ.get("NO_COLOR")


def show_json(document: Json) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False, default=str))


def paint(line: str) -> str:
    """Colour the first symbol of a line; the symbol itself carries the meaning."""
    position = symbol_at(line)
    if position is None:
        return line
    character = line[position]
    code = COLOURS[character].lstrip("#")
    red, green, blue = (int(code[i : i + 2], 16) for i in (0, 2, 4))
    shown = f"\x1b[38;2;{red};{green};{blue}m{character}\x1b[0m"
    return line[:position] + shown + line[position + 1 :]


def symbol_at(line: str) -> int | None:
    """Return where a line's symbol is: it stands between blanks, the dash of an option does not."""
    for position, character in enumerate(line):
        alone = line[max(position - 1, 0) : position + 2].strip() == character
        if character in COLOURS and alone:
            return position
    return None
