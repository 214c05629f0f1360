"""What keeps a run from being signed: every reason, before a key is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from macfleet.analysis.conditions import FULL_MINUTES
from macfleet.analysis.judging import Judgement
from macfleet.analysis.percentiles import GATED_REQUESTS
from macfleet.analysis.thresholds import DEFAULTS, Threshold
from macfleet.model.diagnostic import Diagnostic
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary
from macfleet.model.stage import Outcome
from macfleet.reports.compare import compare
from macfleet.reports.headline import inconclusive
from macfleet.reports.loaded import LoadedRun
from macfleet.reports.verdicts import invalid_text

_CANNOT = "cannot be signed: "
_SECOND = 1 / 60
_JUDGED_BY_MEASURING = ("mounts-first", "offload-live")


def unsignable(
    run: LoadedRun, vm_during_bare: Mapping[str, bool | None], thresholds: Sequence[Threshold] = DEFAULTS
) -> tuple[Diagnostic, ...]:
    """Return every reason why a run cannot be signed; none when it can.

    Args:
        run: whose files were verified.
        vm_during_bare: by node, whether its VM ran while the bare arm was measured; None where the run
            does not say.
        thresholds: the team's lines; an open one means the run settled nothing.
    """
    manifest = run.manifest
    if manifest.kind != "loadtest":
        return (_reason("E0970", f"a run of kind {manifest.kind} is not signed", "Only load tests are."),)
    found = [*_head(run)]
    for node in manifest.nodes:
        found += _evidence(run, node)
        found += _cells(run, node)
        found += _vm(run, node, vm_during_bare.get(node))
    if run.cells:
        columns = compare([run], every_run=True, thresholds=thresholds).columns
        found += [each for column in columns for each in _open(column.node, column.judgements)]
    return _together(found)


def _together(found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Join reasons of one kind about one node, so that a screen has room for all of them."""
    kinds: dict[tuple[str, str, str, str], list[str]] = {}
    for each in found:
        said = each.summary.removeprefix(_CANNOT)
        kinds.setdefault((each.code, each.node, each.why, each.mend), []).append(said)
    return tuple(
        Diagnostic(
            code, f"{_CANNOT}{'; '.join(said)}", why=why, mend=mend, node=node, exit_code=ExitCode.HELD
        )
        for (code, node, why, mend), said in kinds.items()
    )


def _head(run: LoadedRun) -> Iterator[Diagnostic]:
    manifest = run.manifest
    if manifest.git_dirty or not manifest.git_commit:
        what = "had uncommitted changes" if manifest.git_commit else "was not a git repository"
        yield _reason("E0971", f"the fleet folder {what}", "Nobody could look up what was rolled out.")
    simulated = [node for node in manifest.nodes if run.facts.get(node, {}).get("simulated")]
    if simulated and not manifest.simulated:
        names = ", ".join(simulated)
        yield _reason("E0972", f"{names} is simulated and the manifest does not say so", "")


def _evidence(run: LoadedRun, node: str) -> Iterator[Diagnostic]:
    """What of the artifacts a verdict rests on is not there."""
    folder = f"nodes/{node}"
    arms = sorted({cell.arm for cell in run.of(node)})
    wanted = ["verdicts.json", f"{folder}/facts.json", f"{folder}/segments.json", f"{folder}/series.parquet"]
    wanted += [f"{folder}/{arm}/samples.parquet" for arm in arms]
    for path in wanted:
        if path not in run.manifest.files:
            yield _reason("E0973", f"{path} is missing", "A verdict rests on it.", node)
    declared = run.facts.get(node, {}).get("accelerators")
    names = declared if isinstance(declared, Mapping) else run.manifest.arms
    for arm in sorted(set(names) - set(arms)):
        third = arm == Arm.BARE_CPU and arm not in run.manifest.arms
        why = "Bare has an accelerator that the container lacks." if third else "The node declares it."
        yield _reason("E0973", f"arm {arm} was not measured", why, node)


