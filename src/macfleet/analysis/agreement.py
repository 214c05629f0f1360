"""Whether load clients agree with an engine whose own stamps are known, and what an event costs each."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WITHIN_SHARE, WITHIN_SECONDS = 0.01, 0.002
"""What clients may differ by: a share, or for a time so many seconds where that is more."""
_NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed answer, in nanoseconds of any one clock: asked, first and last text; and its tokens."""

    asked: int
    first: int
    last: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Medians over the answers of one run.

    Attributes:
        ttft, itl: seconds to the first token, and mean seconds between two tokens of an answer.
        rate: tokens/s of one answer, the wait for its first token included.
    """

    answers: int
    ttft: float
    itl: float
    rate: float


@dataclass(frozen=True, slots=True)
class Beside:
    """One client's run against the engine.

    Attributes:
        reading: what the client reported; truth: what the engine stamped in the same run.
        cpu: CPU seconds of all the client's processes for each event; None where it cannot be told.
    """

    client: str
    reading: Reading
    truth: Reading
    cpu: float | None

    def misses(self) -> tuple[str, ...]:
        """Return in words where the client is further from the truth than it may be."""
        own, true = self.reading, self.truth
        times = (("TTFT", own.ttft, true.ttft), ("ITL", own.itl, true.itl))
        found = [
            f"{name} {1e3 * mine:.2f} ms instead of {1e3 * wanted:.2f} ms"
            for name, mine, wanted in times
            if abs(mine - wanted) > max(WITHIN_SECONDS, WITHIN_SHARE * wanted)
        ]
        if abs(own.rate - true.rate) > WITHIN_SHARE * true.rate:
            found.append(f"{own.rate:.2f} tokens/s instead of {true.rate:.2f}")
        return tuple(found)


def reading(answers: Sequence[Answer]) -> Reading | None:
    """Return the medians over answers of at least two tokens; None without one."""
    found = [each for each in answers if each.tokens > 1]
    if not found:
        return None
    return Reading(
        len(found),
        statistics.median((each.first - each.asked) * _NANO for each in found),
        statistics.median((each.last - each.first) * _NANO / (each.tokens - 1) for each in found),
        statistics.median(each.tokens / ((each.last - each.asked) * _NANO) for each in found),
    )
