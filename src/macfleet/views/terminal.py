"""Where text meets the terminal: colour when there is one, plain text in a pipe, progress on stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable

from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.views.symbols import COLOURS


def show(lines: Iterable[str]) -> None:
    """Print result lines on stdout."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        print(paint(line) if colour else line)


def show_json(document: Json) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False, default=str))


def paint(line: str) -> str:
    """Colour the first symbol of a line; the symbol itself carries the meaning."""
    for position, character in enumerate(line):
        alone = line[max(position - 1, 0) : position + 2].strip() == character
        if character in COLOURS and alone:
            code = COLOURS[character].lstrip("#")
            red, green, blue = (int(code[i : i + 2], 16) for i in (0, 2, 4))
            coloured = f"\x1b[38;2;{red};{green};{blue}m{character}\x1b[0m"
            return line[:position] + coloured + line[position + 1 :]
    return line


class ProgressLines:
    """An `Events` sink that says what happens on stderr, one line an event, from any thread.

    As JSON each event is one NDJSON line on stderr, so that stdout stays one document.
    """

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write one event."""
        if self._quiet:
            return
        line = self._text(event)
        if not line:
            return
        with self._lock:
            print(line, file=sys.stderr, flush=True)

    def _text(self, event: Event) -> str:
        if self._as_json:
            row = {"schema": 1, "kind": event.kind, "node": event.node, **dict(event.data)}
            return json.dumps(row, ensure_ascii=False, default=str)
        data = event.data
        words = {
            "change.started": f"± {data.get('address')} ({data.get('action')})",
            "network.mode": f"⌛ measuring {data.get('mode')} mode",
            "loadtest.segment": f"⌛ {data.get('arm')} {data.get('cell')} segment {data.get('segment')}",
            "gate.judged": f"  gate {data.get('gate')}: {data.get('outcome')}",
            "node.settled": f"{data.get('outcome')}",
        }
        text = words.get(event.kind, "")
        return f"  {event.node}  {text}" if text else ""
