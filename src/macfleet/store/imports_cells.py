"""What another load generator measured, as far as its file tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.analysis.percentiles import percentile
from macfleet.model.run import CellSummary, Interval


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of many requests, in seconds: each request's own, or the tool's percentiles of it.

    Attributes:
        values: one a request, +∞ for one that failed; empty where the file has none.
        known: percentiles by share, such as 0.95, as the tool computed them.
    """

    values: tuple[float, ...] = ()
    known: Mapping[float, float] = field(default_factory=dict)

    def at(self, share: float) -> Interval:
        """Return a percentile: with its interval from the requests, bare from the tool, NaN for none."""
        return percentile(self.values, share) if self.values else Interval(self.known.get(share, math.nan))

    def lacks(self, *shares: float) -> tuple[float, ...]:
        """Return which of these percentiles cannot be told."""
        return () if self.values else tuple(share for share in shares if share not in self.known)


@dataclass(frozen=True, slots=True)
class ImportedCell:
    """One load of one file.

    Attributes:
        concurrency: streams kept in flight, 0 in an open loop, None where the file does not say.
        rate: requests a second offered in an open loop, else 0.
        ok: requests that were answered in full; outcomes: all of them by how they ended.
        seconds: length of the measurement.
        tokens_per_second: generated tokens a second of all streams; None where it is not told.
        latency: end to end; first: to the first token; gap: mean gap between tokens of a request.
    """

    concurrency: int | None
    rate: float
    ok: int
    outcomes: Mapping[str, int]
    seconds: float
    tokens_per_second: float | None
    qps: float
    latency: Figure
    first: Figure
    gap: Figure

    @property
    def n(self) -> int:
        """Requests in all."""
        return sum(self.outcomes.values())

    def name(self, bucket: str) -> str:
        """Return the cell's name, as our own cells are named."""
        return f"{bucket}@{self.rate:.4g}/s" if self.rate else f"{bucket}×{self.concurrency}"

    def summary(self, node: str, arm: str, bucket: str, why: tuple[str, ...]) -> CellSummary:
        """Return the cell as a summary that is shown and never judged.

        Args:
            node: node that was measured.
            arm: its arm.
            bucket: what the load is called here.
            why: what is not comparable, in sentences.
        """
        rate = self.tokens_per_second
        return CellSummary(
            node=node,
            arm=arm,
            cell=self.name(bucket),
            bucket=bucket,
            concurrency=0 if self.rate else self.concurrency or 0,
            n=self.n,
            ok=self.ok,
            tokens_per_second=Interval(math.nan if rate is None else rate),
            qps=self.qps,
            p50=self.latency.at(0.50),
            p95=self.latency.at(0.95),
            p99=self.latency.at(0.99),
            ttft_p50=self.first.at(0.50),
            ttft_p95=self.first.at(0.95),
            itl_p50=self.gap.at(0.50),
            itl_p95=self.gap.at(0.95),
            errors=(self.n - self.ok) / self.n if self.n else 0.0,
            status={},
            outcomes={name: count for name, count in self.outcomes.items() if count},
            minutes=self.seconds / 60,
            segments=1,
            invalid=(*why, *self._missing()),
        )

    def _missing(self) -> tuple[str, ...]:
        named = (("end to end", self.latency), ("first token", self.first), ("gap between tokens", self.gap))
        return tuple(
            f"{name}: the file has no {', '.join(f'p{100 * share:g}' for share in lacking)}"
            for name, figure in named
            if (lacking := figure.lacks(0.50, 0.95))
        )


@dataclass(frozen=True, slots=True)
class Imported:
    """One file of one tool.

    Attributes:
        tool: its name; version: as the file says, empty where it does not.
        started, finished: seconds since the epoch, None where the file does not say.
        differs: in what the tool's definitions are not ours, in sentences.
    """

    tool: str
    version: str
    model: str
    started: float | None
    finished: float | None
    cells: tuple[ImportedCell, ...]
    differs: tuple[str, ...]
