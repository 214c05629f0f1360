"""One segment of stage 5 on a node: load, sampler and the engine's counters, kept while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

from macfleet.analysis.sampler import clock_offset, parse_series
from macfleet.analysis.strangers import strangers
from macfleet.analysis.validity import client_was_late
from macfleet.facts.engine_counters import counters_script, parse_counters
from macfleet.facts.sampler import sampler_script
from macfleet.model.event import Event
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import LoadSpec, Sample, SegmentReport, Vantage
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.run import TokenLines
from macfleet.rollout.arms import ENVIRONMENT
from macfleet.rollout.ports import Ports

SEGMENT = "loadtest.segment"
"""What the journal calls the begin of an attempt at a segment."""
Counters = Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Take:
    """One attempt at a segment that came to its end.

    Attributes:
        samples: every request, warm-up included; series: the sampler's rows, labelled.
        before, after: the engine's counters round it, None where the engine has none.
        foreign: in words what the engine served that was not ours, empty for nothing.
        up: whether the VM ran; None where the node does not say.
    """

    samples: tuple[Sample, ...]
    report: SegmentReport
    series: tuple[JsonObject, ...]
    before: Counters = None
    after: Counters = None
    foreign: str = ""
    up: bool | None = None

    @property
    def late(self) -> bool:
        """Whether the client itself spoiled it."""
        return client_was_late(self.report, self.samples)

    def document(self) -> dict[str, Json]:
        """Return what ends the attempt's raw lines: without it they are of a segment that was cut."""
        return {
            "report": self.report.document(),
            "series": list(self.series),
            "up": self.up,
            "engine": self.engine(),
        }

    def engine(self) -> dict[str, Json]:
        """Return what the engine said of itself."""
        return {
            "arm": self.report.arm,
            "cell": self.report.cell,
            "segment": self.report.segment,
            "before": None if self.before is None else dict(self.before),
            "after": None if self.after is None else dict(self.after),
            "foreign": self.foreign,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands in a node's load test, and with which attempt its raw lines are named."""

    arm: str
    segment: int
    concurrency: int
    attempt: int = 0

    def file(self, kind: str, ending: str = "ndjson") -> str:
        """Return the name of a file of the attempt, below the node's folder."""
        return f"{self.arm}/{kind}-{self.segment}-{self.concurrency}-{self.attempt}.{ending}"

    @property
    def series(self) -> str:
        """Return the name of what the sampler printed, below the node's folder."""
        return f"series-{self.arm}-{self.segment}-{self.concurrency}-{self.attempt}.ndjson"


def measure_segment(
    spec: LoadSpec,
    place: Place,
    node: Node,
    ports: Ports,
    writer: RunWriter,
    *,
    of: int,
    up: bool | None,
    token_events: bool = True,
) -> Take:
    """Load and sample side by side, each on a thread of its own over the one connection.

    Every request and every line of the sampler is in the run's folder as soon as it is known here; what
    ends the raw lines is there only when the segment came to its end. With `token_events` the moments of
    every request's tokens are, too; they are not held in memory.
    """
    samples: list[Sample] = []
    detail: dict[str, Json] = {"arm": spec.arm, "cell": spec.cell, "segment": spec.segment}
    seconds = spec.warmup + spec.duration
    ports.events.emit(Event("loadtest.segment", node.name, {**detail, "seconds": seconds, "of": of}))
    noted = {**detail, "seconds": seconds, "of": of, "file": place.file("raw")}
    ports.journal.note(writer.id, node.name, SEGMENT, noted)
    folder = f"nodes/{node.name}"
    before = _counters(spec, node, ports)
    reports: list[SegmentReport] = []
    told: list[tuple[JsonObject, ...]] = []
    with ExitStack() as files:
        line = files.enter_context(writer.lines(f"{folder}/{place.file('raw')}"))
        keep_events = (
            _token_lines(files.enter_context(writer.lines(f"{folder}/{place.file('events')}")))
            if token_events
            else None
        )

        def keep(sample: Sample) -> None:
            samples.append(sample)
            line(sample.document())

        def load() -> None:
            reports.append(ports.load.measure(node, Vantage.NODE_LOOPBACK, spec, keep, keep_events))

        def watch() -> None:
            told.append(_sampled(spec, node, ports, writer, f"{folder}/{place.series}"))

        for answer in ports.executor.each((load, watch), lambda work: work()).values():
            if isinstance(answer, Exception):
                raise answer
        after = _counters(spec, node, ports)
        take = Take(
            tuple(samples),
            reports[0],
            tuple(_labelled(row, reports[0]) for row in told[0]),
            before,
            after,
            strangers(before, after, samples, _longest(spec)),
            up,
        )
        line(take.document())
    return take


def token_lines_of(folder: str, place: Place, report: SegmentReport) -> TokenLines:
    """Return where the token events of a finished attempt lie; `folder` is the node's inside the run."""
    return TokenLines(f"{folder}/{place.file('events')}", report.cell, report.segment, report.window_start)


def _token_lines(line: Callable[[JsonObject], None]) -> Callable[[Sample, Sequence[int]], None]:
    """Return what writes a request's moments as one raw line, which `TokenLines` describes."""

    def write(sample: Sample, moments: Sequence[int]) -> None:
        if not moments:
            return
        gaps: list[Json] = [later - earlier for earlier, later in pairwise(moments)]
        # One event may carry several tokens, or part of one: only the engine's own count tells.
        counted = sample.token_source
        each = 1 if counted == "usage" and sample.tokens == len(moments) else None
        line({"index": sample.index, "first": moments[0], "gaps": gaps, "each": each})

    return write


def _sampled(
    spec: LoadSpec, node: Node, ports: Ports, writer: RunWriter, path: str
) -> tuple[JsonObject, ...]:
    """Return the sampler's rows; each line is in the run's folder as soon as it came."""
    seconds = round(spec.warmup + spec.duration) + 2
    heard: list[tuple[str, float]] = []
    tail = b""
    with writer.lines(path) as line:

        def feed(piece: bytes) -> None:
            nonlocal tail
            *lines, tail = (tail + piece).split(b"\n")
            for each in lines:
                heard.append((each.decode("utf-8", "replace"), ports.clock.now()))
                line({"line": heard[-1][0], "came": heard[-1][1]})

        transport = ports.transports.to(node)
        script = sampler_script(seconds, spec.base_url)
        feed(transport.run(script, deadline=seconds + 60, sink=feed).stdout)
    offset = clock_offset(heard)
    rows = parse_series("\n".join(text for text, _ in heard))
    return tuple({**row, "clock_offset_s": offset} for row in rows)


def _counters(spec: LoadSpec, node: Node, ports: Ports) -> Counters:
    script = f"{ENVIRONMENT}\n{counters_script(spec.base_url)}"
    done = ports.transports.to(node).run(script, deadline=60)
    return parse_counters(done.stdout.decode("utf-8", "replace"))


def _longest(spec: LoadSpec) -> int | None:
    """Return the most tokens one request may generate; None when a fixture sets no bound."""
    bounds = [
        found
        for fixture in spec.fixtures
        for found in (fixture.body.get("max_completion_tokens") or fixture.body.get("max_tokens"),)
    ]
    known = [bound for bound in bounds if isinstance(bound, int)]
    return max(known) if known and len(known) == len(bounds) else None


def _labelled(row: JsonObject, report: SegmentReport) -> dict[str, Json]:
    """Say which cell's window a row of the series fell into; outside of it it belongs to none."""
    moment = row.get("t_wall_ns")
    end = report.wall_start + report.window_end - report.window_start
    inside = isinstance(moment, int) and report.wall_start <= moment <= end
    return {**row, "arm": report.arm, "segment": report.segment, "cell": report.cell if inside else None}
