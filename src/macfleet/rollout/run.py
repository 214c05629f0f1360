"""`macfleet rollout stageN`: plan the fleet, then wave by wave drain, apply, verify, measure, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from macfleet.gates import build_gate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.stage import StageName
from macfleet.playbooks import WHOLE, TagChoice
from macfleet.rollout.ahead import Ahead
from macfleet.rollout.carry import Planned, in_waves, settle
from macfleet.rollout.desired import Desired
from macfleet.rollout.elsewhere import Elsewhere, plan_elsewhere, settle_elsewhere
from macfleet.rollout.load_profile import LoadProfile
from macfleet.rollout.loadtest_adopt import adopt, measured_before, record_anew
from macfleet.rollout.loadtest_wake import wake
from macfleet.rollout.node import take_back
from macfleet.rollout.node_log import BothEvents
from macfleet.rollout.planning import NodePlan, plan_node
from macfleet.rollout.ports import Ports
from macfleet.rollout.record import finish_run, write_plans
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult, failed_result
from macfleet.rollout.run_lock import NO_FENCE, Claim, Fence, held
from macfleet.rollout.service import left_behind
from macfleet.rollout.strangers import wait_for_strangers

MAX_AGE = 7 * 86400.0
SLOWEST = 10
"""Changes whose times a result keeps."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the person at the terminal chose.

    Attributes:
        check: plan and judge only, change nothing.
        again: measure even where evidence is current.
        run_id: id of the run.
        resume: id of the run whose unfinished nodes this one goes on with, empty for none: their locks
            are taken over and they are settled in its journal too.
        finished: nodes that the resumed run finished; a run that broke off is never sealed, so what it
            measured of them goes into this one.
        load: how long stage 5 measures.
        wait: seconds that another run on these nodes gets to finish.
        fence: what the store gave this run; nodes obey no controller with an older one.
        saved: digest by node of a plan that was looked at; a node whose plan differs now is refused.
        ahead: what nodes answered to the probes of all stages; only while nothing was done to them since.
        tags: which tasks act; a part of a stage is applied, judged by no gate and never made current.
    """

    run_id: str
    who: str
    check: bool = False
    again: bool = False
    resume: str = ""
    finished: tuple[str, ...] = ()
    why: str = ""
    max_age: float = MAX_AGE
    max_failures: str = ""
    load: LoadProfile = field(default_factory=lambda: LoadProfile(1800.0))
    saved: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    fence: Fence = NO_FENCE
    tags: TagChoice = WHOLE
    ahead: Ahead = field(default_factory=dict)


def rollout(
    stage: StageName, nodes: Sequence[Node], desired: Desired, ports: Ports, options: Options
) -> StageResult:
    """Carry one stage out and return how it ended for each node; never raises for a single node.

    Raises:
        MacfleetError: E0590 (exit 6) another run holds one of the nodes, or what the fleet folder has wrong.
    """
    began = ports.clock.monotonic()
    ports.logs.begin(ports.clock)
    ports = replace(ports, events=BothEvents(ports.events, ports.logs))
    if options.check:
        planned = _plan_fleet(stage, nodes, desired, ports, options)
        elsewhere = plan_elsewhere(stage, nodes, desired, ports, options)
        results = tuple(_checked(node, planned[node.name]) for node in nodes)
        spent = ports.clock.monotonic() - began
        return StageResult(
            stage, results, seconds=spent, check=True, elsewhere=elsewhere.result if elsewhere else None
        )
    names = tuple(node.name for node in nodes)
    claim = Claim(names, options.run_id, f"rollout {stage}", options.wait)
    with held(claim, ports.locks, ports.clock, ports.events) as fence:
        options = replace(options, fence=fence)
        if options.wait:
            run = options.resume or options.run_id
            wait_for_strangers(nodes, ports, run, fence, began + options.wait)
        wake(stage, nodes, ports, options)
        planned = _plan_fleet(stage, nodes, desired, ports, options)
        elsewhere = plan_elsewhere(stage, nodes, desired, ports, options)
        try:
            result = _carry_fleet(stage, nodes, planned, elsewhere, desired, ports, options)
        finally:
            if ports.relay is not None:
                ports.relay.close(ports.executor, ports.events)
    return replace(result, seconds=ports.clock.monotonic() - began, slowest=ports.logs.slowest(SLOWEST))


def _plan_fleet(
    stage: StageName, nodes: Sequence[Node], desired: Desired, ports: Ports, options: Options
) -> Planned:
    """Plan every node concurrently; what the fleet folder has wrong stops everything."""
    for gate in desired.playbooks[stage].gates:
        build_gate(gate)
    for node in nodes:
        desired.compile(stage, node)

    def plan(node: Node) -> NodePlan:
        found = plan_node(
            stage,
            node,
            desired,
            ports,
            again=options.again,
            max_age=options.max_age,
            duration=options.load.duration,
            choice=options.tags,
            ahead=options.ahead.get(node.name),
        )
        _refuse_other_plan(node, found, options.saved)
        detail: dict[str, Json] = {"pending": len(found.plan.pending), "current": _is_idle(found)}
        ports.events.emit(Event("node.planned", node.name, detail))
        return found

    by_name = {node.name: node for node in nodes}
    answers = ports.executor.each(tuple(by_name), lambda name: _told(by_name[name], plan, ports))
    if ports.stop():
        raise MacfleetError(_stopped_early())
    wrong: list[Diagnostic] = []
    for answer in answers.values():
        if isinstance(answer, MacfleetError):
            wrong += answer.diagnostics if answer.exit_code is ExitCode.USAGE else ()
        elif isinstance(answer, Exception):
            raise answer
    if wrong:
        raise MacfleetError(dict.fromkeys(wrong))
    return answers


def _told(node: Node, plan: Callable[[Node], NodePlan], ports: Ports) -> NodePlan:
    """Return a node's plan; whoever watches is told at once when there is none."""
    try:
        return plan(node)
    except MacfleetError as error:
        ports.events.emit(Event("node.unplanned", node.name, {"problem": error.diagnostics[0].summary}))
        raise


