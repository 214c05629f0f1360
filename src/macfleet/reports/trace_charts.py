"""The figures of one node's raw records: distributions, timeline, first tokens, errors, validity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from macfleet.analysis.traces import Band, Curve, Trace
from macfleet.analysis.validity import CLIENT_CPU, LOOP_LAG
from macfleet.model.load import RequestOutcome
from macfleet.model.run import CellSummary
from macfleet.reports import figures
from macfleet.reports.drawing import (
    ALARM,
    INK,
    MUTED,
    Chart,
    Width,
    all_axes,
    chart,
    colour,
    dash,
    legend,
    mark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def distributions(trace: Trace) -> Chart | None:
    """Draw the share of requests that ended within a time, one panel a cell, one line an arm."""
    cells = list(dict.fromkeys(each.cell for each in trace.distributions))
    if not cells:
        return None

    def paint(figure: Figure, width: Width) -> None:
        panels = all_axes(figure, len(cells), stacked=width.narrow)
        for axes, cell in zip(panels, cells, strict=True):
            for each in trace.distributions:
                if each.cell == cell:
                    [line] = axes.step(each.curve.x, _numbers(each.curve), where="post", label=each.arm)
                    line.set(color=colour(each.arm), linestyle=dash(each.arm))
            axes.axhline(0.95, color=MUTED, linewidth=1, linestyle=":")
            axes.set_title(cell)
            axes.set_ylim(0, 1.02)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 0.95], ["0", "25 %", "50 %", "75 %", "95 %"])
            axes.set_xlabel("seconds, send to last token")
        legend(figure, panels)

    rows = ((d.arm, d.cell, figures.count(d.n), figures.count(d.failed)) for d in trace.distributions)
    return chart(
        f"distribution-{trace.run}-{trace.node}",
        "How many requests ended within a time",
        "Where a line meets the dotted one stands p95. A line that ends below 100 % had failures.",
        paint,
        (270, 60 + 210 * len(cells)),
        (("arm", "cell", "requests", "failed"), tuple(rows)),
    )


def timeline(trace: Trace) -> Chart | None:
    """Draw tokens/s of every segment with host memory and in-VM iowait below, on one clock."""
    if not trace.bands:
        return None

    def paint(figure: Figure, _width: Width) -> None:
        panels = all_axes(figure, 2, stacked=True, share_x=True)
        for band in trace.bands:
            for axes in panels:
                axes.axvspan(band.start, band.end, color=colour(band.arm), alpha=0.10, linewidth=0)
            panels[0].plot(band.tokens.x, _numbers(band.tokens), color=colour(band.arm), label=band.arm)
        for cell, start in _cell_starts(trace.bands).items():
            panels[0].text(start, 1.01, cell, transform=panels[0].get_xaxis_transform(), va="bottom")
        panels[0].set_ylim(bottom=0)
        panels[0].set_ylabel("tokens/s")
        for (name, curve), style in zip(sorted(trace.environment.items()), ("--", "-"), strict=False):
            panels[1].plot(curve.x, _numbers(curve), color=INK, linestyle=style, linewidth=1.4, label=name)
        panels[1].set_ylim(0, 100)
        panels[1].set_ylabel("percent")
        panels[1].set_xlabel("minutes since the first window opened")
        legend(figure, panels)

    rows = (
        (
            f"{band.arm} {band.cell}",
            str(band.segment),
            f"{band.start:.1f} to {band.end:.1f}",
            f"{_mean(band.tokens):.1f}",
        )
        for band in trace.bands
    )
    return chart(
        f"timeline-{trace.run}-{trace.node}",
        "Tokens a second over the run, with memory and iowait",
        "Each coloured span is one segment; a token's second is read off its request's first and last token.",
        paint,
        (340, 380),
        (("arm and cell", "segment", "minutes", "tokens/s"), tuple(rows)),
    )


def first_tokens(trace: Trace) -> Chart | None:
    """Draw the median time to the first token against prompt length."""
    if not trace.first_tokens:
        return None
    sizes = sorted({each.concurrency for each in trace.first_tokens})

    def paint(figure: Figure, width: Width) -> None:
        panels = all_axes(figure, len(sizes), stacked=width.narrow)
        for axes, concurrency in zip(panels, sizes, strict=True):
            for each in trace.first_tokens:
                if each.concurrency == concurrency:
                    [line] = axes.plot(each.prompt_tokens, each.seconds, mark(each.arm), label=each.arm)
                    line.set(color=colour(each.arm), linestyle=dash(each.arm))
            axes.set_title(f"{concurrency} at once" if concurrency else "open loop")
            highest = max(max(each.seconds) for each in trace.first_tokens if each.concurrency == concurrency)
            axes.set_ylim(0, 1.15 * highest)
            axes.set_xlabel("prompt tokens")
            axes.set_ylabel("seconds to first token")
        legend(figure, panels)

    rows = (
        (each.arm, str(each.concurrency), f"{length:,.0f}", f"{seconds:.3f} s", figures.count(count))
        for each in trace.first_tokens
        for length, seconds, count in zip(each.prompt_tokens, each.seconds, each.n, strict=True)
    )
    return chart(
        f"first-token-{trace.run}-{trace.node}",
        "Time to the first token by length of the prompt",
        "Medians of groups of prompts of like length.",
        paint,
        (270, 60 + 220 * len(sizes)),
        (("arm", "at once", "prompt tokens", "median", "requests"), tuple(rows)),
    )


def errors(name: str, cells: Sequence[CellSummary]) -> Chart | None:
    """Draw how the requests that failed ended; None when none did."""
    kinds = sorted({kind for cell in cells for kind in cell.outcomes} - {RequestOutcome.OK.value})
    rows = [
        (cell, {kind: cell.outcomes.get(kind, 0) for kind in kinds}) for cell in cells if cell.ok < cell.n
    ]
    if not kinds or not rows:
        return None

    def paint(figure: Figure, _width: Width) -> None:
        axes = figure.add_subplot()
        _stacked(axes, [counts for _, counts in rows], kinds)
        axes.set_yticks([-position for position in range(len(rows))])
        axes.set_yticklabels([f"{cell.arm}\n{cell.cell}" for cell, _ in rows])
        axes.set_xlabel("requests")
        legend(figure, [axes])

    table = (
        (cell.arm, cell.cell, figures.count(cell.n), *(figures.count(counts[kind]) for kind in kinds))
        for cell, counts in rows
    )
    return chart(
        f"errors-{name}",
        "How the requests that failed ended",
        "An error inside a response of status 200 is an error.",
        paint,
        (100 + 44 * len(rows),) * 2,
        (("arm", "cell", "requests", *kinds), tuple(table)),
    )


def validity(trace: Trace) -> Chart | None:
    """Draw the load client's own lateness and CPU for each segment against what makes a cell INVALID."""
    if not trace.bands:
        return None

    def paint(figure: Figure, width: Width) -> None:
        panels = all_axes(figure, 2, stacked=width.narrow)
        _dots(panels[0], trace.bands, [1000 * band.loop_lag for band in trace.bands], 1000 * LOOP_LAG)
        panels[0].set_ylabel("loop lag p99, ms")
        _dots(panels[1], trace.bands, [100 * band.cpu_share for band in trace.bands], 100 * CLIENT_CPU)
        panels[1].set_ylabel("client CPU, %")
        for axes in panels:
            axes.set_xlabel("segments, in order")
        legend(figure, panels)

    rows = (
        (
            f"{band.arm} {band.cell}",
            str(band.segment),
            f"{1000 * band.loop_lag:.2f} ms",
            f"{1000 * band.dispatch_delay:.2f} ms",
            f"{100 * band.cpu_share:.0f} %",
        )
        for band in trace.bands
    )
    return chart(
        f"validity-{trace.run}-{trace.node}",
        "The load client's own lateness",
        f"Above the dashed line a segment is INVALID. The line of the lag is the least one allowed "
        f"({1000 * LOOP_LAG:.0f} ms); slow first tokens allow more.",
        paint,
        (240, 420),
        (("arm and cell", "segment", "loop lag p99", "dispatch delay p95", "client CPU"), tuple(rows)),
    )


