"""What goes to a node in one exec, and what is told and kept of it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.engine.answer import unbundle
from macfleet.engine.assemble import Courier
from macfleet.engine.happening import Happening, Moment, Report
from macfleet.engine.hearing import Heard, Hearing
from macfleet.engine.job import FOLLOWING, LONG, job_id, job_text, limit_of, swept, vanished
from macfleet.engine.lock import Holder, enter_lock, free_lock, refuse_if_taken
from macfleet.engine.refusals import step_failed
from macfleet.engine.script import Fragment, bundle, probe_fragments
from macfleet.engine.steps import step_text
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.ports import Sources, Transport
from macfleet.model.resource import (
    Assemble,
    Change,
    Probe,
    ProbeOutput,
    Put,
    Resource,
    Run,
    Stream,
    Telling,
)

_MARGIN = 30.0
START = 60.0
"""Seconds for a detached job to start and for its end to be noticed."""


@dataclass(frozen=True, slots=True)
class Work:
    """What stays the same while one node is changed."""

    node: str
    resources: Mapping[str, Resource]
    sources: Sources
    holder: Holder
    nonce: Callable[[], str]
    probes: Mapping[str, Probe]
    report: Report
    stop: Callable[[], bool]
    courier: Courier | None = None


@dataclass(slots=True)
class Standing:
    """Where the change of one node stands.

    Attributes:
        transport: the connection in use; another one after a break.
        flying: changes that were sent and are not known to have ended, by address.
        begun: addresses whose first step was seen to begin.
        jobs: id of the detached job by address, of those that were seen to begin and not to end.
        vanished: ids of jobs that left no result.
        freed: whether the last script gave the node's lock back.
    """

    transport: Transport
    flying: dict[str, Change] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    vanished: list[str] = field(default_factory=list)
    freed: bool = False


@dataclass(slots=True)
class Batch:
    """Fragments of one exec; `last` are the indexes that end their change."""

    pieces: list[Fragment] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)
    last: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Part:
    """Steps of one change up to and with the next one that brings bytes."""

    fragments: tuple[Fragment, ...]
    job: str = ""
    stream: Stream | Assemble | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of a script, whose markers begin with `mark`; `lost` are jobs that vanished, by address."""

    stdout: str
    mark: str
    lost: Mapping[str, str]

    def has(self, word: str) -> bool:
        """Whether the script said a word."""
        return any(f"\n--{self.mark} {word}{end}" in self.stdout for end in " \n")

    def after(self, word: str) -> str:
        """Return what was printed between a marker and the next one."""
        line_and_rest = self.stdout.partition(f"\n--{self.mark} {word} ")[2]
        return line_and_rest.partition("\n")[2].partition(f"\n--{self.mark} ")[0]


def parts_of(change: Change, work: Work) -> list[Part]:
    """Return a change's steps, parted where bytes are brought."""
    parts: list[Part] = []
    own: list[Run | Put] = []
    for step in work.resources[change.address].steps(change):
        if isinstance(step, Stream | Assemble):
            parts.append(_part(change, own, len(parts), work, step))
            own = []
        else:
            own.append(step)
    return [*parts, _part(change, own, len(parts), work)] if own or not parts else parts


def _part(
    change: Change,
    steps: Sequence[Run | Put],
    number: int,
    work: Work,
    stream: Stream | Assemble | None = None,
) -> Part:
    """Return steps as fragments, or as one detached job when one of them may take long.

    They stay together then: a step that ran before the connection broke must not run again.
    """
    name = f"{change.address}#{number}"
    if not any(isinstance(step, Run) and step.limit > LONG for step in steps):
        short = (
            Fragment(f"{name}.{at}", step_text(step), limit_of(step), guard=change.address)
            for at, step in enumerate(steps)
        )
        return Part(tuple(short), stream=stream)
    job = job_id(work.holder.run, work.node, change.address, number)
    limit = sum(map(limit_of, steps)) + START
    text = job_text(job, change.address, steps)
    return Part((Fragment(name, text, limit, guard=change.address, job=job),), job, stream)


def ready(todo: Sequence[Change], work: Work) -> tuple[Batch, list[Happening]] | None:
    """Return changes as one batch and what is told before it is sent; None where bytes are brought."""
    batch = Batch()
    told: list[Happening] = []
    for change in todo:
        parts = parts_of(change, work)
        if any(part.stream is not None for part in parts):
            return None
        told.append(sent(change, parts))
        batch.changes[change.address] = change
        batch.pieces += [fragment for part in parts for fragment in part.fragments]
        if batch.pieces and batch.pieces[-1].guard == change.address:
            batch.last.add(len(batch.pieces) - 1)
    batch.pieces += probe_fragments(work.probes)
    return batch, told


def sent(change: Change, parts: Sequence[Part]) -> Happening:
    """Return what is told before the parts of a change are sent."""
    return Happening(Moment.SENT, change, next((part.job for part in parts if part.job), ""))


