"""A planned fleet carried out: idle nodes settled, the others wave by wave, the run recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.stage import StageName
from macfleet.rollout.carry import Planned, in_waves, settle
from macfleet.rollout.checked import checked, is_idle
from macfleet.rollout.desired import Desired
from macfleet.rollout.elsewhere import Elsewhere, settle_elsewhere
from macfleet.rollout.loadtest_adopt import adopt, measured_before, record_anew
from macfleet.rollout.node import take_back
from macfleet.rollout.planning import NodePlan
from macfleet.rollout.ports import Ports
from macfleet.rollout.record import finish_run, write_plans
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult, failed_result
from macfleet.rollout.service import left_behind

if TYPE_CHECKING:
    from macfleet.rollout.run import Options


def carry_fleet(
    stage: StageName,
    nodes: Sequence[Node],
    planned: Planned,
    elsewhere: Elsewhere,
    desired: Desired,
    ports: Ports,
    options: Options,
) -> StageResult:
    """Do to each node what was planned for it and return how all ended; never raises for a single node."""
    idle = {n.name: checked(n, planned[n.name]) for n in nodes if is_idle(planned[n.name])}
    busy = [node for node in nodes if node.name not in idle]
    done = _back_in_service(stage, [n for n in nodes if n.name in idle], idle, desired, ports)
    if options.resume:
        done |= _taken_back([n for n in nodes if n.name in idle], planned, desired, ports, options)
    for name in idle if options.resume else ():
        settle(options.resume, done[name], ports)
    adopted = measured_before(stage, (*options.finished, *idle), options.resume, ports)
    if not busy and not adopted and not elsewhere.pending:
        unchanged = StageResult(stage, tuple(done[node.name] for node in nodes))
        return replace(unchanged, elsewhere=elsewhere.controller, edges=elsewhere.edges)
    ports.journal.begin(options.run_id, f"rollout {stage}", [n.name for n in nodes], _begun(stage, options))
    for name in idle:
        settle(options.run_id, done[name], ports)
    writer = ports.runs.create(options.run_id)
    ports.logs.attach(writer)
    write_plans(writer, planned)
    adopt(adopted, writer)
    elsewhere = settle_elsewhere(elsewhere, stage, ports, options)
    if elsewhere.failed:
        why = ("what is delegated to another machine before it failed",)
        done |= {node.name: NodeResult(node.name, NodeOutcome.NOT_REACHED, notes=why) for node in busy}
    else:
        done |= in_waves(stage, busy, planned, desired, ports, options, writer)
    for each in done.values():
        ports.logs.problems(each.node, each.diagnostics)
    ports.logs.attach(None)
    results = tuple(done[node.name] for node in nodes)
    # An interrupted run is not sealed: what it holds is no evidence, and the journal tells what was done.
    stopped = ports.stop()
    folder = ""
    if not stopped:
        folder = finish_run(writer, stage, nodes, results, desired, ports, options, adopted)
        record_anew(adopted, options.run_id, ports)
    ended = StageResult(stage, results, options.run_id, folder, interrupted=stopped)
    ended = replace(ended, elsewhere=elsewhere.controller, edges=elsewhere.edges)
    worst = ended.exit_code
    ports.journal.end(options.run_id, "ok" if worst is ExitCode.DONE else str(int(worst)))
    return ended


def _begun(stage: StageName, options: Options) -> dict[str, Json]:
    """Return what the journal says of a run besides its nodes."""
    detail: dict[str, Json] = {"who": options.who, "why": options.why}
    if options.resume:
        detail["resumes"] = options.resume
    if stage is StageName.LOADTEST:
        detail |= {"duration": options.load.duration, "segments": options.load.segments}
    return detail


def _back_in_service(
    stage: StageName,
    nodes: Sequence[Node],
    results: Mapping[str, NodeResult],
    desired: Desired,
    ports: Ports,
) -> dict[str, NodeResult]:
    """Put nodes without work back that an earlier run of the stage did not put back."""
    by_name = {node.name: node for node in nodes}
    playbook = desired.playbooks[stage]
    answers = ports.executor.each(
        tuple(by_name), lambda name: left_behind(stage, results[name], by_name[name], playbook, ports)
    )
    found: dict[str, NodeResult] = {}
    for name, answer in answers.items():
        if isinstance(answer, Exception):
            raise answer
        found[name] = answer
    return found


def _taken_back(
    nodes: Sequence[Node], planned: Planned, desired: Desired, ports: Ports, options: Options
) -> dict[str, NodeResult]:
    """Take back what a resumed run left on nodes without work; return those where that failed."""
    by_name = {node.name: node for node in nodes}

    def work(name: str) -> None:
        plan = planned[name]
        if isinstance(plan, NodePlan):
            take_back(plan, desired, ports, options)

    answers = ports.executor.each(tuple(by_name), work)
    return {
        name: failed_result(by_name[name], answer)
        for name, answer in answers.items()
        if isinstance(answer, Exception)
    }
