"""Measures one segment: the blocking call in process, and the lines of the program."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import BinaryIO

from macfleet.loadgen.client import Segment
from macfleet.loadgen.document import checked
from macfleet.loadgen.lag import share_without_cpu
from macfleet.loadgen.loop import run
from macfleet.loadgen.relay import Relay
from macfleet.loadgen.several import PROGRAM, Record, measure_several
from macfleet.model.json import JsonObject
from macfleet.model.load import LoadSpec, Sample, SegmentReport


def measure(
    spec: LoadSpec,
    sink: Callable[[Sample], None],
    *,
    archive: str = "",
    events: Callable[[Sample, list[int]], None] | None = None,
    tick: Callable[[], None] = lambda: None,
    program: Sequence[str] = PROGRAM,
) -> SegmentReport:
    """Run one segment and return its report; blocks until it has ended.

    Args:
        spec: what to run.
        sink: takes samples in the order they end, on another thread; when it raises, the load stops and
            the exception comes out here.
        archive: digest of the archive the client runs from, recorded in the report.
        events: takes a sample with the moments of its generated text (monotonic nanoseconds), too.
        tick: called at least twice a second on the sink's thread.
        program: starts the client as a program, where a segment asks for several processes.

    Raises:
        MacfleetError: the spec cannot be run (E0901), or a process of several ended (E1075).
    """

    def hand_over(record: Record) -> None:
        sample, moments = record
        sink(sample)
        if events is not None:
            events(sample, moments)

    checked(spec)
    # A segment that ends with its last request, not with the clock, measures no time.
    waited = 0.0 if spec.max_requests else share_without_cpu()
    with Relay[Record](hand_over, tick) as relay:
        if spec.processes > 1:
            report = measure_several(spec, relay, archive=archive, program=program)
            return replace(report, without_cpu=waited)
        segment = Segment(spec, lambda sample, moments: relay.put((sample, moments)), broken=relay.broken)
        return replace(run(segment.run(archive)), without_cpu=waited)


def measure_lines(
    spec: LoadSpec,
    out: BinaryIO,
    *,
    archive: str = "",
    events: bool = False,
    program: Sequence[str] = PROGRAM,
) -> None:
    """Run one segment and write it as NDJSON, flushed at least each second.

    Lines are ``{"sample": …}``, with `events` ``{"events": {"index": …, "t": […]}}`` after each, and at
    the end ``{"report": …}``; empty lines are signs of life and mean nothing.
    """

    def line(document: JsonObject) -> None:
        out.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def moments(sample: Sample, times: list[int]) -> None:
        line({"events": {"index": sample.index, "t": times}})

    def tick() -> None:
        # The empty line finds out that nobody reads any more; load without a reader must not go on.
        out.write(b"\n")
        out.flush()

    report = measure(
        spec,
        lambda sample: line({"sample": sample.document()}),
        archive=archive,
        events=moments if events else None,
        tick=tick,
        program=program,
    )
    line({"report": report.document()})
    out.flush()
