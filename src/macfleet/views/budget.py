"""The latency budget in the terminal: a table a node, overruns by how they are mended."""

from __future__ import annotations

from collections.abc import Iterator

from macfleet.analysis.budget import NOT_MEASURED, Spent
from macfleet.model.quantity import show_seconds
from macfleet.model.run import Interval
from macfleet.model.stage import Outcome
from macfleet.reports import figures
from macfleet.reports.budget import BudgetReport, NodeBudget, classed
from macfleet.views import table
from macfleet.views.diagnostics import clean
from macfleet.views.flow import fold

_SAYS = {
    Outcome.PASS: "✓ within",
    Outcome.FAIL: "✗ over",
    Outcome.INCONCLUSIVE: "? inconclusive",
    Outcome.NOT_APPLICABLE: f"· {NOT_MEASURED}",
}
_HOW = {"algorithmic": "model or quantisation", "environmental": "mounts, VM, noisy neighbours"}


def budget_lines(report: BudgetReport, width: int) -> list[str]:
    """Return the report as lines: what to know first, each node, then the overruns."""
    lines = [line for notice in report.notices for line in fold(f"! {clean(notice)}", width, indent="  ")]
    for node in report.nodes:
        lines += ["", *_node(node, report, width)]
    return [*lines, "", *_overruns(report, width)]


def _overruns(report: BudgetReport, width: int) -> list[str]:
    over = classed(report)
    lines: list[str] = []
    for kind, names in over.items():
        lines += fold(f"✗ {kind} ({_HOW[kind]}): {clean(', '.join(names))}", width, indent="  ")
    if over:
        return lines
    if report.over:
        return ["✗ end to end takes longer than all terms together may"]
    everything = [each for node in report.nodes for each in node.terms]
    measured = sum(each.measurement is not None for each in everything)
    if not measured:
        return ["? nothing of the budget was measured"]
    return [f"✓ no measured term is over its budget; {measured} of {len(everything)} are measured"]


def _node(node: NodeBudget, report: BudgetReport, width: int) -> Iterator[str]:
    yield from fold(f"{clean(node.node)} {node.arm} {report.budget.cell} · run {node.run}", width)
    rows = [_row(each) for each in (*node.terms, node.whole)]
    yield from table.lines(("term", "budget", "measured", "", "how it is measured"), rows, width, {1, 2})
    for each in node.terms:
        if each.kind:
            yield from fold(f"· {clean(each.term.name)}: {each.kind}, {each.why}", width, indent="  ")


def _row(each: Spent) -> tuple[str, str, str, str, str]:
    found = each.measurement
    return (
        each.term.name,
        show_seconds(each.term.budget),
        figures.MISSING if found is None else _seconds(found.seconds),
        _SAYS[each.outcome],
        _how(each),
    )


def _how(each: Spent) -> str:
    if each.term.measured_by == NOT_MEASURED:
        return NOT_MEASURED
    if each.measurement is None:
        return f"{each.term.measured_by}: {each.why}"
    open_ = f"; {each.why}" if each.why and not each.kind else ""
    return f"{each.term.measured_by}: {each.measurement.how}{open_}"


def _seconds(interval: Interval) -> str:
    """Return a time; a figure that stands for itself has no interval to show."""
    return figures.seconds(Interval(interval.value) if interval.low == interval.high else interval)
