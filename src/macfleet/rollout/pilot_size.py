"""How many segments a judged cell is given: fixed before it is measured, from the pace of a pilot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macfleet.analysis.percentiles import GATED_REQUESTS
from macfleet.analysis.validity import CLIENT_CPU
from macfleet.model.json import Json
from macfleet.model.load import RequestOutcome, Sample
from macfleet.model.processes import MOST_PROCESSES
from macfleet.rollout.load_profile import LONGEST, LoadProfile

_UNSETTLED = 2.0
"""What one request alone may be off by: it has no spread to tell its uncertainty from."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one arm answered in one cell's pilot.

    Attributes:
        seconds: of each request from its sending to its end, closed loop; a request that was cut counts with
            what it had taken.
    """

    arm: str
    concurrency: int
    seconds: tuple[float, ...]

    @classmethod
    def of(cls, arm: str, concurrency: int, samples: Sequence[Sample]) -> Pace:
        """Read it from requests that ended well or were cut: those of the warm-up where no others are."""
        kept = [s for s in samples if s.outcome in (RequestOutcome.OK, RequestOutcome.CENSORED)]
        settled = [sample for sample in kept if not sample.warmup] or kept
        took = [(s.t_close - s.t_send) / 1e9 for s in settled if s.t_send is not None]
        return cls(arm, concurrency, tuple(each for each in took if each > 0))

    def requests_in(self, seconds: float) -> float | None:
        """Return how many requests so many seconds surely yield; None without a request to tell from.

        The mean time of a request is taken at its one-sided 95 % upper bound (t distribution), so that a
        pilot of few requests asks for more rather than for too little.
        """
        if not self.seconds:
            return None
        return self.concurrency * seconds / _upper_mean(self.seconds)


@dataclass(frozen=True, slots=True)
class Size:
    """What one cell is given in every arm.

    Attributes:
        cell: such as ``short×4``; planned: segments without a pilot; segments: what it is given.
        arm: the slowest arm, which decided; empty where no arm answered.
        expected: requests that arm yields at least in so many segments, 0 where none answered.
        minutes_lacking: an arm, to reach `GATED_REQUESTS`, where the longest a cell may be is too short.
    """

    cell: str
    planned: int
    segments: int
    arm: str = ""
    expected: int = 0
    minutes_lacking: float = 0.0

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "cell": self.cell,
            "planned": self.planned,
            "segments": self.segments,
            "arm": self.arm,
            "expected": self.expected,
            "minutes_lacking": round(self.minutes_lacking, 1),
        }


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of every judged cell, by concurrency; the same in all arms, and after a resumption.

    Attributes:
        processes: client processes of every segment.
    """

    of: Mapping[int, Size]
    processes: int = 1

    @property
    def most(self) -> int:
        """The segments of the longest cell."""
        return max((size.segments for size in self.of.values()), default=0)

    def has(self, concurrency: int, segment: int) -> bool:
        """Whether a cell has the segment of this number."""
        return segment < self.of[concurrency].segments


def as_planned(bucket: str, concurrencies: Sequence[int], profile: LoadProfile, processes: int = 1) -> Sizes:
    """Return every cell as long as the profile says."""
    planned = profile.segments
    return Sizes({c: Size(f"{bucket}×{c}", planned, planned) for c in concurrencies}, processes)


def processes_for(shares: Sequence[float], declared: int) -> int:
    """Return how many client processes a load needs, from the core's share of those whose pilot was late.

    Each is to be left half of `CLIENT_CPU`. A client that was late with less to do waited for others, whom
    more processes do not help.
    """
    room = CLIENT_CPU / 2
    needed = [math.ceil(declared * share / room) for share in shares if share > room]
    return min(max([declared, *needed]), MOST_PROCESSES)


def size_cell(cell: str, paces: Sequence[Pace], profile: LoadProfile) -> Size:
    """Return how many segments a cell needs so that every arm has `GATED_REQUESTS` requests.

    Never fewer than the profile's and at most `LONGEST` times as many; an even number, so that arms stay
    paired in blocks. `paces` are the cell's, one an arm; an arm that answered nothing does not decide.
    """
    found = [(each, pace.arm) for pace in paces if (each := pace.requests_in(profile.window)) is not None]
    if not found:
        return Size(cell, profile.segments, profile.segments)
    each, arm = min(found)
    needed = math.ceil(GATED_REQUESTS / each)
    segments = max(profile.segments, needed + needed % 2)
    segments = min(segments, LONGEST * profile.segments)
    lacking = max(0.0, GATED_REQUESTS / each - segments) * profile.window / 60
    return Size(cell, profile.segments, segments, arm, math.floor(each * segments), lacking)


def read_sizes(document: Json) -> Sizes | None:
    """Return the sizes a pilot's document fixed; None where it holds none."""
    rows = document.get("sizes") if isinstance(document, Mapping) else None
    if not isinstance(rows, list):
        return None
    found = {}
    for row in rows:
        size = Size(**row)
        found[int(size.cell.rpartition("×")[2])] = size
    processes = document.get("client_processes") if isinstance(document, Mapping) else None
    return Sizes(found, processes if isinstance(processes, int) else 1)


def _upper_mean(seconds: Sequence[float]) -> float:
    count = len(seconds)
    mean = math.fsum(seconds) / count
    if count == 1:
        return _UNSETTLED * mean
    from scipy.special import stdtrit  # noqa: PLC0415  (slow to import: only where a pilot is read)

    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in seconds) / (count - 1))
    return mean + float(stdtrit(count - 1, 0.95)) * spread / math.sqrt(count)
