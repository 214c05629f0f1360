"""Recorded runs as values a comparison can be made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.analysis.summaries import parse_summary
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import JsonObject
from macfleet.model.ports import RunStore
from macfleet.model.run import CellSummary, RunManifest

_WHOLE = "summary.json"


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A run's head, its summaries and the facts of its nodes.

    Attributes:
        facts: by node, as ``nodes/<node>/facts.json`` holds them; a node without facts is missing.
        places: the file inside the run that holds a node's summaries, where it is not ``summary.json``.
    """

    manifest: RunManifest
    cells: tuple[CellSummary, ...]
    facts: Mapping[str, JsonObject]
    places: Mapping[str, str] = field(default_factory=dict)

    def of(self, node: str) -> tuple[CellSummary, ...]:
        """Return one node's summaries."""
        return tuple(cell for cell in self.cells if cell.node == node)

    @property
    def measured(self) -> tuple[str, ...]:
        """Nodes that have summaries, sorted."""
        return tuple(sorted({cell.node for cell in self.cells}))


def load_run(runs: RunStore, run_id: str) -> LoadedRun:
    """Read one run (raises MacfleetError E0950 to E0957 for what cannot be read).

    Summaries stand in ``summary.json``, or a node's own in ``nodes/<node>/summary.json``; a run without
    either has no cells.
    """
    manifest = runs.manifest(run_id)
    cells: list[CellSummary] = []
    places: dict[str, str] = {}
    for path in (_WHOLE, *(f"nodes/{node}/summary.json" for node in manifest.nodes)):
        if path not in manifest.files:
            continue
        found = parse_summary(runs.document(run_id, path), f"{run_id}/{path}")
        cells += found
        places |= dict.fromkeys((cell.node for cell in found), path)
        if path == _WHOLE:
            break
    facts: dict[str, JsonObject] = {}
    for node in manifest.nodes:
        path = f"nodes/{node}/facts.json"
        if path in manifest.files:
            document = runs.document(run_id, path)
            facts[node] = document if isinstance(document, Mapping) else {}
    return LoadedRun(manifest, tuple(cells), facts, places)


@dataclass(frozen=True, slots=True)
class Selection:
    """Runs chosen to stand beside each other, and in words what was left out and why."""

    runs: tuple[LoadedRun, ...]
    notes: tuple[str, ...] = ()


def newest_runs(runs: RunStore) -> Selection:
    """Read the newest load tests that together cover each node once.

    What was measured with other requests than the newest of them is left out with a note.

    Raises:
        MacfleetError: E1002 no load test was recorded yet.
    """
    found: list[LoadedRun] = []
    covered: set[str] = set()
    for run_id in reversed(runs.ids()):
        manifest = runs.manifest(run_id)
        if manifest.kind != "loadtest" or not set(manifest.nodes) - covered:
            continue
        run = load_run(runs, run_id)
        if set(run.measured) - covered:
            found.append(run)
            covered |= set(run.measured)
    if not found:
        raise MacfleetError(
            Diagnostic(
                "E1002",
                "there is no load test to compare yet",
                why="A comparison is made of runs that stage 5 recorded.",
                mend="macfleet rollout stage5",
                exit_code=ExitCode.USAGE,
            )
        )
    alike = tuple(run for run in found if run.manifest.sent == found[0].manifest.sent)
    shown = {node for run in alike for node in run.measured}
    notes = tuple(
        f"{', '.join(sorted(set(run.measured) - shown))} left out: run {run.manifest.id} sent other requests"
        for run in found
        if run not in alike
    )
    return Selection(alike, notes)


def newest_of_each_node(runs: Sequence[LoadedRun]) -> tuple[tuple[LoadedRun, str], ...]:
    """Return (run, node) with the newest run of each node, sorted by node."""
    chosen: dict[str, LoadedRun] = {}
    for run in sorted(runs, key=lambda each: each.manifest.id):
        chosen.update(dict.fromkeys(run.measured, run))
    return tuple((chosen[node], node) for node in sorted(chosen))
