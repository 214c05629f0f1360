"""`macfleet rollout stageN`: plan the fleet, then wave by wave drain, apply, verify, measure, judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from macfleet.gates import build_gate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.stage import StageName
from macfleet.playbooks import WHOLE, TagChoice
from macfleet.rollout.desired import Desired
from macfleet.rollout.elsewhere import Elsewhere, plan_elsewhere, settle_elsewhere
from macfleet.rollout.load_profile import LoadProfile
from macfleet.rollout.node import carry_out, record_failure
from macfleet.rollout.node_log import BothEvents
from macfleet.rollout.planning import NodePlan, plan_node
from macfleet.rollout.ports import Ports
from macfleet.rollout.record import finish_run, write_plans
from macfleet.rollout.result import FAILURES, NodeOutcome, NodeResult, StageResult, failed_result
from macfleet.rollout.run_lock import NO_FENCE, Claim, Fence, held
from macfleet.rollout.service import left_behind
from macfleet.rollout.strangers import wait_for_strangers
from macfleet.rollout.turns import in_turns, refused_by_guard
from macfleet.rollout.waves import failures_allowed, waves

MAX_AGE = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the person at the terminal chose.

    Attributes:
        check: plan and judge only, change nothing.
        again: measure even where evidence is current.
        run_id: id of the run.
        resume: id of the run whose unfinished nodes this one goes on with, empty for none: their locks
            are taken over and they are settled in its journal too.
        load: how long stage 5 measures.
        wait: seconds that another run on these nodes gets to finish.
        fence: what the store gave this run; nodes obey no controller with an older one.
        saved: digest by node of a plan that was looked at; a node whose plan differs now is refused.
        tags: which tasks act; a part of a stage is applied, judged by no gate and never made current.
    """

    run_id: str
    who: str
    check: bool = False
    again: bool = False
    resume: str = ""
    why: str = ""
    max_age: float = MAX_AGE
    max_failures: str = ""
    load: LoadProfile = field(default_factory=lambda: LoadProfile(1800.0))
    saved: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    fence: Fence = NO_FENCE
    tags: TagChoice = WHOLE


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
        planned = _plan_fleet(stage, nodes, desired, ports, options)
        elsewhere = plan_elsewhere(stage, nodes, desired, ports, options)
        result = _carry_fleet(stage, nodes, planned, elsewhere, desired, ports, options)
    return replace(result, seconds=ports.clock.monotonic() - began)


Planned = Mapping[str, NodePlan | Exception]


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
        )
        _refuse_other_plan(node, found, options.saved)
        detail: dict[str, Json] = {"pending": len(found.plan.pending), "current": _is_idle(found)}
        ports.events.emit(Event("node.planned", node.name, detail))
        return found

    by_name = {node.name: node for node in nodes}
    answers = ports.executor.each(tuple(by_name), lambda name: plan(by_name[name]))
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
    for name in idle if options.resume else ():
        _settle(options.resume, done[name], ports)
    if not busy and not (elsewhere and elsewhere.pending):
        beside = elsewhere.result if elsewhere else None
        return StageResult(stage, tuple(done[node.name] for node in nodes), elsewhere=beside)
    names = [node.name for node in nodes]
    detail: dict[str, Json] = {"who": options.who, "why": options.why}
    if options.resume:
        detail["resumes"] = options.resume
    ports.journal.begin(options.run_id, f"rollout {stage}", names, detail)
    for name in idle:
        _settle(options.run_id, done[name], ports)
    writer = ports.runs.create(options.run_id)
    ports.logs.attach(writer)
    write_plans(writer, planned)
    if elsewhere:
        elsewhere = settle_elsewhere(elsewhere, stage, ports, options)
    if elsewhere and elsewhere.failed:
        done |= {node.name: NodeResult(node.name, NodeOutcome.NOT_REACHED) for node in busy}
    else:
        done |= _in_waves(stage, busy, planned, desired, ports, options, writer)
    ports.logs.attach(None)
    results = tuple(done[node.name] for node in nodes)
    # An interrupted run is not sealed: what it holds is no evidence, and the journal tells what was done.
    stopped = ports.stop()
    folder = "" if stopped else finish_run(writer, stage, nodes, results, desired, ports, options)
    beside = elsewhere.result if elsewhere else None
    ended = StageResult(stage, results, options.run_id, folder, interrupted=stopped, elsewhere=beside)
    worst = ended.exit_code
    ports.journal.end(options.run_id, "ok" if worst is ExitCode.DONE else str(int(worst)))
    return ended


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


