"""Many nodes' runs made into one comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from macfleet.analysis.attestations import Attested, counted
from macfleet.analysis.judging import NodeEvidence, judge_thresholds, virtualisation_base
from macfleet.analysis.pairs import interval_ratio, paired_ratio
from macfleet.analysis.thresholds import DEFAULTS, Threshold
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json, JsonObject
from macfleet.model.node import Arm
from macfleet.model.quantity import show_bytes
from macfleet.model.run import CellSummary, RunManifest
from macfleet.reports.accelerators import accelerator_notices
from macfleet.reports.comparison import KEYS, Column, Comparison, Gap, Growth, Headline
from macfleet.reports.environment import compare_environments
from macfleet.reports.headline import headline
from macfleet.reports.loaded import LoadedRun, newest_of_each_node
from macfleet.reports.notices import notices


def compare(
    runs: Sequence[LoadedRun],
    by: str = "node",
    *,
    baseline: LoadedRun | None = None,
    thresholds: Sequence[Threshold] = DEFAULTS,
    every_run: bool = False,
    notes: Sequence[str] = (),
    attestations: Sequence[Attested] = (),
) -> Comparison:
    """Put the newest run of each node, or every run given, beside each other.

    Args:
        runs: at least one.
        by: one of `KEYS`: what columns are ordered and titled by; ``arm`` gives each arm a column.
        baseline: a run that every column is held against as well.
        thresholds: the team's lines.
        notes: what was left out of `runs`; shown with the notices.
        attestations: colleagues' words; each counts for the contract it names.
        every_run: keep several runs of one node apart instead of taking its newest.

    Raises:
        MacfleetError: E1001 requests of different bytes were sent, E1003 unknown `by`,
            E1004 a run without figures.
    """
    _check(by, runs, baseline)
    chosen = (
        [(run, node) for run in runs for node in run.measured] if every_run else newest_of_each_node(runs)
    )
    repeated = len({node for _, node in chosen}) < len(chosen)
    columns = [
        column
        for run, node in chosen
        for column in _columns(run, node, by, baseline, thresholds, attestations, repeated=repeated)
    ]
    columns.sort(key=lambda column: (column.group, column.node, column.run, column.title))
    used = {run.manifest.id: run.manifest for run, _ in chosen}
    facts = {_title(run, node, repeated=repeated): run.facts.get(node, {}) for run, node in chosen}
    first = next((run.manifest for run, _ in chosen if run.manifest.sent), chosen[0][0].manifest)
    return Comparison(
        by=by,
        baseline=baseline.manifest.id if baseline else Arm.BARE.value,
        contract=first.contract,
        sent=first.sent,
        vantage=first.vantage,
        environment=compare_environments(facts),
        notices=(*notices(tuple(used.values()), columns), *accelerator_notices(facts), *notes),
        columns=tuple(columns),
        simulated=tuple(sorted({part for manifest in used.values() for part in manifest.simulated})),
    )


def _check(by: str, runs: Sequence[LoadedRun], baseline: LoadedRun | None) -> None:
    problems = []
    if by not in KEYS:
        keys = ", ".join(KEYS)
        problems.append(Diagnostic("E1003", f"nothing is compared by {by!r}", mend=f"One of: {keys}."))
    everything = [*runs, *([baseline] if baseline else [])]
    problems += [
        Diagnostic(
            "E1004",
            f"run {run.manifest.id} of kind {run.manifest.kind} holds no figures of a load test",
            mend="macfleet run list",
        )
        for run in everything
        if not run.cells
    ]
    known = [run for run in everything if run.manifest.sent]
    if len({run.manifest.sent for run in known}) > 1:
        problems.append(_different_requests(known))
    if problems:
        raise MacfleetError(problems)


def _unjudged(kind: str) -> Headline | None:
    """Return what stands in place of a verdict over a run that nobody judges; None for one that is judged."""
    words = {"imported": "imported, not judged", "ad-hoc": "ad hoc, not judged"}
    return Headline("·", words[kind]) if kind in words else None


def _different_requests(runs: Sequence[LoadedRun]) -> Diagnostic:
    rows = [f"{run.manifest.id} sent {run.manifest.sent[:12]}…" for run in runs]
    return Diagnostic(
        "E1001",
        "these runs sent different requests and cannot stand beside each other",
        why=f"Figures are comparable only when every byte sent was the same: {'; '.join(rows)}.",
        mend="Measure again under one contract: macfleet rollout stage5 --again",
        exit_code=ExitCode.USAGE,
    )


def _columns(
    run: LoadedRun,
    node: str,
    by: str,
    baseline: LoadedRun | None,
    thresholds: Sequence[Threshold],
    attestations: Sequence[Attested],
    *,
    repeated: bool,
) -> list[Column]:
    cells, facts = run.of(node), run.facts.get(node, {})
    imported, ad_hoc = run.manifest.kind == "imported", run.manifest.kind == "ad-hoc"
    words = counted(attestations, run.manifest.contract)
    evidence = replace(_evidence(run, node, cells, facts), attestations=words)
    judgements = () if imported or ad_hoc else judge_thresholds(evidence, thresholds)
    drop_line = next(
        (each.limits["tokens_per_second_drop"] for each in judgements if each.threshold == "mounts-first"),
        None,
    )
    whole = Column(
        title=_title(run, node, repeated=repeated),
        group="",
        about=run.manifest.client_version if imported else _about(facts),
        run=run.manifest.id,
        node=node,
        short=run.manifest.short,
        cells=cells,
        gaps=(*_gaps(evidence, drop_line), *_against(run.manifest, cells, baseline)),
        growths=_growths(cells),
        judgements=judgements,
        headline=_unjudged(run.manifest.kind) or headline(judgements),
        imported=imported,
        ad_hoc=ad_hoc,
    )
    if by != "arm":
        return [replace(whole, group="" if by == "node" else _text(facts.get(by)))]
    return [
        replace(
            whole,
            title=f"{whole.title} {arm}",
            group=arm,
            cells=tuple(cell for cell in cells if cell.arm == arm),
            gaps=tuple(gap for gap in whole.gaps if gap.arm == arm),
            growths=tuple(growth for growth in whole.growths if growth.arm == arm),
        )
        for arm in whole.arms
    ]


def _evidence(run: LoadedRun, node: str, cells: tuple[CellSummary, ...], facts: JsonObject) -> NodeEvidence:
    profile = run.manifest.profile
    named = profile.get("judged")
    judged = tuple(str(each) for each in named) if isinstance(named, list | tuple) else _judged(cells)
    storage = facts.get("storage_drop")
    return NodeEvidence(
        node=node,
        run=run.manifest.id,
        cells=cells,
        judged=judged,
        model=_text(facts.get("model")),
        chip=_text(facts.get("chip")),
        summary=run.places.get(node, "summary.json"),
        virtiofs="virtiofs" in _text(facts.get("mounts")),
        storage_drop=float(storage) if isinstance(storage, int | float) else None,
        planted=_planted(facts),
    )


def _planted(facts: JsonObject) -> tuple[str, ...]:
    """Names of the figures that a lab node made up."""
    inner = facts.get("facts")
    system = inner.get("system") if isinstance(inner, Mapping) else None
    return tuple(_text(system.get("planted")).split()) if isinstance(system, Mapping) else ()


def _judged(cells: Sequence[CellSummary]) -> tuple[str, ...]:
    """Where a run does not name its judged cells: every cell at concurrency 1 and 4."""
    return tuple(dict.fromkeys(cell.cell for cell in cells if cell.concurrency in (1, 4)))


def _gaps(evidence: NodeEvidence, line: float | None) -> tuple[Gap, ...]:
    base, _ = virtualisation_base(evidence)
    pairs = [
        (Arm.CONTAINER.value, base),
        (Arm.BARE.value, Arm.BARE_CPU.value),
        (Arm.HOST_ENGINE.value, Arm.BARE.value),
    ]
    found = []
    for name in dict.fromkeys(cell.cell for cell in evidence.cells):
        for arm, other in pairs:
            one, two = evidence.cell(arm, name), evidence.cell(other, name)
            if one is None or two is None:
                continue
            ratio = (
                None
                if one.invalid or two.invalid
                else paired_ratio(one.segment_tokens_per_second, two.segment_tokens_per_second)
            )
            within = None
            if arm == Arm.CONTAINER and line is not None and ratio is not None and ratio.pairs >= 3:
                lower, upper = ratio.lower or 0.0, ratio.upper or math.inf
                within = True if lower > 1 - line else False if upper < 1 - line else None
            found.append(Gap(name, arm, other, ratio, within))
    return tuple(found)


def _against(
    manifest: RunManifest, cells: Sequence[CellSummary], baseline: LoadedRun | None
) -> tuple[Gap, ...]:
    """Tokens/s against the same node and cell of a baseline run, or its only node."""
    if baseline is None or baseline.manifest.id == manifest.id:
        return ()
    only = baseline.measured if len(baseline.measured) == 1 else ()
    found = []
    for cell in cells:
        nodes = (cell.node, *only)
        other = next(
            (
                each
                for node in nodes
                for each in baseline.of(node)
                if (each.arm, each.cell) == (cell.arm, cell.cell)
            ),
            None,
        )
        if other is None:
            continue
        ratio = (
            None
            if cell.invalid or other.invalid
            else interval_ratio(cell.tokens_per_second, other.tokens_per_second)
        )
        found.append(Gap(cell.cell, cell.arm, baseline.manifest.id, ratio))
    return tuple(found)


def _growths(cells: Sequence[CellSummary]) -> tuple[Growth, ...]:
    found = []
    for arm, bucket in dict.fromkeys((cell.arm, cell.bucket) for cell in cells):
        own = {cell.concurrency: cell for cell in cells if (cell.arm, cell.bucket) == (arm, bucket)}
        if 1 in own and 4 in own:
            ratio = None if own[1].invalid or own[4].invalid else interval_ratio(own[4].p95, own[1].p95)
            memory = own[4].memory
            found.append(Growth(bucket, arm, ratio, memory.value if memory else None))
    return tuple(found)


def _title(run: LoadedRun, node: str, *, repeated: bool) -> str:
    return f"{node} {run.manifest.id}" if repeated else node


def _about(facts: Mapping[str, Json]) -> str:
    memory = facts.get("memory")
    parts = [_text(facts.get("chip")), show_bytes(memory) if isinstance(memory, int) and memory else ""]
    return " ".join(part for part in parts if part)


def _text(value: Json) -> str:
    return "" if value is None else str(value)
