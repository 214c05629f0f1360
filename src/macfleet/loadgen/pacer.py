"""When which request is due: pure, so that a schedule is tested without a clock."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.load import LoadSpec

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Due:
    """One request to send now: its index fixes fixture and nonce."""

    index: int
    scheduled: int
    warmup: bool


class ClosedLoop:
    """Hands out requests to a fixed number of streams; a stream asks again when it is free.

    All times are nanoseconds on the clock that gave `start`.

    Attributes:
        window_start, window_end: bounds of the measured window, known before the first request.
    """

    __slots__ = ("_index", "_last", "_spread", "_start", "window_end", "window_start")

    def __init__(self, spec: LoadSpec, start: int) -> None:
        self._start = start
        self._index = spec.first_index
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
        if now >= self.window_end or self._index == self._last:
            return None
        due = Due(self._index, now, warmup=now < self.window_start)
        self._index += 1
        return due


def nearest_rank(values: list[float], share: float) -> float:
    """Return the order statistic at `share` by nearest rank; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[rank - 1]
