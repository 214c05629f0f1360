"""What changed between two runs, as lines for people."""

from __future__ import annotations

from collections.abc import Iterable

from macfleet.analysis.conditions import change
from macfleet.reports import figures
from macfleet.reports.comparison import NOT_A_MAC
from macfleet.reports.difference import FigureChange, RunDifference
from macfleet.reports.environment import short

_NAMES = {
    "tokens_per_second": "tokens/s",
    "p50": "p50",
    "p95": "p95",
    "ttft_p50": "TTFT p50",
    "ttft_p95": "TTFT p95",
    "itl_p50": "ITL p50",
}


def difference_lines(found: RunDifference) -> Iterable[str]:
    """Yield the answer: the image, the requests, what else differs, then each figure."""
    yield f"{found.before} → {found.after}"
    if found.simulated:
        yield f"! {NOT_A_MAC}"
    yield f"image changed: {found.image}"
    yield f"contract changed: {_yes(found.same_contract)}   requests changed: {_yes(found.same_requests)}"
    for each in found.environment.differences:
        old, new = (each.values[title] for title in (found.before, found.after))
        yield f"~ {each.name}  {short(old)} → {short(new)}"
    yield from (f"! {words}" for words in found.missing)
    if not found.same_requests:
        yield "? The requests were not the same, so the figures say nothing about each other."
        return
    rows = [_row(each) for each in found.figures]
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(5)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(each: FigureChange) -> tuple[str, str, str, str, str]:
    show = figures.rate if each.figure == "tokens_per_second" else figures.seconds
    said = "–" if each.ratio is None else change(each.ratio)
    mark = {True: "~", False: "·", None: "?"}[each.moved]
    name = f"{mark} {each.arm} {each.cell}"
    return name, _NAMES[each.figure], show(each.before), f"→ {show(each.after)}", said


def _yes(same: bool) -> str:  # noqa: FBT001  (one word for one flag)
    return "no" if same else "yes"
