"""One dependency level: its steps and then every probe, in as few execs as its streams allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.engine.assemble import ATTEMPTS, LACKING, Courier, Runner, bring
from macfleet.engine.happening import Happening, Moment, Report
from macfleet.engine.hearing import Heard, Hearing
from macfleet.engine.job import FOLDER, FOLLOWING, LONG, job_id, job_text, limit_of, vanished
from macfleet.engine.lock import Holder, enter_lock, refuse_if_taken
from macfleet.engine.observe import Observation, understand
from macfleet.engine.refusals import step_failed
from macfleet.engine.script import ENVIRONMENT, Fragment, bundle, probe_fragments, unbundle
from macfleet.engine.steps import step_text
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.ports import Completed, Sources, Transport
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
from macfleet.model.shell import quote

_MARGIN = 30.0
_LACKING = "macfleet: parts are lacking"
_START = 60.0
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
    """

    transport: Transport
    flying: dict[str, Change] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    vanished: list[str] = field(default_factory=list)


def apply_level(todo: Sequence[Change], work: Work, standing: Standing) -> Observation:
    """Carry changes out and probe everything.

    Raises:
        MacfleetError: E0512 a step failed, E0570 a detached one vanished, E0592 the lock was taken over.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    standing.flying |= {change.address: change for change in todo}
    batch = _Batch()
    told: list[Happening] = []
    for change in todo:
        parts = _parts(change, work)
        told.append(Happening(Moment.SENT, change, next((part.job for part in parts if part.job), "")))
        batch.changes[change.address] = change
        for number, part in enumerate(parts):
            batch.pieces += part.fragments
            if part.stream is not None:
                work.report(told)
                told = []
                _send(batch, work, standing)
                _stream(change, part.stream, work, standing, last=number + 1 == len(parts))
                batch = _Batch(changes={change.address: change})
        if batch.pieces and batch.pieces[-1].guard == change.address:
            batch.last.add(len(batch.pieces) - 1)
    work.report(told)
    batch.pieces += probe_fragments(work.probes)
    outputs = _send(batch, work, standing)
    standing.flying.clear()
    standing.jobs.clear()
    return understand(work.node, work.probes, outputs, tuple(work.resources))


@dataclass(slots=True)
class _Batch:
    """Fragments of one exec; `last` are the indexes that end their change."""

    pieces: list[Fragment] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)
    last: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Part:
    """Steps of one change up to and with the next one that brings bytes."""

    fragments: tuple[Fragment, ...]
    job: str = ""
    stream: Stream | Assemble | None = None


def _parts(change: Change, work: Work) -> list[_Part]:
    parts: list[_Part] = []
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
) -> _Part:
    """Return steps as fragments, or as one detached job when one of them may take long.

    They stay together then: a step that ran before the connection broke must not run again.
    """
    name = f"{change.address}#{number}"
    if not any(isinstance(step, Run) and step.limit > LONG for step in steps):
        short = (
            Fragment(f"{name}.{at}", step_text(step), limit_of(step), guard=change.address)
            for at, step in enumerate(steps)
        )
        return _Part(tuple(short), stream=stream)
    job = job_id(work.holder.run, work.node, change.address, number)
    limit = sum(map(limit_of, steps)) + _START
    text = job_text(job, change.address, steps)
    return _Part((Fragment(name, text, limit, guard=change.address, job=job),), job, stream)


def _send(batch: _Batch, work: Work, standing: Standing) -> Mapping[str, ProbeOutput]:
    pieces = batch.pieces
    if not pieces:
        return {}
    mark = work.nonce()
    deadline = _MARGIN + sum(fragment.limit for fragment in pieces)
    lost: dict[str, str] = {}
    hearing = Hearing(work.node, f"--{mark}", lambda heard: _tell(heard, batch, work, standing, lost))
    preface = enter_lock(work.holder, f"--{mark}", deadline) + "\n"
    if any(fragment.job for fragment in pieces):
        preface += FOLLOWING
    script = bundle(pieces, nonce=mark, preface=preface)
    done = standing.transport.run(script, deadline=deadline, sink=hearing.feed)
    stdout = hearing.text or done.stdout.decode("utf-8", "replace")
    refuse_if_taken(work.node, stdout, f"--{mark}")
    if lost:
        standing.jobs.clear()
        raise MacfleetError(
            vanished(work.node, address, job, _after(stdout, mark, "vanished"))
            for address, job in lost.items()
        )
    outputs = unbundle(pieces, stdout, nonce=mark)
    for fragment in pieces:
        if fragment.guard:
            _settle(batch.changes[fragment.guard], outputs.get(fragment.name), work)
    return outputs


def _settle(change: Change, output: ProbeOutput | None, work: Work) -> None:
    """Tell what steps that succeeded have to say (raises MacfleetError where one did not)."""
    resource = work.resources[change.address]
    telling = resource if output is not None and isinstance(resource, Telling) else None
    if output is None or output.exit != 0:
        refused = telling.refusal(output) if telling is not None and output is not None else None
        raise MacfleetError(refused or step_failed(work.node, change.address, output))
    if telling is not None and (notes := telling.notes(output)):
        work.report([Happening(Moment.NOTED, change, note) for note in notes])


def _tell(
    heard: Sequence[Heard], batch: _Batch, work: Work, standing: Standing, lost: dict[str, str]
) -> None:
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


def _after(stdout: str, mark: str, word: str) -> str:
    """Return what was printed between a marker and the next one."""
    line_and_rest = stdout.partition(f"\n--{mark} {word} ")[2]
    return line_and_rest.partition("\n")[2].partition(f"\n--{mark} ")[0]


def _moment(heard: Heard, *, ends: bool) -> Moment | None:
    if heard.word == "out":
        if heard.fields[1:2] != ("0",):
            return Moment.FAILED
        return Moment.DONE if ends else None
    words = {"go": Moment.BEGAN, "found": Moment.FOUND, "tail": Moment.SAID, "vanished": Moment.FAILED}
    return words.get(heard.word)


def _stream(change: Change, step: Stream | Assemble, work: Work, standing: Standing, *, last: bool) -> None:
    if change.address not in standing.begun:
        standing.begun.add(change.address)
        work.report([Happening(Moment.BEGAN, change)])
    if isinstance(step, Assemble):
        parts = work.sources.parts(step.source)
        join = _Joining(change, work, standing)
        done = bring(step, parts, work.node, _runner(work, standing), join, standing.transport, work.courier)
    else:
        run = _runner(work, standing)
        done = run(step.script, step.limit, work.sources.open(step.source))
    if done.exit != 0:
        work.report([Happening(Moment.FAILED, change)])
        text = done.stderr.decode("utf-8", "replace")
        output = ProbeOutput(done.exit, done.stdout.decode("utf-8", "replace"), text)
        raise MacfleetError(step_failed(work.node, change.address, output))
    if last:
        standing.flying.pop(change.address, None)
        work.report([Happening(Moment.DONE, change)])


@dataclass(frozen=True, slots=True)
class _Joining:
    """A `Joiner` of one change."""

    change: Change
    work: Work
    standing: Standing

    def sighting(self) -> str:
        jobs = ((attempt, self._job(attempt)) for attempt in range(1, ATTEMPTS + 1))
        return "\n".join(f'[ ! -d "{FOLDER}"/{quote(job)} ] || echo joining {n}' for n, job in jobs)

    def __call__(self, script: str, limit: float, *, attempt: int) -> Completed:
        address, job = self.change.address, self._job(attempt)
        # That something is lacking is an answer and no failure of the step.
        told = f"[ $mf_end != {LACKING} ] || {{ echo {_LACKING}; exit 0; }}"
        text = f"( {script}\n)\nmf_end=$?; {told}; exit $mf_end"
        steps = job_text(job, address, [Run(text, limit=limit)])
        piece = Fragment(f"{address}#join", steps, limit + _START, guard=address, job=job)
        output = _send(_Batch([piece], {address: self.change}), self.work, self.standing)[piece.name]
        lacks = output.stdout.endswith(f"{_LACKING}\n")
        return Completed(LACKING if lacks else 0, output.stdout.encode(), output.stderr.encode())

    def _job(self, attempt: int) -> str:
        return job_id(self.work.holder.run, self.work.node, self.change.address, f"join {attempt}")


def _runner(work: Work, standing: Standing) -> Runner:
    """Return what runs one script under the node's lock (raises MacfleetError E0592 when it was taken)."""

    def run(script: str, limit: float, stdin: Iterable[bytes] | None = None) -> Completed:
        mark = work.nonce()
        text = f"{ENVIRONMENT}{enter_lock(work.holder, f'--{mark}', limit)}\n{script}"
        done = standing.transport.run(text, stdin=stdin, deadline=limit)
        refuse_if_taken(work.node, done.stdout.decode("utf-8", "replace"), f"--{mark}")
        return done

    return run
