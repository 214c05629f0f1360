"""How well the load client reads an engine whose truth is known."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_NANO = 1e-9

ADDED_P50 = 0.0005
ADDED_P99 = 0.005
BIAS = 0.01
CPU = 40e-6
"""What is promised on a quiet machine: seconds, seconds, a share, CPU seconds an event."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer as the client and as the engine saw it; monotonic nanoseconds of one machine.

    Attributes:
        send: when the client handed the request over; read: when it read each piece of generated text.
        received: when the engine had read the request; sent: when it wrote each piece.
        tokens: the client's count.
    """

    send: int
    read: Sequence[int]
    received: int
    sent: Sequence[int]
    tokens: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What the client added and missed.

    Attributes:
        answers, events: how many were held against each other.
        added_p50, added_p99: seconds between an event's writing at the engine and its reading here.
        ttft_bias, itl_bias, rate_bias: the client's figure over the engine's, minus one; medians.
        miscounted: answers whose tokens were counted wrongly.
        cpu: CPU seconds of the client for each event; None where it was not measured.
    """

    answers: int
    events: int
    added_p50: float
    added_p99: float
    ttft_bias: float
    itl_bias: float
    rate_bias: float
    miscounted: int
    cpu: float | None = None

    def misses(self) -> tuple[str, ...]:
        """Return in words which promises do not hold, empty when all do."""
        found = [
            (self.miscounted == 0, f"{self.miscounted} answers miscounted"),
            (self.added_p50 <= ADDED_P50, f"median added latency {1e3 * self.added_p50:.2f} ms > 0.5 ms"),
            (self.added_p99 <= ADDED_P99, f"p99 added latency {1e3 * self.added_p99:.2f} ms > 5 ms"),
            (abs(self.ttft_bias) <= BIAS, f"TTFT off by {100 * self.ttft_bias:+.2f} % > 1 %"),
            (abs(self.itl_bias) <= BIAS, f"ITL off by {100 * self.itl_bias:+.2f} % > 1 %"),
            (abs(self.rate_bias) <= BIAS, f"tokens/s off by {100 * self.rate_bias:+.2f} % > 1 %"),
            (self.cpu is None or self.cpu <= CPU, f"{1e6 * (self.cpu or 0):.0f} µs CPU an event > 40 µs"),
        ]
        return tuple(words for holds, words in found if not holds)


def accuracy(answers: Sequence[Answered], cpu_seconds: float | None = None) -> Accuracy | None:
    """Hold the client's stamps against the engine's; None without an answer of at least two events."""
    import numpy as np

    whole = [each for each in answers if len(each.sent) > 1 and len(each.read) == len(each.sent)]
    if not whole:
        return None
    added = np.concatenate([np.subtract(each.read, each.sent) for each in whole]) * _NANO
    seen = np.array([_figures(each.read, each.send) for each in whole])
    true = np.array([_figures(each.sent, each.send) for each in whole])
    bias = np.median(seen, axis=0) / np.median(true, axis=0) - 1
    events = sum(len(each.read) for each in answers)
    return Accuracy(
        answers=len(answers),
        events=events,
        added_p50=float(np.quantile(added, 0.50)),
        added_p99=float(np.quantile(added, 0.99)),
        ttft_bias=float(bias[0]),
        itl_bias=float(bias[1]),
        rate_bias=float(bias[2]),
        miscounted=sum(each.tokens != len(each.sent) for each in answers),
        cpu=None if cpu_seconds is None or not events else cpu_seconds / events,
    )


def _figures(moments: Sequence[int], send: int) -> np.ndarray:
    """TTFT in seconds, mean gap in seconds, tokens/s of one answer."""
    import numpy as np

    whole = (moments[-1] - send) * _NANO
    gap = (moments[-1] - moments[0]) * _NANO / (len(moments) - 1)
    return np.array([(moments[0] - send) * _NANO, gap, len(moments) / whole])
