"""When which request is due: pure, so that a schedule is tested without a clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from macfleet.model.load import LoadSpec

NANOSECONDS = 1_000_000_000
ARRIVALS = ("constant", "poisson")

Take = Callable[[], int]
"""Gives the next index that nobody has sent; processes that share a segment share where it comes from."""


@dataclass(frozen=True, slots=True)
class Due:
    """One request to send at `scheduled`, or at once when that is past: its index fixes fixture and nonce."""

    index: int
    scheduled: int
    warmup: bool


class Pacer(Protocol):
    """Says when requests are due; all times are nanoseconds on the clock that gave its start.

    Attributes:
        window_start, window_end: bounds of the measured window, known before the first request.
    """

    window_start: int
    window_end: int

    def entry(self, stream: int) -> int:
        """Return when stream number `stream` first asks what is due."""

    def due(self, now: int) -> Due | None:
        """Return the next request, or None when the segment sends no more."""


def pacer_of(spec: LoadSpec, start: int, take: Take | None = None) -> Pacer:
    """Return the pacer a segment asks for; `take` counts up from its first index unless given."""
    take = take or itertools.count(spec.first_index).__next__
    return OpenLoop(spec, start, take) if spec.rate else ClosedLoop(spec, start, take)


class ClosedLoop:
    """Hands out requests to a fixed number of streams; a stream asks again when it is free.

    All times are nanoseconds on the clock that gave `start`.

    Attributes:
        window_start, window_end: bounds of the measured window, known before the first request.
    """

    __slots__ = ("_last", "_spread", "_start", "_take", "window_end", "window_start")

    def __init__(self, spec: LoadSpec, start: int, take: Take) -> None:
        self._start = start
        self._take = take
        self._last = spec.first_index + spec.max_requests if spec.max_requests else None
        warmup = round(spec.warmup * NANOSECONDS)
        # Streams enter over the first half of the warm-up: a wave that lands at once sets p95 by itself.
        self._spread = warmup // (2 * spec.concurrency)
        self.window_start = start + warmup
        self.window_end = self.window_start + round(spec.duration * NANOSECONDS)

    def entry(self, stream: int) -> int:
        """Return when stream number `stream` sends its first request."""
        return self._start + stream * self._spread

    def due(self, now: int) -> Due | None:
        """Return the next request, or None when the segment sends no more."""
        if now >= self.window_end:
            return None
        index = self._take()
        if self._last is not None and index >= self._last:
            return None
        return Due(index, now, warmup=now < self.window_start)


class OpenLoop:
    """Hands out requests at moments fixed beforehand, however long the engine takes.

    A free stream takes the next moment and waits for it. When all streams are busy the moment passes, and the
    request is sent late with the schedule it had: latencies are read from there, so that an engine that
    stalls cannot hide the requests it kept waiting (coordinated omission).
    """

    __slots__ = ("_last", "_moments", "_next", "_start", "_take", "window_end", "window_start")

    def __init__(self, spec: LoadSpec, start: int, take: Take) -> None:
        self._start = start
        self._take = take
        self._last = spec.first_index + spec.max_requests if spec.max_requests else None
        self._moments = _moments(spec, start)
        self._next = spec.first_index
        self.window_start = start + round(spec.warmup * NANOSECONDS)
        self.window_end = self.window_start + round(spec.duration * NANOSECONDS)

    def entry(self, stream: int) -> int:
        """All streams ask at once; the moments keep them apart."""
        _ = stream
        return self._start

    def due(self, now: int) -> Due | None:
        """Return the next request, or None when its moment lies behind the window."""
        _ = now
        index = self._take()
        if self._last is not None and index >= self._last:
            return None
        moment = self._moment(index)
        if moment >= self.window_end:
            self._last = index
            return None
        return Due(index, moment, warmup=moment < self.window_start)

    def _moment(self, index: int) -> int:
        """Return an index's moment; those before it are other processes'."""
        while self._next < index:
            next(self._moments)
            self._next += 1
        self._next += 1
        return next(self._moments)


def _moments(spec: LoadSpec, start: int) -> Iterator[int]:
    """Yield arrival times for ever; those of a resumed segment go on where it was cut."""
    # Not for secrets: both arms must be offered the same moments, so the seed is what they share.
    dice = random.Random(f"{spec.nonce_key} {spec.cell} {spec.segment} {spec.first_index}")  # noqa: S311
    elapsed = 0.0
    while True:
        yield start + round(elapsed * NANOSECONDS)
        elapsed += dice.expovariate(spec.rate) if spec.arrivals == "poisson" else 1 / spec.rate


def nearest_rank(values: list[float], share: float) -> float:
    """Return the order statistic at `share` by nearest rank; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[rank - 1]