def send(batch: Batch, work: Work, standing: Standing, closing: str = "") -> Mapping[str, ProbeOutput]:
    """Run a batch under the lock that the node has; return what each fragment answered.

    Raises:
        MacfleetError: E0512 a step failed, E0570 a detached one vanished, E0592 the lock was taken over.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    if not batch.pieces:
        return {}

    def enter(mark: str, deadline: float) -> str:
        return f"{enter_lock(work.holder, mark, deadline)}\n"

    said = converse(batch, work, standing, enter, closing)
    return outputs_of(said, batch, work, standing)


def converse(
    batch: Batch,
    work: Work,
    standing: Standing,
    enter: Callable[[str, float], str],
    closing: str = "",
    seconds: float = 0.0,
) -> Said:
    """Send a batch as one script and hear it to its end.

    Args:
        batch: the fragments.
        work: whose.
        standing: kept up to date meanwhile.
        enter: returns what the script begins with, from the mark of its answers and its deadline.
        closing: what it ends with.
        seconds: that `enter` may take.

    Raises:
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    mark = work.nonce()
    deadline = _MARGIN + seconds + sum(fragment.limit for fragment in batch.pieces)
    lost: dict[str, str] = {}
    hearing = Hearing(work.node, f"--{mark}", lambda heard: _tell(heard, batch, work, standing, lost))
    preface = enter(f"--{mark}", deadline)
    if any(fragment.job for fragment in batch.pieces):
        preface += FOLLOWING
    script = bundle(batch.pieces, nonce=mark, preface=preface, closing=closing)
    done = standing.transport.run(script, deadline=deadline, sink=hearing.feed)
    stdout = hearing.text or done.stdout.decode("utf-8", "replace")
    said = Said(stdout, mark, lost)
    standing.freed = said.has("freed")
    return said


def outputs_of(said: Said, batch: Batch, work: Work, standing: Standing) -> Mapping[str, ProbeOutput]:
    """Return what each fragment answered (raises MacfleetError as `send`)."""
    refuse_if_taken(work.node, said.stdout, f"--{said.mark}")
    if said.lost:
        standing.jobs.clear()
        raise MacfleetError(
            vanished(work.node, address, job, said.after("vanished")) for address, job in said.lost.items()
        )
    outputs = unbundle(batch.pieces, said.stdout, nonce=said.mark)
    for fragment in batch.pieces:
        if fragment.guard:
            _settle(batch.changes[fragment.guard], outputs.get(fragment.name), work)
    return outputs


def closing_of(work: Work, standing: Standing) -> str:
    """Return how the script of the last level ends: jobs that ended are removed, and the lock."""
    return free_lock(swept(work.holder.run, standing.vanished))


def _settle(change: Change, output: ProbeOutput | None, work: Work) -> None:
    """Tell what steps that succeeded have to say (raises MacfleetError where one did not)."""
    resource = work.resources[change.address]
    telling = resource if output is not None and isinstance(resource, Telling) else None
    if output is None or output.exit != 0:
        refused = telling.refusal(output) if telling is not None and output is not None else None
        raise MacfleetError(refused or step_failed(work.node, change.address, output))
    if telling is not None and (notes := telling.notes(output)):
        work.report([Happening(Moment.NOTED, change, note) for note in notes])


def _tell(heard: Sequence[Heard], batch: Batch, work: Work, standing: Standing, lost: dict[str, str]) -> None:
    """Pass on what became known, and keep what was collected or lost."""
    told: list[Happening] = []
    for each in heard:
        index = int(each.fields[0]) if each.fields and each.fields[0].isdecimal() else len(batch.pieces)
        fragment = batch.pieces[index] if index < len(batch.pieces) else None
        change = batch.changes.get(fragment.guard) if fragment else None
        if fragment is None or change is None:
            continue
        if each.word == "go" and fragment.job:
            standing.jobs[change.address] = fragment.job
        if each.word in ("out", "vanished") and fragment.job:
            standing.jobs.pop(change.address, None)
        if each.word == "vanished":
            standing.vanished.append(fragment.job)
            lost[change.address] = fragment.job
        moment = _moment(each, ends=index in batch.last)
        if moment is not None and not (moment is Moment.BEGAN and change.address in standing.begun):
            standing.begun.add(change.address)
            if moment in (Moment.DONE, Moment.FAILED):
                standing.flying.pop(change.address, None)
            text = each.body if moment is Moment.SAID else fragment.job if moment is Moment.FOUND else ""
            told.append(Happening(moment, change, text))
    if told:
        work.report(told)


def _moment(heard: Heard, *, ends: bool) -> Moment | None:
    if heard.word == "out":
        if heard.fields[1:2] != ("0",):
            return Moment.FAILED
        return Moment.DONE if ends else None
    words = {"go": Moment.BEGAN, "found": Moment.FOUND, "tail": Moment.SAID, "vanished": Moment.FAILED}
    return words.get(heard.word)
