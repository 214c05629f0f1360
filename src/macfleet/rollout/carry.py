"""Waves carried out: who is worked on at the same time, and how each node's end is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.engine.refusals import interrupted
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.resource import Assemble
from macfleet.model.stage import StageName
from macfleet.rollout.desired import Desired
from macfleet.rollout.node import carry_out, record_failure
from macfleet.rollout.planning import NodePlan
from macfleet.rollout.ports import Ports
from macfleet.rollout.relay import takes_part
from macfleet.rollout.result import FAILURES, NodeOutcome, NodeResult, failed_result
from macfleet.rollout.turns import in_turns, refused_by_guard
from macfleet.rollout.waves import failures_allowed, waves

if TYPE_CHECKING:
    from macfleet.rollout.run import Options

Planned = Mapping[str, NodePlan | Exception]


def in_waves(
    stage: StageName,
    busy: Sequence[Node],
    planned: Planned,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> dict[str, NodeResult]:
    """Work on nodes wave by wave until the failure budget is met; return how each ended."""
    playbook = desired.playbooks[stage]
    by_name = {node.name: node for node in busy}
    limit = failures_allowed(options.max_failures or playbook.max_failures, len(by_name))
    done: dict[str, NodeResult] = {}
    stopped = ""
    for position, wave in enumerate(waves(tuple(by_name), playbook.strategy)):
        stopped = stopped or _too_many(done, limit)
        if stopped or ports.stop():
            why = (stopped,) if stopped else ()
            done |= {name: NodeResult(name, NodeOutcome.NOT_REACHED, notes=why) for name in wave}
            continue

        def work(names: Sequence[str]) -> dict[str, NodeResult]:
            chosen = [by_name[name] for name in names]
            return _at_once(stage, chosen, planned, desired, ports, options, writer)

        pools = {name: by_name[name].pool for name in wave}
        for part in _heads_first([by_name[name] for name in wave], planned, ports):
            found = in_turns(part, pools, work)
            for result in filter(refused_by_guard, found.values()):
                _ended(result, ports, options)
            done |= found
        if position == 0 and playbook.strategy.canary > 0 and _spoke_against(wave, planned, done):
            stopped = f"the canary spoke against it: {', '.join(wave)}"
    return done


def _too_many(done: Mapping[str, NodeResult], limit: int) -> str:
    """Return why no other wave begins, empty while the failure budget is not met."""
    failures = sum(result.outcome in FAILURES for result in done.values())
    return f"{failures} failed or did not answer: max_failures is met" if failures >= limit else ""


def _heads_first(wave: Sequence[Node], planned: Planned, ports: Ports) -> list[tuple[str, ...]]:
    """Split a wave where one node of a site is to have an image before the others fetch it there."""
    names = tuple(node.name for node in wave)
    if ports.relay is None:
        return [names]
    getting = [node for node in wave if takes_part(node) and _gets_parts(planned[node.name])]
    heads = tuple(node.name for node in ports.relay.heads(getting))
    rest = tuple(name for name in names if name not in heads)
    return [part for part in (heads, rest) if part]


def _gets_parts(planned: NodePlan | Exception) -> bool:
    if isinstance(planned, Exception):
        return False
    resources = {resource.address: resource for resource in planned.compiled.resources}
    return any(
        isinstance(step, Assemble)
        for change in planned.plan.pending
        for step in resources[change.address].steps(change)
    )


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
    """Whether a canary that was really worked on failed or was held; one refused beforehand says nothing.

    Nor does one that could not leave service: nothing was done to it.
    """
    for name in canary:
        plan, result = planned[name], done[name]
        at_work = any(each.address for each in result.diagnostics)
        stayed = (
            result.outcome is NodeOutcome.HELD and result.diagnostics and not at_work and result.left is None
        )
        tried = isinstance(plan, NodePlan) and not plan.held and not stayed
        if tried and result.outcome in (NodeOutcome.FAILED, NodeOutcome.HELD):
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
        # Its script was ended by us: neither the end nor what was said about it tells of the node.
        stopped = interrupted(node.name, (), {}).diagnostics
        result = replace(result, outcome=NodeOutcome.INTERRUPTED, diagnostics=stopped)
    if refused_by_guard(result):
        # It gets another turn when others of its pool are back.
        ports.events.emit(Event("drain.turn", node.name, {"words": result.diagnostics[0].summary}))
        return result
    _ended(result, ports, options)
    return result


def _ended(result: NodeResult, ports: Ports, options: Options) -> None:
    for run in filter(None, (options.run_id, options.resume)):
        settle(run, result, ports)
    detail: dict[str, Json] = {"outcome": str(result.outcome)}
    ports.events.emit(Event("node.settled", result.node, detail))


def settle(run: str, result: NodeResult, ports: Ports) -> None:
    """Note in a run's journal how a node ended."""
    ports.journal.settle(run, result.node, "ok" if result.outcome not in FAILURES else str(result.outcome))
