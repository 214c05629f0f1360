"""The figures of a comparison: forest plot, percentiles, costs; `trace_charts` has those of raw records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.analysis.conditions import change
from macfleet.analysis.cost import NodeCost, Price
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary, Interval
from macfleet.reports import figures, money
from macfleet.reports.comparison import Column, Comparison, Gap
from macfleet.reports.drawing import ALARM, INK, MUTED, Chart, Width, all_axes, chart, colour, legend, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def forest(comparison: Comparison, line: float) -> Chart | None:
    """Draw every ratio of tokens/s between arms against the `mounts-first` line (a share of loss)."""
    rows = [(column, gap) for column in comparison.columns for gap in column.gaps if _drawn(gap)]
    if not rows:
        return None

    def paint(figure: Figure, width: Width) -> None:
        axes = figure.add_subplot()
        for position, (_, gap) in enumerate(rows):
            ratio = gap.ratio
            if ratio is None:
                continue
            low, high = ratio.low or ratio.value, ratio.high or ratio.value
            axes.plot([low, high], [-position, -position], color=colour(gap.arm), linewidth=3)
            axes.plot(ratio.value, -position, mark(gap.arm), color=colour(gap.arm), markersize=8)
        axes.axvline(1 - line, color=ALARM, linestyle="--", label=f"line −{100 * line:.0f} %")
        axes.axvline(1.0, color=MUTED, linewidth=1, label="as fast as its base")
        axes.set_yticks([-position for position in range(len(rows))])
        axes.set_yticklabels([_gap_name(column, gap, width) for column, gap in rows])
        axes.set_xscale("log")
        _ratio_ticks(axes, [gap for _, gap in rows], line, narrow=width.narrow)
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlabel("tokens/s against the base")
        legend(figure, [axes])

    table = (
        (column.title, gap.cell, f"{gap.arm} against {gap.base}", change(gap.ratio))
        for column, gap in rows
        if gap.ratio is not None
    )
    return chart(
        "forest",
        "Throughput of the container against its base",
        f"Marks are geometric means over pairs of segments, bars two-sided 95 % intervals. "
        f"Left of the dashed line more than {100 * line:.0f} % are lost.",
        paint,
        (110 + 34 * len(rows), 110 + 44 * len(rows)),
        (("node", "cell", "compared", "tokens/s"), tuple(table)),
    )


def percentiles(comparison: Comparison) -> Chart | None:
    """Draw p50 and p95 end to end with their intervals, by cell, node and arm."""
    cells = [(column, cell) for column in comparison.columns for cell in column.cells if not cell.invalid]
    if not cells:
        return None
    names = list(dict.fromkeys(cell.cell for _, cell in cells))
    nodes = list(dict.fromkeys(column.title for column, _ in cells))

    def paint(figure: Figure, width: Width) -> None:
        panels = all_axes(figure, len(names), stacked=width.narrow)
        for axes, name in zip(panels, names, strict=True):
            for column, cell in cells:
                if cell.cell == name:
                    _percentile_marks(axes, -nodes.index(column.title), cell)
            axes.set_title(name)
            axes.set_yticks([-position for position in range(len(nodes))])
            axes.set_yticklabels(nodes)
            axes.set_ylim(-len(nodes) + 0.4, 0.6)
            axes.set_xlim(left=0)
            axes.set_xlabel("seconds, send to last token")
        legend(figure, panels)

    tall = 100 + 46 * len(nodes)
    table = (
        (
            column.title,
            cell.arm,
            cell.cell,
            figures.seconds(cell.p50),
            figures.seconds(cell.p95),
            figures.seconds(cell.p99),
            figures.count(cell.n),
        )
        for column, cell in cells
    )
    return chart(
        "percentiles",
        "Seconds from sending to the last token",
        "The hollow mark is the median, the filled one p95; bars are 95 % intervals by order statistics. "
        "A failed request counts as one that never ended: ∞ at the right edge.",
        paint,
        (tall, tall * len(names)),
        (("node", "arm", "cell", "p50", "p95", "p99", "requests"), tuple(table)),
    )


def costs(comparison: Comparison) -> Sequence[Chart]:
    """Draw the cost per million output tokens, one figure a currency: they are never mixed on one axis."""
    found = [
        (column.title, cost, price)
        for column in comparison.columns
        for cost in column.costs
        if (price := cost.planned) is not None
    ]
    return [
        _cost_chart(currency, [row for row in found if row[2].currency == currency])
        for currency in dict.fromkeys(price.currency for _, _, price in found)
    ]


def _cost_chart(currency: str, rows: Sequence[tuple[str, NodeCost, Price]]) -> Chart:
    def paint(figure: Figure, _width: Width) -> None:
        axes = figure.add_subplot()
        for position, (_, cost, price) in enumerate(rows):
            axes.barh(-position, float(price.value), color=colour(cost.arm), height=0.5, label=cost.arm)
            if price.low is not None and price.high is not None:
                axes.plot([float(price.low), float(price.high)], [-position] * 2, color=INK, linewidth=2)
        axes.set_yticks([-position for position in range(len(rows))])
        axes.set_yticklabels([f"{title}\n{cost.cell}" for title, cost, _ in rows])
        axes.set_xlabel(f"{currency} per million output tokens")
        axes.set_xlim(left=0)
        legend(figure, [axes])

    planned = money.share(rows[0][1].utilisation)
    table = (
        (
            title,
            cost.arm,
            cost.load,
            money.price(cost.full) if cost.full is not None else figures.MISSING,
            money.price(price),
        )
        for title, cost, price in rows
    )
    return chart(
        f"cost-{currency.lower()}",
        f"Cost per million output tokens at {planned} of the time busy, in {currency}",
        "At the highest load whose service level holds; the line in a bar is its 95 % interval.",
        paint,
        (100 + 44 * len(rows),) * 2,
        (("node", "arm", "load", "at 100 %", f"at {planned}"), tuple(table)),
    )


def _drawn(gap: Gap) -> bool:
    ratio = gap.ratio
    return (
        ratio is not None and 0 < ratio.value < math.inf and (gap.arm, gap.base) != (Arm.BARE, Arm.BARE_CPU)
    )


def _gap_name(column: Column, gap: Gap, width: Width) -> str:
    return (
        f"{column.title}\n{gap.cell}"
        if width.narrow
        else f"{column.title} · {gap.cell} · {gap.arm} vs {gap.base}"
    )


def _ratio_ticks(axes: Axes, gaps: Sequence[Gap], line: float, *, narrow: bool) -> None:
    """Ticks as changes in percent, over every interval and the line."""
    from matplotlib.ticker import NullLocator  # noqa: PLC0415  (slow to import)

    bounds = [
        bound
        for gap in gaps
        if gap.ratio
        for bound in (gap.ratio.value, gap.ratio.low, gap.ratio.high)
        if bound
    ]
    low, high = min([*bounds, 1 - line]) * 0.95, max([*bounds, 1.0]) * 1.05
    apart = math.log(high / low) * (0.2 if narrow else 0.1)
    ticks = [1.0]
    for each in (0.9, 0.8, 0.7, 0.5, 0.3, 0.2, 0.1, 1.1, 1.25, 1.5, 2.0, 4.0):
        if low <= each <= high and all(abs(math.log(each / other)) >= apart for other in ticks):
            ticks.append(each)
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks)
    axes.set_xticklabels(
        [f"{100 * (each - 1):+.0f} %".replace("-", "−").replace("+0", "0") for each in ticks]
    )


def _percentile_marks(axes: Axes, height: float, cell: CellSummary) -> None:
    offset = {Arm.BARE: 0.18, Arm.CONTAINER: -0.18}.get(Arm(cell.arm), 0.0) if cell.arm in set(Arm) else 0.0
    y, shade = height + offset, colour(cell.arm)
    for interval, face in ((cell.p50, "none"), (cell.p95, shade)):
        if math.isinf(interval.value):
            axes.text(1.0, y, "∞", color=shade, transform=axes.get_yaxis_transform(), ha="right", va="center")
            continue
        _bar(axes, interval, y, shade)
        label = cell.arm if face != "none" else None
        axes.plot(
            interval.value,
            y,
            mark(cell.arm),
            color=shade,
            markerfacecolor=face,
            label=label,
            linestyle="none",
        )


def _bar(axes: Axes, interval: Interval, y: float, shade: str) -> None:
    if interval.low is not None and interval.high is not None and math.isfinite(interval.high):
        axes.plot([interval.low, interval.high], [y, y], color=shade, linewidth=2)
