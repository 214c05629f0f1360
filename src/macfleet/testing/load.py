"""A load client that sends nothing and answers from a table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from macfleet.model.contract import Contract
from macfleet.model.load import EndpointReport, LoadSpec, RouteCheck, Sample, SegmentReport, Vantage
from macfleet.model.node import Node
from macfleet.testing.synthetic import SyntheticArm, synthetic_run


@dataclass(frozen=True, slots=True)
class FakePings:
    """What a path is said to cost; milliseconds."""

    ms: tuple[float, ...] = (1.0, 1.0, 1.1, 1.2)
    errors: int = 0
    time_wait: int | None = 0


@dataclass(slots=True)
class FakeLoadGenerator:
    """A `LoadGenerator` without a network.

    Attributes:
        problems: what is wrong with an arm's routes, by ``node/arm``; nothing unless given.
        pings: answer by (mode, vantage, kept); `mode_of` says which mode a node serves in at the moment.
        failing: errors `measure` raises, by node.
        measured: node and spec of every segment, in order of their start.
        together: most nodes of one hardware that were ever measured at the same time, by hardware.
        pause: called inside each measurement; a test puts a barrier here to make overlaps certain.
    """

    problems: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pings: Mapping[tuple[str, Vantage, bool], FakePings] = field(default_factory=dict)
    mode_of: Callable[[Node], str] = lambda _node: "bridge"
    failing: dict[str, Exception] = field(default_factory=dict)
    measured: list[tuple[str, LoadSpec]] = field(default_factory=list)
    probed: list[tuple[str, str]] = field(default_factory=list)
    together: dict[str, int] = field(default_factory=dict)
    pause: Callable[[], None] = lambda: None
    _busy: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def measure(
        self,
        node: Node,
        vantage: Vantage,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Hand over a synthetic segment of the spec's cell and length; its tokens come evenly."""
        _ = vantage
        with self._alone(node):
            self.measured.append((node.name, spec))
            self.pause()
            if node.name in self.failing:
                raise self.failing[node.name]
            run = synthetic_run(
                [SyntheticArm(spec.arm)],
                cells=(spec.cell,),
                segments=spec.segment + 1,
                seconds=max(1, round(spec.duration)),
            )
            for sample in run.samples:
                if sample.segment == spec.segment:
                    sink(sample)
                    if events is not None:
                        events(sample, _evenly(sample))
            return run.reports[spec.segment]

    def probe(self, node: Node, arm: str, base_url: str, contract: Contract) -> EndpointReport:
        """Return a report of every promised route, with the problems of the table."""
        self.probed.append((node.name, arm))
        problems = self.problems.get(f"{node.name}/{arm}", ())
        routes = tuple(RouteCheck(r.path, r.stream, 200, problems) for r in contract.routes)
        return EndpointReport(arm, base_url, routes)

    def ping(
        self,
        node: Node,
        vantage: Vantage,
        url: str,
        *,
        requests: int,
        keep_alive: bool,
        concurrency: int = 1,
    ) -> FakePings:
        """Return what the table says of the path."""
        _ = (url, requests, concurrency)
        with self._alone(node):
            self.pause()
            return self.pings.get((self.mode_of(node), vantage, keep_alive), FakePings())

    @contextmanager
    def _alone(self, node: Node) -> Iterator[None]:
        """Count how many measurements one hardware carries at once."""
        hardware = node.hardware or node.name
        with self._lock:
            self._busy[hardware] = self._busy.get(hardware, 0) + 1
            self.together[hardware] = max(self.together.get(hardware, 0), self._busy[hardware])
        try:
            yield
        finally:
            with self._lock:
                self._busy[hardware] -= 1


def _evenly(sample: Sample) -> tuple[int, ...]:
    """Return moments of a request's tokens, the first and the last where the sample has them."""
    first, last = sample.t_first_gen, sample.t_last_gen
    if first is None or last is None:
        return ()
    gaps = max(sample.tokens - 1, 1)
    return tuple(first + (last - first) * number // gaps for number in range(sample.tokens))
