"""How a node is entered: locked and looked at in one exec, with the first level where it is as planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.engine.answer import unbundle
from macfleet.engine.batch import Batch, Said, Standing, Work, closing_of, converse, outputs_of, ready
from macfleet.engine.forecast import only_as_planned
from macfleet.engine.happening import Happening, Moment
from macfleet.engine.job import refuse_if_busy, refuse_others
from macfleet.engine.lock import Holder, locked, read_lock, take_lock
from macfleet.engine.observe import Observation, deadline_of, understand
from macfleet.engine.plan import make_plan, pending_by_address
from macfleet.engine.script import Fragment, bundle, probe_fragments
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.resource import Change, Plan, ProbeOutput

_TURNS = 12
"""How often a script that this run left behind gets five seconds to end."""


@dataclass(slots=True)
class Course:
    """How far the plan of one node was carried out.

    Attributes:
        expected: changes that are planned or were found since, by address.
        answers: what the node said when it was planned, until it was asked again.
        changed: addresses changed, in order.
        explained: addresses whose difference from the plan this run or its predecessor made.
        locked: whether this run took the node's lock, or may have.
        passed: levels that are carried out.
        unheard: whether the script that was to take the lock has not answered.
    """

    standing: Standing
    expected: dict[str, Change]
    answers: Mapping[str, ProbeOutput]
    changed: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)
    locked: bool = False
    redials: int = 0
    passed: int = 0
    unheard: bool = False

    def carried_out(self, changes: Sequence[Change]) -> None:
        """Note that all steps of changes succeeded."""
        self.changed += [change.address for change in changes if change.address not in self.changed]
        self.explained |= {change.address for change in changes}


def first_level(plan: Plan, work: Work, course: Course) -> Observation | None:
    """Lock, look and carry the first level out in one exec; return what the node answers then.

    Where it does not answer as when it was planned nothing is carried out. None where the node must be looked
    at before all the same.

    Raises:
        MacfleetError: E0512, E0570, E0573, E0592 as `apply_plan`.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    answers, course.answers = course.answers, {}
    passed, todo = _first(plan)
    at_once = ready(todo, work) if answers and todo else None
    if at_once is None:
        return None
    batch, told = at_once
    looks = probe_fragments({address: work.probes[address] for address in work.resources})

    def enter(mark: str, deadline: float) -> str:
        gate = only_as_planned(looks, answers, mark=mark, start=len(batch.pieces))
        return gate and f"{_taking(work.holder, mark, deadline)}\n{gate}"

    if not enter("", 0.0):
        return None
    course.standing.flying |= {change.address: change for change in todo}
    work.report(told)
    course.locked = course.unheard = True
    closing = closing_of(work, course.standing) if passed == len(plan.levels) else ""
    seconds = sum(fragment.limit for fragment in looks)
    said = converse(batch, work, course.standing, enter, closing, seconds)
    course.unheard = False
    if not said.has("same"):
        return _otherwise(said, todo, (batch, looks), work, course)
    outputs = outputs_of(said, batch, work, course.standing)
    course.standing.flying.clear()
    course.standing.jobs.clear()
    course.passed = passed
    course.carried_out(todo)
    return understand(work.node, work.probes, outputs, tuple(work.resources))


def _first(plan: Plan) -> tuple[int, list[Change]]:
    """Return the number of the first level with something to do, and that."""
    wanted = pending_by_address(plan)
    for number, level in enumerate(plan.levels, 1):
        if todo := [wanted[address] for address in level if address in wanted]:
            return number, todo
    return len(plan.levels), []


def _otherwise(
    said: Said, todo: Sequence[Change], sent: tuple[Batch, Sequence[Fragment]], work: Work, course: Course
) -> Observation | None:
    """Take note that no step began; return what the node answers, None where that says too little.

    Of a script that ended before its end, or whose connection did, nobody knows what it began.
    """
    course.locked = read_lock(said.stdout, f"--{said.mark}") is None
    if said.has("end") or said.has("busy") or not course.locked:
        course.standing.flying.clear()
        work.report([Happening(Moment.WITHHELD, change) for change in todo])
    refuse_if_busy(work.node, said.stdout, f"--{said.mark}")
    if not course.locked or said.has("took"):
        return None
    batch, looks = sent
    found = unbundle((*batch.pieces, *looks), said.stdout, nonce=said.mark)
    probes = {address: work.probes[address] for address in work.resources}
    return understand(work.node, probes, found, tuple(work.resources))


def look_again(plan: Plan, work: Work, course: Course) -> Observation:
    """Take the lock and probe in one exec; again while a script that this run left behind still works."""
    fragments = probe_fragments(work.probes)
    deadline = deadline_of(work.probes)
    for turn in range(_TURNS):
        mark = work.nonce()
        preface = _taking(work.holder, f"--{mark}", deadline)
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
    # What was in the air when a connection broke is ours, also where its script gave the lock back.
    if f"\n--{mark} took\n" in stdout or course.standing.flying:
        _account(plan, observation, work, course)
    return observation


def _account(plan: Plan, observation: Observation, work: Work, course: Course) -> None:
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


def _taking(holder: Holder, mark: str, deadline: float) -> str:
    """Return what begins a script that takes the lock; it says ``took`` where the same run had left it."""
    taken = take_lock(holder, mark, deadline)
    return f'{taken}\n[ -z "$mf_took" ] || mf_say took\n{refuse_others(holder.run)}'
