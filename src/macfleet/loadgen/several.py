"""One segment by several client processes: one schedule they take from in turns, their records merged."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, BinaryIO

from macfleet.loadgen.client import Segment, Share
from macfleet.loadgen.document import read_object, read_spec, refused
from macfleet.loadgen.loop import run
from macfleet.loadgen.pacer import Take
from macfleet.loadgen.relay import Relay
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.load import LoadSpec, Sample, SegmentReport

PROGRAM = (sys.executable, "-m", "macfleet.loadgen")
"""What starts the client as a program where it is installed; an archive is started otherwise."""

Record = tuple[Sample, list[int]]
_INDEX = 8
_BATCH = 512
# Time between the moment that all processes are told to begin and the first request: they read it by then.
_LEAD = 200_000_000


class Indices:
    """Counts up through a pipe that processes share: whoever needs an index reads the next one.

    Reads and writes are whole multiples of eight bytes and short against the pipe's capacity, so that no
    index is torn, lost or given twice, and a reader hardly ever waits.
    """

    def __init__(self, first: int) -> None:
        self.reader, self._writer = os.pipe()
        self._next = first
        self._thread = threading.Thread(target=self._fill, name="macfleet-indices", daemon=True)

    def start(self) -> None:
        """Fill the pipe until nobody can read it any more; the readers hold its end by then."""
        self._thread.start()
        os.close(self.reader)

    def join(self) -> None:
        """Wait until the last reader is gone."""
        self._thread.join()

    def _fill(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            while True:
                batch = range(self._next, self._next + _BATCH)
                os.write(self._writer, b"".join(index.to_bytes(_INDEX, "little") for index in batch))
                self._next = batch.stop
        os.close(self._writer)


def taker(descriptor: int) -> Take:
    """Return what reads the next index from an end of the pipe (raises EOFError once nobody fills it)."""

    def take() -> int:
        read = os.read(descriptor, _INDEX)
        if len(read) != _INDEX:
            raise EOFError("the schedule this client shares has ended")
        return int.from_bytes(read, "little")

    return take


def measure_several(
    spec: LoadSpec, relay: Relay[Record], *, archive: str, program: Sequence[str] = PROGRAM
) -> SegmentReport:
    """Run one segment by as many processes as it asks for; records go to `relay` as they are known.

    Every process has its own loop and an equal share of the streams. Indices, and with them fixtures, nonces
    and the moments of an open loop, come from one counter: what is sent is what one process would send.

    Raises:
        MacfleetError: E1075 a process ended before its report.
        Exception: what the relay's sink raised.
    """
    indices = Indices(spec.first_index)
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(_started(program, indices.reader)) for _ in range(spec.processes)]
        indices.start()
        for part in parts:
            if part.output.readline() != b"\n":
                raise _ended(part.process)
        start = time.monotonic_ns() + _LEAD
        for number, part in enumerate(parts):
            job = {"spec": spec.document(), "number": number, "start": start, "indices": indices.reader}
            with contextlib.suppress(BrokenPipeError):
                part.jobs.write(json.dumps({**job, "archive": archive}).encode())
                part.jobs.close()
        reports = _collected(parts, relay)
        relay.raise_failure()
    indices.join()
    return merged(reports)


def run_share(job: bytes, out: BinaryIO) -> None:
    """Run one process's share of a segment and write its records, as `measure_several` reads them."""
    told = read_object(job)
    spec = read_spec(json.dumps(told.get("spec")))
    number, start, descriptor = (told.get(name) for name in ("number", "start", "indices"))
    if not (isinstance(number, int) and isinstance(start, int) and isinstance(descriptor, int)):
        raise refused("a share has no number, start or indices")
    share = Share(number, spec.processes, start, taker(descriptor))

    def line(document: Mapping[str, object]) -> None:
        out.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def write(record: Record) -> None:
        sample, moments = record
        line({"sample": sample.document(), "t": moments})

    def tick() -> None:
        out.write(b"\n")
        out.flush()

    with Relay[Record](write, tick) as relay:
        segment = Segment(
            spec, lambda sample, moments: relay.put((sample, moments)), broken=relay.broken, share=share
        )
        report = run(segment.run(str(told.get("archive"))))
    line({"report": report.document()})
    out.flush()


def merged(reports: Sequence[SegmentReport]) -> SegmentReport:
    """Return the report of a whole segment: counts added up, lateness and share those of the worst."""
    return replace(
        reports[0],
        window_end=max(report.window_end for report in reports),
        token_events=sum(report.token_events for report in reports),
        requests=sum(report.requests for report in reports),
        loop_lag_p99=max(report.loop_lag_p99 for report in reports),
        dispatch_delay_p95=max(report.dispatch_delay_p95 for report in reports),
        cpu_share=max(report.cpu_share for report in reports),
        processes=tuple(
            {
                "requests": float(report.requests),
                "token_events": float(report.token_events),
                "loop_lag_p99": report.loop_lag_p99,
                "dispatch_delay_p95": report.dispatch_delay_p95,
                "cpu_share": report.cpu_share,
            }
            for report in reports
        ),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A process that is started and waits for its share."""

    process: subprocess.Popen[bytes]
    jobs: IO[bytes]
    output: IO[bytes]


@contextlib.contextmanager
def _started(program: Sequence[str], indices: int) -> Iterator[_Part]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*program, "share"], stdin=pipe, stdout=pipe, pass_fds=(indices,)) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("a process with pipes has both ends")
        try:
            yield _Part(process, process.stdin, process.stdout)
        finally:
            process.kill()


def _collected(parts: Sequence[_Part], relay: Relay[Record]) -> list[SegmentReport]:
    reports: dict[int, SegmentReport] = {}

    def read(number: int) -> None:
        for text in parts[number].output:
            if relay.broken():
                return
            if not text.strip():
                continue
            found = json.loads(text)
            if "report" in found:
                reports[number] = SegmentReport(**found["report"])
            else:
                relay.put((Sample(**found["sample"]), found["t"]))

    readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(len(parts))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    if len(reports) < len(parts) and not relay.broken():
        raise _ended(next(part.process for number, part in enumerate(parts) if number not in reports))
    return [reports[number] for number in sorted(reports)]


def _ended(process: subprocess.Popen[bytes]) -> MacfleetError:
    return MacfleetError(
        Diagnostic(
            "E1075",
            "a process of the load client ended before its report",
            why=f"Exit status {process.wait()}; what it wrote stands above.",
            mend="Measure again; with one process: client_processes: 1",
            exit_code=ExitCode.INTERNAL,
        )
    )
