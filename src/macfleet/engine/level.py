"""One dependency level: its steps and then every probe, in as few execs as its streams allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from macfleet.engine.assemble import ATTEMPTS, LACKING, Runner, bring
from macfleet.engine.batch import START, Batch, Standing, Work, parts_of, ready, send, sent
from macfleet.engine.happening import Happening, Moment
from macfleet.engine.job import FOLDER, job_id, job_text
from macfleet.engine.lock import enter_lock, refuse_if_taken
from macfleet.engine.observe import Observation, understand
from macfleet.engine.refusals import step_failed
from macfleet.engine.script import ENVIRONMENT, Fragment, probe_fragments
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.ports import Completed
from macfleet.model.resource import Assemble, Change, ProbeOutput, Run, Stream
from macfleet.model.shell import quote

_LACKING = "macfleet: parts are lacking"


def apply_level(todo: Sequence[Change], work: Work, standing: Standing, closing: str = "") -> Observation:
    """Carry changes out and probe everything; `closing` ends the script of the probes.

    Raises:
        MacfleetError: E0512 a step failed, E0570 a detached one vanished, E0592 the lock was taken over.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    standing.flying |= {change.address: change for change in todo}
    at_once = ready(todo, work)
    if at_once is not None:
        batch, told = at_once
    else:
        batch, told = _streamed(todo, work, standing)
    work.report(told)
    outputs = send(batch, work, standing, closing)
    standing.flying.clear()
    standing.jobs.clear()
    return understand(work.node, work.probes, outputs, tuple(work.resources))


def _streamed(todo: Sequence[Change], work: Work, standing: Standing) -> tuple[Batch, list[Happening]]:
    """Carry out everything up to the last bytes that are brought; return what is left, with the probes."""
    batch = Batch()
    told: list[Happening] = []
    for change in todo:
        parts = parts_of(change, work)
        told.append(sent(change, parts))
        batch.changes[change.address] = change
        for number, part in enumerate(parts):
            batch.pieces += part.fragments
            if part.stream is not None:
                work.report(told)
                told = []
                send(batch, work, standing)
                _stream(change, part.stream, work, standing, last=number + 1 == len(parts))
                batch = Batch(changes={change.address: change})
        if batch.pieces and batch.pieces[-1].guard == change.address:
            batch.last.add(len(batch.pieces) - 1)
    batch.pieces += probe_fragments(work.probes)
    return batch, told


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
        piece = Fragment(f"{address}#join", steps, limit + START, guard=address, job=job)
        output = send(Batch([piece], {address: self.change}), self.work, self.standing)[piece.name]
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
