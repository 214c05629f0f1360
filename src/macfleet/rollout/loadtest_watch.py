"""How a load test stands while it goes on: what its journal and raw lines say so far; nothing is judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.model.json import Json, JsonObject
from macfleet.rollout.journalled import SETTLED
from macfleet.rollout.loadtest_segment import SEGMENT

_NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt at a segment that was begun.

    Attributes:
        file: its raw lines, below the node's folder in the run.
        of: segments that the node had to measure when it began; seconds: length with warm-up.
        at: when, seconds since the epoch.
    """

    arm: str
    cell: str
    segment: int
    file: str
    of: int
    seconds: float
    at: float

    @property
    def key(self) -> tuple[str, str, int]:
        """What its attempts share."""
        return self.arm, self.cell, self.segment


@dataclass(slots=True)
class SoFar:
    """What the raw lines of one arm's and cell's standing attempts say up to now, warm-up left out.

    Attributes:
        requests: those that ended; errors: those of them that were not answered well.
        tokens: generated ones of requests that ended.
        first_tokens: seconds from the sending to the first text, +∞ where none came.
        seconds: summed over attempts, from the first request's due time to the last one's end.
    """

    requests: int = 0
    errors: int = 0
    tokens: int = 0
    first_tokens: list[float] = field(default_factory=list)
    seconds: float = 0.0
    _bounds: tuple[int, int] | None = None

    def take(self, row: JsonObject) -> None:
        """Take one raw line of an attempt; what is no request of its window is let pass."""
        due, end = row.get("t_sched"), row.get("t_close")
        if row.get("warmup") or not (isinstance(due, int) and isinstance(end, int)):
            return
        sent, first, tokens = row.get("t_send"), row.get("t_first_gen"), row.get("tokens")
        self.requests += 1
        self.errors += row.get("outcome") != "ok"
        self.tokens += tokens if isinstance(tokens, int) else 0
        came = (first - sent) / _NANOSECONDS if isinstance(sent, int) and isinstance(first, int) else math.inf
        self.first_tokens.append(came)
        low, high = self._bounds or (due, end)
        self._bounds = min(low, due), max(high, end)
        self.seconds = (self._bounds[1] - self._bounds[0]) / _NANOSECONDS

    def joined(self, other: SoFar) -> SoFar:
        """Return both together: clocks of two attempts have nothing in common but their seconds."""
        return SoFar(
            self.requests + other.requests,
            self.errors + other.errors,
            self.tokens + other.tokens,
            [*self.first_tokens, *other.first_tokens],
            self.seconds + other.seconds,
        )

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of ended requests over the time they took; None before the first one."""
        return self.tokens / self.seconds if self.seconds > 0 else None

    @property
    def ttft_p95(self) -> float | None:
        """Nearest rank of seconds to the first text; +∞ where too many had none, None before the first."""
        if not self.first_tokens:
            return None
        ordered = sorted(self.first_tokens)
        return ordered[math.ceil(0.95 * len(ordered)) - 1]

    def document(self) -> dict[str, Json]:
        """Return the figures as JSON; what is not known or not finite is null."""
        rate, first = self.tokens_per_second, self.ttft_p95
        return {
            "requests": self.requests,
            "errors": self.errors,
            "tokens_per_second": None if rate is None else round(rate, 2),
            "ttft_p95": None if first is None or math.isinf(first) else round(first, 4),
        }


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """Where one node of a load test stands.

    Attributes:
        outcome: how it ended, empty while it has not.
        begun: attempts at segments in the order they were begun.
        cells: figures so far by arm and cell.
        invalid: why cells cannot be judged, once the node's cells were reduced.
    """

    node: str
    outcome: str = ""
    begun: tuple[Begun, ...] = ()
    cells: Mapping[tuple[str, str], SoFar] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()

    @property
    def now(self) -> Begun | None:
        """The attempt that was begun last."""
        return self.begun[-1] if self.begun else None

    @property
    def number(self) -> int:
        """Which of its segments the node is at, from 1; an attempt made again counts once."""
        return len({each.key for each in self.begun})

    @property
    def again(self) -> int:
        """Attempts that were made because the client was late in the one before."""
        return len(self.begun) - self.number

    def left(self, now: float) -> float | None:
        """Return about how many seconds the node still needs; None where nothing is known or left.

        What segments took so far is the pace: changing engines and measuring again take time as well.
        """
        last = self.now
        if last is None or self.outcome:
            return None
        done = self.number - 1
        pace = max(last.seconds, (last.at - self.begun[0].at) / done if done else 0.0)
        return max(pace * (last.of - done) - max(now - last.at, 0.0), 0.0)

    def document(self, now: float | None) -> dict[str, Json]:
        """Return it as JSON; seconds, none left to a run that does not go on: `now` is None."""
        last, left = self.now, None if now is None else self.left(now)
        cells: list[Json] = [
            {"arm": arm, "cell": cell, **found.document()} for (arm, cell), found in self.cells.items()
        ]
        return {
            "node": self.node,
            "outcome": self.outcome or None,
            "arm": last.arm if last else None,
            "cell": last.cell if last else None,
            "segment": self.number or None,
            "of": last.of if last else None,
            "measured_again": self.again,
            "seconds_left": None if left is None else round(left),
            "so_far": cells,
            "invalid": list(self.invalid),
        }


def begun_by(entries: Iterable[tuple[str, str, JsonObject, float]]) -> dict[str, NodeProgress]:
    """Reduce a run's journal to what each node began and how it ended.

    Args:
        entries: node, kind, detail and moment, in the order they were written.
    """
    begun: dict[str, list[Begun]] = {}
    ended: dict[str, str] = {}
    for node, kind, detail, at in entries:
        if kind == SEGMENT and (one := _begun(detail, at)) is not None:
            begun.setdefault(node, []).append(one)
        elif kind == SETTLED:
            ended[node] = str(detail.get("outcome") or "")
    return {
        node: NodeProgress(node, ended.get(node, ""), tuple(begun.get(node, ())))
        for node in {**begun, **ended}
    }


def standing(begun: Sequence[Begun]) -> tuple[Begun, ...]:
    """Return the attempts that stand: of each segment the one begun last."""
    return tuple({each.key: each for each in begun}.values())


def _begun(detail: JsonObject, at: float) -> Begun | None:
    segment, of, seconds = (detail.get(name) for name in ("segment", "of", "seconds"))
    if not (isinstance(segment, int) and isinstance(of, int) and isinstance(seconds, int | float)):
        return None
    arm, cell, file = (str(detail.get(name) or "") for name in ("arm", "cell", "file"))
    return Begun(arm, cell, segment, file, of, float(seconds), at)
