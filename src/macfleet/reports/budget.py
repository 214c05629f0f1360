"""The latency budget held against what runs recorded, node by node."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macfleet.analysis.budget import (
    ALGORITHMIC,
    DECODE,
    ENVIRONMENTAL,
    FIRST_TOKEN,
    NETWORK,
    NOT_MEASURED,
    Budget,
    Measurement,
    Spent,
    Term,
    spent,
)
from macfleet.analysis.judging import NodeEvidence, virtualisation_base
from macfleet.model.contract import Contract
from macfleet.model.ports import RunStore
from macfleet.model.run import CellSummary, Interval
from macfleet.model.stage import Outcome
from macfleet.reports.loaded import LoadedRun, newest_of_each_node

REVIEW_DAYS = 7
"""A budget is reviewed weekly; figures older than that say nothing about this week."""


@dataclass(frozen=True, slots=True)
class NodeBudget:
    """One node's requests.

    Attributes:
        run: whose cell fills the terms; days: its age.
        terms: in the file's order; whole: all of them together against end to end.
    """

    node: str
    run: str
    arm: str
    days: float
    terms: tuple[Spent, ...]
    whole: Spent


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """The budget, how each node stands, and what to know first."""

    budget: Budget
    nodes: tuple[NodeBudget, ...]
    notices: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether a term of a node is over its budget."""
        return any(each.outcome is Outcome.FAIL for node in self.nodes for each in (*node.terms, node.whole))


def budget_report(
    budget: Budget,
    contract: Contract,
    runs: Sequence[LoadedRun],
    store: RunStore,
    *,
    arm: str,
    now: dt.datetime,
) -> BudgetReport:
    """Fill every term from the newest run of each node (raises MacfleetError for a damaged run)."""
    found = []
    for run, node in newest_of_each_node(runs):
        figures = _figures(run, node, arm, budget, contract)
        if proof := _network(store, node, contract):
            figures[NETWORK] = proof
        base_arm = virtualisation_base(NodeEvidence(node, run.manifest.id, run.of(node), ()))[0]
        base = {} if base_arm == arm else _figures(run, node, base_arm, budget, contract)
        everything = (*budget.terms, Term("end to end", budget.whole, _END_TO_END, ALGORITHMIC))
        missing = _missing(run, node, arm, budget)
        *terms, whole = (
            spent(term, figures[term.measured_by], base.get(term.measured_by), base_arm)
            if term.measured_by in figures
            else Spent(term, Outcome.NOT_APPLICABLE, why=_why_not(term, missing))
            for term in everything
        )
        age = (now - dt.datetime.fromisoformat(run.manifest.finished)).total_seconds() / 86400
        found.append(NodeBudget(node, run.manifest.id, arm, age, tuple(terms), whole))
    return BudgetReport(budget, tuple(found), _notices(budget, contract, found, runs))


_END_TO_END = "end to end"


def _figures(
    run: LoadedRun, node: str, arm: str, budget: Budget, contract: Contract
) -> dict[str, Measurement]:
    """Return the figures of one arm's cell by what terms call them; none of a cell that proves nothing."""
    cell = next((c for c in run.of(node) if (c.arm, c.cell) == (arm, budget.cell)), None)
    if cell is None or cell.invalid:
        return {}
    place = f"{run.manifest.id}/{run.places.get(node, 'summary.json')}#{node}/{arm}/{cell.cell}"
    gaps = contract.bucket(budget.bucket).output - 1
    named = {
        FIRST_TOKEN: (cell.ttft_p95, "p95 where the client sat, queue and tokenizer in it"),
        DECODE: (_times(_gap(cell), gaps), f"p95 of an answer's mean gap × {gaps}"),
        _END_TO_END: (cell.p95, "p95, a failure counts as never"),
    }
    return {
        name: Measurement(seconds, how, place)
        for name, (seconds, how) in named.items()
        if not math.isnan(seconds.value)
    }


def _missing(run: LoadedRun, node: str, arm: str, budget: Budget) -> str:
    cell = next((c for c in run.of(node) if (c.arm, c.cell) == (arm, budget.cell)), None)
    if cell is None:
        return f"the run has no {arm} {budget.cell}"
    return f"{arm} {budget.cell} is INVALID" if cell.invalid else "the run did not record it"


def _why_not(term: Term, missing: str) -> str:
    """Return why a term has no figure; nothing where the file says that it is not measured."""
    if term.measured_by == NOT_MEASURED:
        return ""
    return "no proof of the network is recorded" if term.measured_by == NETWORK else missing


def _gap(cell: CellSummary) -> Interval:
    return cell.itl_p95 or Interval(math.nan)


def _times(interval: Interval, factor: int) -> Interval:
    low, high = (None if each is None else each * factor for each in (interval.low, interval.high))
    return Interval(interval.value * factor, low, high)


def _network(store: RunStore, node: str, contract: Contract) -> Measurement | None:
    """Return p95 from the client to the node's published port, in the mode the newest proof chose."""
    path = f"nodes/{node}/network.json"
    for run_id in reversed(store.ids()):
        manifest = store.manifest(run_id)
        if manifest.kind != "network" or path not in manifest.files:
            continue
        proof = store.document(run_id, path)
        paths = proof.get("paths") if isinstance(proof, Mapping) else None
        if not isinstance(proof, Mapping) or not isinstance(paths, Mapping):
            return None
        name = f"{proof.get('mode')}/client/{'keep-alive' if contract.client.keep_alive else 'fresh'}"
        measured = paths.get(name)
        value = measured.get("p95_ms") if isinstance(measured, Mapping) else None
        if not isinstance(value, int | float):
            return None
        # A proof keeps percentiles of hundreds of pings, not an interval: the figure stands for itself.
        seconds = Interval(value / 1e3, value / 1e3, value / 1e3)
        return Measurement(seconds, f"p95 of {name}, one small request and its answer", f"{run_id}/{path}")
    return None


def _notices(
    budget: Budget, contract: Contract, nodes: Sequence[NodeBudget], runs: Sequence[LoadedRun]
) -> tuple[str, ...]:
    found = []
    promised = contract.bucket(budget.bucket).slo.e2e_p95
    if promised is not None and budget.whole > promised:
        found.append(
            f"the terms add up to {budget.whole:.4g} s, more than the {promised:.4g} s "
            "end to end that are promised"
        )
    found += [
        f"{node.node}: measured {node.days:.0f} days ago, and a budget is reviewed weekly"
        for node in nodes
        if node.days > REVIEW_DAYS
    ]
    shown = {node.run for node in nodes}
    heads = [run.manifest for run in runs if run.manifest.id in shown]
    if any(head.contract != contract.hash for head in heads):
        found.append("measured under another contract than the one in the fleet folder")
    if any(head.simulated for head in heads):
        found.append("measured in a lab of simulated nodes: not a Mac's figure")
    if any(head.short for head in heads):
        found.append("short, under 30 minutes an arm and cell: indicative")
    return tuple(found)


def classed(report: BudgetReport) -> dict[str, tuple[str, ...]]:
    """Return the overruns by how they are mended, each as ``node: term``."""
    over = [
        (each.kind, f"{node.node}: {each.term.name}")
        for node in report.nodes
        for each in node.terms
        if each.outcome is Outcome.FAIL
    ]
    kinds = sorted({kind for kind, _ in over}, key=lambda kind: kind == ENVIRONMENTAL)
    return {kind: tuple(name for own, name in over if own == kind) for kind in kinds}