def _dots(axes: Axes, bands: Sequence[Band], values: Sequence[float], limit: float) -> None:
    for position, (band, value) in enumerate(zip(bands, values, strict=True)):
        axes.plot(position, value, mark(band.arm), color=colour(band.arm), label=band.arm, linestyle="none")
    axes.axhline(limit, color=ALARM, linestyle="--", label="limit")
    axes.set_ylim(0, max(1.15 * limit, *(1.1 * value for value in values)))
    axes.set_xticks([])


def _stacked(axes: Axes, rows: Sequence[Mapping[str, int]], kinds: Sequence[str]) -> None:
    shades = (ALARM, MUTED, colour("bare"), colour("remote"), colour("host-engine"))
    for position, counts in enumerate(rows):
        left = 0
        for number, kind in enumerate(kinds):
            shade = shades[number % len(shades)]
            axes.barh(-position, counts[kind], left=left, color=shade, label=kind, height=0.5)
            left += counts[kind]


def _cell_starts(bands: Sequence[Band]) -> dict[str, float]:
    """Where each cell's first segment begins, if cells follow each other and do not alternate."""
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    for band in bands:
        starts.setdefault(band.cell, band.start)
        ends[band.cell] = band.end
    cells = list(starts)
    alone = all(ends[one] <= starts[other] for one, other in pairwise(cells))
    return starts if alone else {}


def _numbers(curve: Curve) -> list[float]:
    return [float("nan") if value is None else value for value in curve.y]


def _mean(curve: Curve) -> float:
    known = [value for value in curve.y if value is not None]
    return sum(known) / len(known) if known else 0.0