def _is_idle(planned: NodePlan | Exception) -> bool:
    """A current node is neither changed nor measured; its re-probe is already done."""
    return isinstance(planned, NodePlan) and planned.current and not planned.held


def _in_waves(
    stage: StageName,
    busy: Sequence[Node],
    planned: Planned,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> dict[str, NodeResult]:
    playbook = desired.playbooks[stage]
    by_name = {node.name: node for node in busy}
    limit = failures_allowed(options.max_failures or playbook.max_failures, len(by_name))
    done: dict[str, NodeResult] = {}
    stop = False
    for position, wave in enumerate(waves(tuple(by_name), playbook.strategy)):
        stop = stop or sum(result.outcome in FAILURES for result in done.values()) >= limit
        if stop or ports.stop():
            done |= {name: NodeResult(name, NodeOutcome.NOT_REACHED) for name in wave}
            continue

        def work(names: Sequence[str]) -> dict[str, NodeResult]:
            chosen = [by_name[name] for name in names]
            return _at_once(stage, chosen, planned, desired, ports, options, writer)

        found = in_turns(wave, {name: by_name[name].pool for name in wave}, work)
        for result in filter(refused_by_guard, found.values()):
            _ended(result, ports, options)
        done |= found
        stop = position == 0 and playbook.strategy.canary > 0 and _spoke_against(wave, planned, done)
    return done


def _at_once(
    stage: StageName,
    nodes: Sequence[Node],
    planned: Planned,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> dict[str, NodeResult]:
    """Work on nodes at the same time, those that share what is measured one after the other."""
    by_name = {node.name: node for node in nodes}

    def work(group: tuple[str, ...]) -> dict[str, NodeResult]:
        return {
            name: _one(stage, by_name[name], planned[name], desired, ports, options, writer) for name in group
        }

    groups = _by_hardware(nodes, measured=desired.playbooks[stage].measure is not None)
    done: dict[str, NodeResult] = {}
    for answer in ports.executor.each(groups, work).values():
        if isinstance(answer, Exception):
            raise answer
        done |= answer
    return done


def _spoke_against(canary: Sequence[str], planned: Planned, done: Mapping[str, NodeResult]) -> bool:
    """Whether a canary that was really worked on failed or was held; one refused beforehand says nothing."""
    for name in canary:
        plan = planned[name]
        tried = isinstance(plan, NodePlan) and not plan.held
        if tried and done[name].outcome in (NodeOutcome.FAILED, NodeOutcome.HELD):
            return True
    return False


def _by_hardware(wave: Sequence[Node], *, measured: bool) -> tuple[tuple[str, ...], ...]:
    """Group nodes that must not be worked on at the same time: a measuring stage's share of hardware."""
    groups: dict[str, list[str]] = {}
    for node in wave:
        groups.setdefault((node.hardware or node.name) if measured else node.name, []).append(node.name)
    return tuple(tuple(names) for names in groups.values())


def _one(
    stage: StageName,
    node: Node,
    planned: NodePlan | Exception,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> NodeResult:
    if ports.stop():
        return NodeResult(node.name, NodeOutcome.NOT_REACHED)
    if isinstance(planned, Exception):
        result = failed_result(node, planned)
    else:
        try:
            ports.locks.confirm(options.fence, node.name)
            result = carry_out(stage, planned, desired, ports, options, writer)
        except MacfleetError as error:
            result = replace(failed_result(node, error), plan=planned.plan, facts=planned.facts)
            if result.outcome is NodeOutcome.FAILED and not ports.stop():
                record_failure(stage, planned, ports, options)
    if ports.stop() and result.outcome in (NodeOutcome.FAILED, NodeOutcome.UNREACHABLE):
        # Its script was ended by us: that says nothing about the node.
        result = replace(result, outcome=NodeOutcome.INTERRUPTED)
    if refused_by_guard(result):
        # It gets another turn when others of its pool are back.
        ports.events.emit(Event("drain.turn", node.name, {"words": result.diagnostics[0].summary}))
        return result
    _ended(result, ports, options)
    return result


def _ended(result: NodeResult, ports: Ports, options: Options) -> None:
    for run in filter(None, (options.run_id, options.resume)):
        _settle(run, result, ports)
    detail: dict[str, Json] = {"outcome": str(result.outcome)}
    ports.events.emit(Event("node.settled", result.node, detail))


def _settle(run: str, result: NodeResult, ports: Ports) -> None:
    ports.journal.settle(run, result.node, "ok" if result.outcome not in FAILURES else str(result.outcome))
