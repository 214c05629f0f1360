"""A load test as it goes on: where each node is, and figures so far, which nobody judges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from macfleet.model.json import Json
from macfleet.model.quantity import show_seconds
from macfleet.rollout.loadtest_watch import NodeProgress, SoFar
from macfleet.views.diagnostics import clean

_BAR = 12
_SYMBOLS = {"ok": "✓", "held": "!", "": "⌛"}
NOT_JUDGED = "so far, not judged"


@dataclass(frozen=True, slots=True)
class Watched:
    """A run at one moment.

    Attributes:
        going: whether it goes on; state: the same in words: ``going on``, ``killed``, or ``ended with …``.
        spent: seconds since it began, until it ended.
        at: seconds since the epoch.
    """

    run: str
    who: str
    going: bool
    state: str
    spent: float
    at: float
    nodes: tuple[NodeProgress, ...]

    @property
    def places(self) -> tuple[object, ...]:
        """What a line elsewhere than on a terminal is printed for: where nodes are, not their figures."""
        return (self.state, *((n.node, n.outcome, len(n.begun), n.invalid) for n in self.nodes))

    @property
    def news(self) -> tuple[object, ...]:
        """What a line of NDJSON is written for: places, and requests that ended; not seconds that pass."""
        counts = ((n.node, place, found.requests) for n in self.nodes for place, found in n.cells.items())
        return (*self.places, *counts)


def lines(watched: Watched, width: int = 0) -> list[str]:
    """Return the view's lines, cut at a terminal's `width`; 0 cuts nothing."""
    head = f"Load test {watched.run} · {watched.who} · {watched.state} · {show_seconds(watched.spent)}"
    column = max((len(each.node) for each in watched.nodes), default=0)
    found = [clean(head)]
    for each in watched.nodes:
        found.append(clean(f"{each.node:<{column}}  {_standing(each, watched)}"))
        found += [clean(f"{'':<{column}}    {line}") for line in _cells(each)]
        found += [clean(f"{'':<{column}}  ! {why}, INVALID") for why in each.invalid]
    return [line if not width or len(line) <= width else f"{line[: width - 1]}…" for line in found]


def document(watched: Watched) -> dict[str, Json]:
    """Return one line of NDJSON, schema 1; nothing in it is judged."""
    return {
        "schema": 1,
        "kind": "loadtest-progress",
        "run": watched.run,
        "state": watched.state,
        "judged": False,
        "seconds": round(watched.spent),
        "nodes": [each.document(watched.at if watched.going else None) for each in watched.nodes],
    }


def _standing(each: NodeProgress, watched: Watched) -> str:
    last, now = each.now, watched.at
    symbol = _SYMBOLS.get(each.outcome, "✗")
    again = f" · {each.again} measured again" if each.again else ""
    if each.outcome:
        return f"{symbol} {each.outcome}{again}"
    if last is None:
        return f"{'⌛' if watched.going else '✗'} no segment begun{' yet' if watched.going else ''}"
    if not watched.going:
        return f"✗ left at segment {each.number} of {last.of}  {last.arm} {last.cell}{again}"
    left = each.left(now) or 0.0
    done = min(1 - left / (left + max(now - each.begun[0].at, 0.0)), 1.0) if left else 1.0
    full = int(_BAR * done)
    bar = "█" * full + "░" * (_BAR - full)
    rest = f"about {show_seconds(left)} left" if left else "finishing"
    return f"{symbol} segment {each.number} of {last.of}  {last.arm} {last.cell}  {bar}  {rest}{again}"


def _cells(each: NodeProgress) -> Iterator[str]:
    rows = [(arm, cell, *_figures(found)) for (arm, cell), found in each.cells.items() if found.requests]
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(6)]
    for row in rows:
        arm, cell = (f"{row[place]:<{widths[place]}}" for place in (0, 1))
        figures = "  ".join(f"{row[place]:>{widths[place]}}" for place in (2, 3, 4, 5))
        yield f"{arm}  {cell}  {figures}  {NOT_JUDGED}"


def _figures(found: SoFar) -> Sequence[str]:
    rate, first = found.tokens_per_second, found.ttft_p95
    shown = "–" if first is None else "none in time" if math.isinf(first) else f"{first:.3g} s"
    return (
        f"{found.requests:,} request{'' if found.requests == 1 else 's'}",
        f"{found.errors:,} error{'' if found.errors == 1 else 's'}",
        f"{'–' if rate is None else f'{rate:.3g}'} tok/s",
        f"TTFT p95 {shown}",
    )
