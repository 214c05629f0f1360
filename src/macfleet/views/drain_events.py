"""What happens to nodes on their way out of service and back: lines while it happens."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from macfleet.model.event import Event
from macfleet.views.diagnostics import clean


class DrainLines:
    """An `Events` sink of one line an event on stderr, each with the seconds since the command began."""

    def __init__(self, names: Sequence[str], clock: Callable[[], float]) -> None:
        self._width = max(map(len, names), default=0)
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write one event."""
        words = event_words(event)
        if words:
            symbol, text = words
            spent = f"{self._clock() - self._began:.0f} s"
            with self._lock:
                line = f"{event.node:<{self._width}}   {symbol} {spent:>5}   {clean(text)}"
                print(line, file=sys.stderr, flush=True)


def event_words(event: Event) -> tuple[str, str] | None:
    """Return symbol and words of what happens to a node in service, None for any other event."""
    data = event.data
    told, count = data.get("words", ""), data.get("containers")
    left = data.get("left")
    seconds = float(left) if isinstance(left, int | float) else 0.0
    when = f"deadline in {_clock(seconds)}" if seconds > 0 else f"{_clock(-seconds)} past the deadline"
    return {
        "drain.admitted": ("~", f"cordoned · {told}"),
        "drain.waiting": ("⌛", f"{told}   {when}"),
        "drain.quiet": ("✓", f"{told} ({data.get('polls')} polls)"),
        "drain.cancelled": ("!", f"deadline: to be cut: {told}"),
        "drain.stopped": (
            "✓",
            f"compose stopped, {count} container{'' if count == 1 else 's'} proven stopped",
        ),
        "drain.reclosed": ("!", str(told)),
        "drain.failed": ("✗", str(told)),
        "drain.queued": ("⌛", f"waits for {data.get('holder')}"),
        "drain.forced": ("!", f"forced: {told}"),
        "drain.turn": ("⌛", f"waits for its turn: {told}"),
        "undrain.started": ("✓", "started and warmed up behind the closed port"),
    }.get(event.kind)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
        if whole >= 3600
        else (f"{whole // 60}:{whole % 60:02}")
    )