def _refuse_other_plan(node: Node, found: NodePlan, saved: Mapping[str, str]) -> None:
    """Raise E0515 (exit 4) when a saved plan is carried out and the node needs something else by now."""
    if not saved or saved.get(node.name) == found.plan.digest:
        return
    raise MacfleetError(
        Diagnostic(
            "E0515",
            "the saved plan no longer fits this node",
            why=f"It needs {len(found.plan.pending)} changes now, and they are not the ones that were saved.",
            mend="Nothing was changed on it. Look again: macfleet plan … --save FILE",
            node=node.name,
            exit_code=ExitCode.NODE_FAILED,
        )
    )


def _stopped_early() -> Diagnostic:
    return Diagnostic(
        "E0575",
        "interrupted before anything was changed",
        mend="The same command begins anew.",
        exit_code=ExitCode.INTERRUPTED,
    )


def _checked(node: Node, planned: NodePlan | Exception) -> NodeResult:
    if isinstance(planned, Exception):
        return failed_result(node, planned)
    if planned.held or planned.refusal:
        outcome = NodeOutcome.HELD
    elif planned.plan.pending:
        outcome = NodeOutcome.PENDING
    else:
        outcome = NodeOutcome.CURRENT if planned.current else NodeOutcome.UNCHANGED
    return NodeResult(
        node.name,
        outcome,
        planned.plan,
        verdicts=planned.verdicts,
        diagnostics=(planned.refusal,) if planned.refusal else (),
        key=planned.key,
        facts=planned.facts,
    )


def _carry_fleet(
    stage: StageName,
    nodes: Sequence[Node],
    planned: Planned,
    elsewhere: Elsewhere | None,
    desired: Desired,
    ports: Ports,
    options: Options,
) -> StageResult:
    idle = {n.name: _checked(n, planned[n.name]) for n in nodes if _is_idle(planned[n.name])}
    busy = [node for node in nodes if node.name not in idle]
    done = _back_in_service(stage, [n for n in nodes if n.name in idle], idle, desired, ports)
    if options.resume:
        done |= _taken_back([n for n in nodes if n.name in idle], planned, desired, ports, options)
    for name in idle if options.resume else ():
        settle(options.resume, done[name], ports)
    adopted = measured_before(stage, (*options.finished, *idle), options.resume, ports)
    if not busy and not adopted and not (elsewhere and elsewhere.pending):
        beside = elsewhere.result if elsewhere else None
        return StageResult(stage, tuple(done[node.name] for node in nodes), elsewhere=beside)
    ports.journal.begin(options.run_id, f"rollout {stage}", [n.name for n in nodes], _begun(stage, options))
    for name in idle:
        settle(options.run_id, done[name], ports)
    writer = ports.runs.create(options.run_id)
    ports.logs.attach(writer)
    write_plans(writer, planned)
    adopt(adopted, writer)
    if elsewhere:
        elsewhere = settle_elsewhere(elsewhere, stage, ports, options)
    if elsewhere and elsewhere.failed:
        done |= {node.name: NodeResult(node.name, NodeOutcome.NOT_REACHED) for node in busy}
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
    beside = elsewhere.result if elsewhere else None
    ended = StageResult(stage, results, options.run_id, folder, interrupted=stopped, elsewhere=beside)
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


def _is_idle(planned: NodePlan | Exception) -> bool:
    """A current node is neither changed nor measured; its re-probe is already done."""
    return isinstance(planned, NodePlan) and planned.current and not planned.held
