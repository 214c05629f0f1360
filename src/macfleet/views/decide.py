"""The decision in the terminal: verdict first, then the matrix with what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from macfleet.reports.decide import NOT_MEASURED, Decision, MatrixCell
from macfleet.reports.verdicts import NodeVerdict
from macfleet.views import rows
from macfleet.views.diagnostics import clean
from macfleet.views.flow import fold

_PATH = 13


def decision_lines(decision: Decision, width: int) -> Iterator[str]:
    """Yield the lines of a decision; `width` 0 folds nothing."""
    yield from fold(headline(decision), width, indent="  ")
    yield ""
    yield from rows.lay_out([_block(each) for each in decision.verdicts], width, beside=False)
    yield ""
    for notice in dict.fromkeys(decision.notices):
        yield from fold(f"! {clean(notice)}", width, indent="  ")
    dimension = ""
    for cell in decision.matrix:
        if cell.dimension != dimension:
            dimension = cell.dimension
            yield ""
            yield dimension
        yield from _cell(cell, width)


def headline(decision: Decision) -> str:
    """Return the answer in one line."""
    if decision.keep:
        return f"✓ keep the container path on {_nodes(decision.kept)}"
    parts = [
        f"kept on {_nodes(decision.kept)}" if decision.kept else "",
        f"not on {_nodes(decision.refused)}" if decision.refused else "",
        f"not settled on {_nodes(decision.open)}" if decision.open else "",
    ]
    said = ", ".join(part for part in parts if part)
    return f"{'!' if decision.refused else '?'} the container path is {said or 'not measured'}"


def _nodes(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _block(verdict: NodeVerdict) -> rows.Block:
    found = rows.Row(verdict.symbol, verdict.text, (*verdict.why, *verdict.invalid), mend=verdict.mend)
    return rows.Block((verdict.node,), (found,))


def _cell(cell: MatrixCell, width: int) -> Iterator[str]:
    inset = " " * (_PATH + 2)
    yield from fold(f"  {cell.path:<{_PATH}}{cell.words}", width, indent=inset)
    for line in cell.evidence or (NOT_MEASURED,):
        yield from (f"{inset}{part}" for part in fold(clean(line), max(width - len(inset), 0), indent="  "))
