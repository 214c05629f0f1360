"""What changed from one run to another, the image first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from macfleet.analysis.pairs import Ratio, interval_ratio
from macfleet.model.json import JsonObject
from macfleet.model.run import CellSummary, Interval
from macfleet.reports.comparison import Environment
from macfleet.reports.environment import compare_environments
from macfleet.reports.loaded import LoadedRun


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two things held against each other: a node of a run, or a release's golden figures.

    Attributes:
        title: what it is called; facts: as ``facts.json`` holds them.
        cells: INVALID ones too: they are named, and no ratio is made of them.
    """

    title: str
    contract: str
    sent: str
    facts: JsonObject
    cells: tuple[CellSummary, ...]
    simulated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One figure of one arm and cell on both sides.

    Attributes:
        ratio: after over before, None where there is none; moved: whether its interval leaves one out.
    """

    arm: str
    cell: str
    figure: str
    before: Interval
    after: Interval
    ratio: Ratio | None
    moved: bool | None


@dataclass(frozen=True, slots=True)
class RunDifference:
    """The answer to "what changed?".

    Attributes:
        image: ``no``, ``yes`` or ``not recorded``.
        same_contract, same_requests: whether the promise, and every byte sent, was the same.
        figures: empty where the requests differ: such figures say nothing about each other.
        missing: cells that only one side has, or that are INVALID, in words.
    """

    before: str
    after: str
    image: str
    same_contract: bool
    same_requests: bool
    environment: Environment
    figures: tuple[FigureChange, ...]
    missing: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()


_FIGURES = ("tokens_per_second", "p50", "p95", "ttft_p50", "ttft_p95", "itl_p50")


def sides(run: LoadedRun) -> Mapping[str, Side]:
    """Return every measured node of a run as a side, by the node's name."""
    head = run.manifest
    return {
        node: Side(
            f"{node} {head.id}",
            head.contract,
            head.sent,
            run.facts.get(node, {}),
            run.of(node),
            head.simulated,
        )
        for node in run.measured
    }


def difference(before: Side, after: Side) -> RunDifference:
    """Hold two sides against each other."""
    environment = compare_environments({before.title: before.facts, after.title: after.facts})
    same = before.sent == after.sent
    return RunDifference(
        before=before.title,
        after=after.title,
        image={"identical": "no", "changed": "yes"}.get(environment.images, environment.images),
        same_contract=before.contract == after.contract,
        same_requests=same,
        environment=environment,
        figures=tuple(_changes(before, after)) if same else (),
        missing=tuple(_missing(before, after)),
        simulated=tuple(sorted({*before.simulated, *after.simulated})),
    )


def _changes(before: Side, after: Side) -> Iterable[FigureChange]:
    old = _valid(before.cells)
    new = _valid(after.cells)
    for key in sorted(old.keys() & new.keys()):
        for name in _FIGURES:
            first, second = (getattr(each[key], name) for each in (old, new))
            ratio = interval_ratio(second, first)
            yield FigureChange(*key, name, first, second, ratio, _moved(ratio))


def _moved(ratio: Ratio | None) -> bool | None:
    """Whether the two-sided interval of the ratio leaves one out; None where there is no interval."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    return not ratio.low <= 1 <= ratio.high


def _valid(cells: Sequence[CellSummary]) -> dict[tuple[str, str], CellSummary]:
    return {(cell.arm, cell.cell): cell for cell in cells if not cell.invalid}


def _missing(before: Side, after: Side) -> Iterable[str]:
    for side, other in ((before, after), (after, before)):
        for cell in side.cells:
            if cell.invalid:
                yield f"{side.title}: {cell.arm} {cell.cell} is INVALID: {cell.invalid[0]}"
            elif not any((each.arm, each.cell) == (cell.arm, cell.cell) for each in other.cells):
                yield f"{other.title}: {cell.arm} {cell.cell} was not measured"
