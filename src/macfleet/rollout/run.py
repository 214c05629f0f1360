"""`macfleet rollout stageN`: plan the fleet, then wave by wave drain, apply, verify, measure, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from macfleet.gates import build_gate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.stage import StageName
from macfleet.playbooks import WHOLE, TagChoice
from macfleet.rollout.ahead import Ahead
from macfleet.rollout.checked import checked, is_idle
from macfleet.rollout.desired import Desired
from macfleet.rollout.elsewhere import edges_of, plan_elsewhere
from macfleet.rollout.load_profile import LoadProfile
from macfleet.rollout.node_log import BothEvents
from macfleet.rollout.planning import NodePlan, plan_node
from macfleet.rollout.ports import Ports
from macfleet.rollout.result import StageResult
from macfleet.rollout.run_lock import NO_FENCE, Claim, Fence, held, stopped_early

if TYPE_CHECKING:
    from macfleet.engine.looked_at import LookedAt
    from macfleet.rollout.carry import Planned

MAX_AGE = 7 * 86400.0
SLOWEST = 10
"""Changes whose times a result keeps."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the person at the terminal chose.

    Attributes:
        check: plan and judge only, change nothing; diff: read, too, what would change in files' text.
        again: measure even where evidence is current.
        run_id: id of the run.
        resume: id of the run whose unfinished nodes this one goes on with, empty for none: their locks
            are taken over and they are settled in its journal too.
        finished: nodes that the resumed run finished; a run that broke off is never sealed, so what it
            measured of them goes into this one.
        load: how long stage 5 measures.
        wait: seconds that another run on these nodes gets to finish.
        fence: what the store gave this run; nodes obey no controller with an older one.
        saved: by node, what was looked at of a saved plan that is carried out; None where there is no such
            plan. A node that needs something else now is refused.
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
    saved: Mapping[str, LookedAt] | None = None
    wait: float = 0.0
    fence: Fence = NO_FENCE
    tags: TagChoice = WHOLE
    ahead: Ahead = field(default_factory=dict)
    diff: bool = False


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
        results = tuple(checked(node, planned[node.name]) for node in nodes)
        spent = ports.clock.monotonic() - began
        beside, edges = elsewhere.controller, elsewhere.edges
        return StageResult(stage, results, seconds=spent, check=True, elsewhere=beside, edges=edges)
    # A check carries nothing out, and needs none of what measures and records.
    from macfleet.rollout.carrying import carry_fleet  # noqa: PLC0415
    from macfleet.rollout.loadtest_wake import wake  # noqa: PLC0415
    from macfleet.rollout.strangers import wait_for_strangers  # noqa: PLC0415

    names = tuple(dict.fromkeys((*(node.name for node in nodes), *edges_of(stage, desired))))
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
            result = carry_fleet(stage, nodes, planned, elsewhere, desired, ports, options)
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
        if options.check and options.diff:
            from macfleet.rollout.differences import differences  # noqa: PLC0415  (read where it is asked for)

            found = replace(found, differences=differences(found, ports))
        detail: dict[str, Json] = {"pending": len(found.plan.pending), "current": is_idle(found)}
        ports.events.emit(Event("node.planned", node.name, detail))
        return found

    by_name = {node.name: node for node in nodes}
    answers = ports.executor.each(tuple(by_name), lambda name: _told(by_name[name], plan, ports))
    if ports.stop():
        raise MacfleetError(stopped_early())
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


def _refuse_other_plan(node: Node, found: NodePlan, saved: Mapping[str, LookedAt] | None) -> None:
    """Raise E0515 (exit 4) when a saved plan is carried out and the node needs something else by now."""
    if saved is None:
        return
    from macfleet.engine.looked_at import why_other  # noqa: PLC0415  (only a saved plan can be another one)

    seen = saved.get(node.name)
    if seen is not None and seen.fits(found.plan):
        return
    raise MacfleetError(
        Diagnostic(
            "E0515",
            "the saved plan no longer fits this node",
            why=why_other(seen, found.plan),
            mend="Nothing was changed on it. Look again: macfleet plan … --save FILE",
            node=node.name,
            exit_code=ExitCode.NODE_FAILED,
        )
    )
