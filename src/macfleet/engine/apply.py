"""Carry a plan out: lock and re-probe in one exec, then one exec per dependency level.

Each level's script ends with every probe, so the next level is compared with the plan before anything
of it is sent, and the last level's probes are the verification. A connection that breaks on the way is
opened again: what was under way is waited for, and the plan goes on from what the node then answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from macfleet.engine.happening import Happening, Moment, Report, nobody
from macfleet.engine.job import refuse_if_busy, refuse_others, swept
from macfleet.engine.level import Standing, Work, apply_level
from macfleet.engine.lock import FOLDER, Holder, locked, read_lock, release_lock, take_lock
from macfleet.engine.observe import Observation, deadline_of, understand
from macfleet.engine.plan import depends_on, make_plan, pending_by_address
from macfleet.engine.redial import Redial
from macfleet.engine.refusals import (
    cut_off,
    interrupted,
    refuse_blocked,
    refuse_stale,
    refuse_unconverged,
)
from macfleet.engine.script import bundle, probe_fragments, unbundle
from macfleet.model.diagnostic import MacfleetError, NodeUnreachable
from macfleet.model.shell import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from macfleet.engine.assemble import Courier
    from macfleet.model.ports import Sources, Transport
    from macfleet.model.resource import Change, Plan, Probe, Resource

_REDIALS = 5
"""How often the connection of one node may break in one run."""
_TURNS = 12
"""How often a script that this run left behind gets five seconds to end."""


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
    course = _Course(Standing(transport), dict(pending_by_address(plan)))
    try:
        return _unbroken(plan, work, course, redial)
    except MacfleetError as error:
        if work.stop():
            raise interrupted(plan.node, course.standing.flying, course.standing.jobs) from error
        raise
    finally:
        if course.locked:
            _leave(work, course)


@dataclass(slots=True)
class _Course:
    """How far the plan was carried out.

    Attributes:
        expected: changes that are planned or were found since, by address.
        changed: addresses changed, in order.
        explained: addresses whose difference from the plan this run or its predecessor made.
        locked: whether this run took the node's lock.
    """

    standing: Standing
    expected: dict[str, Change]
    changed: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)
    locked: bool = False
    redials: int = 0


def _unbroken(plan: Plan, work: Work, course: _Course, redial: Redial | None) -> Applied:
    """Go through the levels, from the node's answer again each time the connection broke."""
    while True:
        try:
            observation = _lock_and_probe(plan, work, course)
            return _through_levels(plan, observation, work, course)
        except NodeUnreachable as error:
            if redial is None or not course.locked or work.stop():
                raise
            _reopen(work, course, redial, error)


def _reopen(work: Work, course: _Course, redial: Redial, error: NodeUnreachable) -> None:
    course.redials += 1
    standing = course.standing
    if course.redials > _REDIALS:
        raise cut_off(work.node, standing.jobs, error) from error
    try:
        standing.transport = redial.again(work.nonce, work.stop)
    except NodeUnreachable as last:
        raise cut_off(work.node, standing.jobs, last) from last


def _through_levels(plan: Plan, observation: Observation, work: Work, course: _Course) -> Applied:
    current = _compare(plan, observation, work, course)
    for level in plan.levels:
        wanted = pending_by_address(current)
        todo = [wanted[address] for address in level if address in wanted]
        if not todo:
            continue
        if work.stop():
            raise interrupted(work.node, (), {})
        observation = apply_level(todo, work, course.standing)
        course.changed += [c.address for c in todo if c.address not in course.changed]
        course.explained |= {change.address for change in todo}
        current = _compare(plan, observation, work, course)
    refuse_unconverged(plan.node, pending_by_address(current).values())
    return Applied(tuple(course.changed), observation)


def _compare(plan: Plan, observation: Observation, work: Work, course: _Course) -> Plan:
    """Plan again from what was observed, and refuse what nobody of this run explains."""
    resources = tuple(work.resources.values())
    current = make_plan(plan.node, resources, observation, compiled=plan.compiled)
    refuse_stale(course.expected, current, course.explained, depends_on(resources))
    course.expected |= pending_by_address(current)
    return current


def _lock_and_probe(plan: Plan, work: Work, course: _Course) -> Observation:
    """Take the lock and probe in one exec; again while a script that this run left behind still works."""
    fragments = probe_fragments(work.probes)
    deadline = deadline_of(work.probes)
    for turn in range(_TURNS):
        mark = work.nonce()
        taken = take_lock(work.holder, f"--{mark}", deadline)
        preface = f"{_notice(work.holder)}{taken}\n{refuse_others(work.holder.run)}"
        done = course.standing.transport.run(
            bundle(fragments, nonce=mark, preface=preface), deadline=deadline
        )
        stdout = done.stdout.decode("utf-8", "replace")
        found = read_lock(stdout, f"--{mark}")
        if found is None:
            break
        own = found.running and found.holder.run == work.holder.run
        if not own or turn + 1 == _TURNS or work.stop():
            raise MacfleetError(locked(work.node, found))
    course.locked = True
    refuse_if_busy(work.node, stdout, f"--{mark}")
    observation = understand(
        work.node, work.probes, unbundle(fragments, stdout, nonce=mark), tuple(work.resources)
    )
    if f"\n--{mark} took\n" in stdout:
        _account(plan, observation, work, course)
    return observation


def _notice(holder: Holder) -> str:
    """Return script text that says ``took`` when the lock is there and of the same run."""
    return f'[ "$(head -n 1 "{FOLDER}/holder" 2>/dev/null)" = {quote(holder.run)} ] && mf_say took\n'


def _account(plan: Plan, observation: Observation, work: Work, course: _Course) -> None:
    """Explain what the run that is gone on with did: planned changes of which nothing is left.

    Its lock kept everybody else away meanwhile, and its scripts may have ended after the node was planned.
    """
    resources = tuple(work.resources.values())
    current = pending_by_address(make_plan(plan.node, resources, observation, compiled=plan.compiled))
    gone = {address for address in course.expected if address not in current}
    flying = course.standing.flying
    course.explained |= gone | set(flying)
    arrived = [address for address in flying if address in gone]
    course.changed += [address for address in arrived if address not in course.changed]
    for address in arrived:
        course.standing.jobs.pop(address, None)
    if arrived:
        work.report([Happening(Moment.DONE, flying[address]) for address in arrived])
    flying.clear()


def _leave(work: Work, course: _Course) -> None:
    """Remove jobs that ended and release the lock, which stays while a job of an interrupted run goes on."""
    standing = course.standing
    release = "exit 0" if standing.jobs else release_lock(work.holder)
    try:
        standing.transport.run(f"{swept(work.holder.run, standing.vanished)}{release}", deadline=30.0)
    except MacfleetError:
        # The connection is gone; the lock names its run, so `--resume` takes it over.
        return
