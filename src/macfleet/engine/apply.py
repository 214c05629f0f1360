"""Carry a plan out: lock, look again and the first level in one exec, then one exec per dependency level.

Each level's script ends with every probe, so the next level is compared with the plan before anything
of it is sent, and the last level's probes are the verification; it gives the lock back. The first level runs
unasked only where the node itself finds that it answers as it did when it was planned; elsewhere it says how
it answers, and the plan is compared here. A connection that breaks on the way is opened again: what was under
way is waited for, and the plan goes on from what the node then answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.engine.batch import Standing, Work, closing_of
from macfleet.engine.entering import Course, first_level, look_again
from macfleet.engine.happening import Report, nobody
from macfleet.engine.job import swept
from macfleet.engine.level import apply_level
from macfleet.engine.lock import Holder, release_lock
from macfleet.engine.observe import Observation
from macfleet.engine.plan import depends_on, make_plan, pending_by_address
from macfleet.engine.redial import Redial
from macfleet.engine.refusals import (
    cut_off,
    interrupted,
    refuse_blocked,
    refuse_stale,
    refuse_unconverged,
)
from macfleet.model.diagnostic import MacfleetError, NodeUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from macfleet.engine.assemble import Courier
    from macfleet.model.ports import Sources, Transport
    from macfleet.model.resource import Plan, Probe, ProbeOutput, Resource

_REDIALS = 5
"""How often the connection of one node may break in one run."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did: the addresses changed, in order, and the final observation."""

    changed: tuple[str, ...]
    observation: Observation


def apply_plan(
    plan: Plan,
    resources: Sequence[Resource],
    transport: Transport,
    *,
    sources: Sources,
    holder: Holder,
    nonce: Callable[[], str],
    extra: Mapping[str, Probe] | None = None,
    report: Report = nobody,
    redial: Redial | None = None,
    stop: Callable[[], bool] = lambda: False,
    courier: Courier | None = None,
    answers: Mapping[str, ProbeOutput] | None = None,
) -> Applied:
    """Apply `plan` on its node and verify that nothing is left.

    Args:
        plan: what was planned for the node.
        resources: what it was planned from.
        transport: an open connection.
        sources: bytes of streamed steps.
        holder: who changes the node; a run of the same id is gone on with.
        nonce: yields texts no node can guess.
        extra: further probes by name, answered in the final observation.
        report: told what happens.
        redial: opens the connection again after it broke; None means that a break is an error.
        stop: whether somebody asked to stop; looked at whenever the node answered.
        courier: says where parts of an image come from; None means all from here.
        answers: what the node said when it was planned, by address; without them one exec more looks first.

    Raises:
        MacfleetError: E0510 locked (6), E0573 a job of another run goes on (6), E0592 the lock was taken
            over (6), E0511 plan stale (4), E0512 step failed (4), E0513 did not converge (4), E0514 blocked
            change (4), E0570 a detached step vanished (4), E0572 interrupted (130).
        NodeUnreachable: from the transport; E0571 when the connection broke and did not come back (5).
        DeadlineExceeded: from the transport.
    """
    refuse_blocked(plan)
    probes = {resource.address: resource.probe() for resource in resources} | dict(extra or {})
    by_address = {resource.address: resource for resource in resources}
    work = Work(plan.node, by_address, sources, holder, nonce, probes, report, stop, courier)
    course = Course(Standing(transport), dict(pending_by_address(plan)), answers or {})
    try:
        return _unbroken(plan, work, course, redial)
    except MacfleetError as error:
        if work.stop():
            raise interrupted(plan.node, course.standing.flying, course.standing.jobs) from error
        raise
    finally:
        if course.locked and not course.standing.freed:
            _leave(work, course)


def _unbroken(plan: Plan, work: Work, course: Course, redial: Redial | None) -> Applied:
    """Go through the levels, from the node's answer again each time the connection broke."""
    while True:
        try:
            observation = first_level(plan, work, course) or look_again(plan, work, course)
            return _through_levels(plan, observation, work, course)
        except NodeUnreachable as error:
            if redial is None or not course.locked or work.stop():
                raise
            _reopen(work, course, redial, error)


def _reopen(work: Work, course: Course, redial: Redial, error: NodeUnreachable) -> None:
    course.redials += 1
    course.passed = 0
    standing = course.standing
    if course.redials > _REDIALS:
        raise _given_up(work, course, error) from error
    try:
        standing.transport = redial.again(work.nonce, work.stop)
    except NodeUnreachable as last:
        raise _given_up(work, course, error, last) from last


def _given_up(
    work: Work, course: Course, first: NodeUnreachable, last: NodeUnreachable | None = None
) -> NodeUnreachable:
    """Return what to raise of a node that does not come back; `first` where it had not said a word."""
    silent = course.unheard and not course.standing.begun
    return first if silent else cut_off(work.node, course.standing.jobs, last or first)


def _through_levels(plan: Plan, observation: Observation, work: Work, course: Course) -> Applied:
    current = _compare(plan, observation, work, course)
    while course.passed < len(plan.levels):
        level = plan.levels[course.passed]
        course.passed += 1
        wanted = pending_by_address(current)
        todo = [wanted[address] for address in level if address in wanted]
        if not todo:
            continue
        if work.stop():
            raise interrupted(work.node, (), {})
        closing = closing_of(work, course.standing) if course.passed == len(plan.levels) else ""
        observation = apply_level(todo, work, course.standing, closing)
        course.carried_out(todo)
        current = _compare(plan, observation, work, course)
    refuse_unconverged(plan.node, pending_by_address(current).values())
    return Applied(tuple(course.changed), observation)


def _compare(plan: Plan, observation: Observation, work: Work, course: Course) -> Plan:
    """Plan again from what was observed, and refuse what nobody of this run explains."""
    resources = tuple(work.resources.values())
    current = make_plan(plan.node, resources, observation, compiled=plan.compiled)
    refuse_stale(course.expected, current, course.explained, depends_on(resources))
    course.expected |= pending_by_address(current)
    return current


def _leave(work: Work, course: Course) -> None:
    """Remove jobs that ended and release the lock, which stays while a job of an interrupted run goes on."""
    standing = course.standing
    release = "exit 0" if standing.jobs else release_lock(work.holder)
    try:
        standing.transport.run(f"{swept(work.holder.run, standing.vanished)}{release}", deadline=30.0)
    except MacfleetError:
        # The connection is gone; the lock names its run, so `--resume` takes it over.
        return