def _cells(run: LoadedRun, node: str) -> Iterator[Diagnostic]:
    cells = run.of(node)
    names = judged_cells(run, cells)
    for arm in sorted({cell.arm for cell in cells}):
        for name in names:
            cell = next((each for each in cells if (each.arm, each.cell) == (arm, name)), None)
            if cell is None:
                yield _reason("E0973", f"{arm} {name} was not measured", "It is a judged cell.", node)
            else:
                yield from _cell(cell)


def judged_cells(run: LoadedRun, cells: Sequence[CellSummary]) -> tuple[str, ...]:
    """Return the names of a run's judged cells: as its profile says, else those at concurrency 1 and 4."""
    named = run.manifest.profile.get("judged")
    if isinstance(named, list | tuple):
        return tuple(str(each) for each in named)
    return tuple(dict.fromkeys(cell.cell for cell in cells if cell.concurrency in (1, 4)))


def _cell(cell: CellSummary) -> Iterator[Diagnostic]:
    name = f"{cell.arm} {cell.cell}"
    if cell.minutes < FULL_MINUTES - _SECOND:
        why = f"A judged cell is measured for {FULL_MINUTES:g} minutes an arm, whatever the contract says."
        yield _reason("E0974", f"{name} is short: {cell.minutes:.1f} minutes", why, cell.node)
    if cell.invalid:
        yield _reason("E0975", invalid_text(cell), "An invalid cell is never judged.", cell.node)
    if cell.n < GATED_REQUESTS:
        lacking = (GATED_REQUESTS - cell.n) * cell.minutes / cell.n if cell.n else FULL_MINUTES
        why = f"A gate rests on at least {GATED_REQUESTS} requests."
        yield _reason("E0976", f"{name} is {inconclusive(lacking)} (n {cell.n})", why, cell.node)
    if cell.memory is None:
        yield _reason("E0973", f"{name}: host memory was not sampled", "A threshold rests on it.", cell.node)
    if cell.arm == Arm.CONTAINER and cell.iowait is None:
        yield _reason("E0973", f"{name}: the VM was not sampled", "A threshold rests on it.", cell.node)


def _vm(run: LoadedRun, node: str, up: bool | None) -> Iterator[Diagnostic]:  # noqa: FBT001 (private)
    arms = {cell.arm for cell in run.of(node)}
    needs_vm = arms & {Arm.CONTAINER, Arm.HOST_ENGINE}
    if not arms & {Arm.BARE, Arm.BARE_CPU} or not needs_vm or up is False:
        return
    said = "the VM was up" if up else "nothing says whether the VM was up"
    why = "A VM that idles takes memory and CPU from the bare arm; a signed run has it stopped."
    yield _reason("E0977", f"{said} in the bare arm", why, node)


def _open(node: str, judgements: Sequence[Judgement]) -> Iterator[Diagnostic]:
    for judgement in judgements:
        if judgement.threshold in _JUDGED_BY_MEASURING and judgement.outcome is Outcome.INCONCLUSIVE:
            said = f"{judgement.threshold} is {inconclusive(judgement.minutes)}"
            yield _reason("E0976", said, "; ".join(judgement.reasons), node)


def _reason(code: str, summary: str, why: str, node: str = "") -> Diagnostic:
    again = f"macfleet rollout stage5 --again{f' -l {node}' if node else ''}"
    mends = {
        "E0970": "macfleet run list",
        "E0971": f"Commit the fleet folder, then measure again: {again}",
        "E0974": f"Measure longer: {again} --duration 30m",
        "E0976": f"Measure longer: {again}",
        "E0977": f"Measure again with the VM stopped in the bare arm: {again} --duration 30m",
    }
    return Diagnostic(
        code,
        f"{_CANNOT}{summary}",
        why=why,
        mend=mends.get(code, f"Measure again: {again}"),
        node=node,
        exit_code=ExitCode.HELD,
    )
