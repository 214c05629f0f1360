"""What a stranger reads first: which node, what verdict, why, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.analysis.conditions import change, factor
from macfleet.analysis.judging import Judgement
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary
from macfleet.model.stage import Outcome
from macfleet.reports.comparison import Column, Comparison, Gap
from macfleet.reports.headline import inconclusive, telling

_FULL_MINUTES = 30


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """One node's verdict.

    Attributes:
        node: its name, with the run's id where several runs of it are compared.
        text: the headline; why: sentences it rests on, each once.
        invalid: cells that show no figure, and why.
        mend: what to type next; empty when nothing is to be done.
    """

    node: str
    symbol: str
    text: str
    why: tuple[str, ...]
    invalid: tuple[str, ...] = ()
    mend: str = ""


def node_verdicts(comparison: Comparison) -> tuple[NodeVerdict, ...]:
    """Return one verdict for each node and run, in the order of the columns."""
    runs: dict[tuple[str, str], list[Column]] = {}
    for column in comparison.columns:
        runs.setdefault((column.run, column.node), []).append(column)
    repeated = len({node for _, node in runs}) < len(runs)
    return tuple(
        _verdict(f"{node} {run}" if repeated else node, columns) for (run, node), columns in runs.items()
    )


def invalid_text(cell: CellSummary) -> str:
    """Return in one line why a cell shows no figure; what the other segments lacked is only counted."""
    segment, colon, said = cell.invalid[0].partition(": ")
    told = f"{said} ({segment})" if colon and segment.startswith("segment ") else cell.invalid[0]
    more = f", and {len(cell.invalid) - 1} more" if len(cell.invalid) > 1 else ""
    return f"{cell.arm} {cell.cell} is INVALID: {told}{more}"


def _verdict(name: str, columns: Sequence[Column]) -> NodeVerdict:
    column = columns[0]
    cells = [cell for each in columns for cell in each.cells]
    if column.imported:
        why_not = tuple(dict.fromkeys(reason for cell in cells for reason in cell.invalid))
        return NodeVerdict(name, column.headline.symbol, column.headline.text, why_not)
    invalid = tuple(dict.fromkeys(invalid_text(cell) for cell in cells if cell.invalid))
    if column.ad_hoc:
        return NodeVerdict(name, column.headline.symbol, column.headline.text, (), invalid)
    judgements = telling(column.judgements)
    spoilt = [j.threshold for j in judgements if _is_spoilt(j)]
    sound = [judgement for judgement in judgements if not _is_spoilt(judgement)]
    why = [line for judgement in sound for line in _why(judgement, alone=len(judgements) == 1)]
    if spoilt:
        why.insert(0, f"{', '.join(spoilt)}: cells are INVALID and prove nothing")
    gaps = [gap for each in columns for gap in each.gaps]
    return NodeVerdict(
        name,
        column.headline.symbol,
        column.headline.text,
        tuple(dict.fromkeys((*_split(gaps), *why))),
        invalid,
        _mend(column, judgements, cells, measured_again=bool(invalid)),
    )


def _split(gaps: Sequence[Gap]) -> list[str]:
    """Say of the busiest cell what the GPU is worth and what virtualisation costs, where both are known."""
    pairs = {(gap.arm, gap.base, gap.cell): gap.ratio for gap in gaps}
    told = []
    for cell in dict.fromkeys(gap.cell for gap in gaps):
        worth = pairs.get((Arm.BARE, Arm.BARE_CPU, cell))
        cost = pairs.get((Arm.CONTAINER, Arm.BARE_CPU, cell))
        if worth is not None and cost is not None:
            told.append(
                f"{cell} tokens/s: the GPU is worth {factor(worth)}, virtualisation makes {change(cost)}"
            )
    return told[-1:]


def _is_spoilt(judgement: Judgement) -> bool:
    return judgement.outcome is Outcome.INCONCLUSIVE and all(_names_invalid(r) for r in judgement.reasons)


def _names_invalid(reason: str) -> bool:
    return " is INVALID" in reason


def _why(judgement: Judgement, *, alone: bool) -> list[str]:
    """Return what follows and its reasons; a threshold that alone is the headline is not named again."""
    said = judgement.verdict
    if judgement.outcome is Outcome.INCONCLUSIVE:
        said = inconclusive(judgement.minutes)
        said += " an arm and cell" if judgement.minutes is not None else ""
    reasons = [reason for reason in judgement.reasons if not _names_invalid(reason)]
    grade = f" ({judgement.grade})" if judgement.grade else ""
    if judgement.outcome is Outcome.NOT_APPLICABLE:
        return [f"{judgement.threshold}: {'; '.join(reasons)}{grade}"]
    if judgement.outcome is Outcome.FAIL:
        return [f"{said}{grade}" if alone else f"{judgement.threshold}: {said}{grade}", *reasons]
    return [f"{judgement.threshold}: {said}{grade}", *reasons]


def _mend(
    column: Column, judgements: Sequence[Judgement], cells: Sequence[CellSummary], *, measured_again: bool
) -> str:
    if any(judgement.outcome is Outcome.FAIL for judgement in judgements):
        return f"What it rests on: macfleet run show {column.run}"
    command = f"macfleet rollout stage5 --again -l {column.node}"
    if measured_again:
        return f"Measure again, with nothing else on the node: {command}"
    minutes = [judgement.minutes for judgement in judgements if judgement.minutes is not None]
    if minutes:
        wanted = math.ceil(max(minutes) + max((cell.minutes for cell in cells), default=0.0))
        return f"Measure longer: {command} --duration {max(wanted, _FULL_MINUTES)}m"
    return ""
