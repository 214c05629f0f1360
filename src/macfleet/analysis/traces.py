"""What a node's recorded run looks like over time and as distributions: the data of a report's figures."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.analysis.requests import is_open
from macfleet.analysis.segments import Segment, segments_of
from macfleet.model.load import SegmentReport

if TYPE_CHECKING:
    import polars as pl

_NANO = 1e-9
_POINTS = 240
"""Most points of one curve: more than a screen has columns to show them in."""
_LENGTHS = 8
"""Most groups of prompt lengths an arm is read at."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one line, x ascending; a None breaks it."""

    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Empirical distribution of end-to-end seconds of one arm and cell.

    Attributes:
        curve: seconds against the share of requests that took no longer; it ends below 1 where some failed.
        n: requests; failed: how many of them never completed.
    """

    arm: str
    cell: str
    curve: Curve
    n: int
    failed: int


@dataclass(frozen=True, slots=True)
class Band:
    """One segment on the run's own clock, in minutes since its first window opened.

    Attributes:
        tokens: minutes against generated tokens/s.
        loop_lag, dispatch_delay: the client's own lateness in seconds; cpu_share: CPU seconds per second.
    """

    arm: str
    cell: str
    segment: int
    start: float
    end: float
    tokens: Curve
    loop_lag: float
    dispatch_delay: float
    cpu_share: float


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Median seconds to the first token against prompt length, of one arm at one concurrency."""

    arm: str
    concurrency: int
    prompt_tokens: tuple[float, ...]
    seconds: tuple[float, ...]
    n: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything a report draws of one node of one run.

    Attributes:
        environment: minutes against percent of host memory used and of VM CPU time spent waiting for I/O, by
            ``host memory`` and ``VM iowait``; a series that was not sampled is missing.
    """

    run: str
    node: str
    distributions: tuple[Distribution, ...]
    bands: tuple[Band, ...]
    environment: Mapping[str, Curve]
    first_tokens: tuple[FirstTokens, ...]


_SERIES = {"host memory": "host_used_pct", "VM iowait": "vm_iowait_pct"}


def trace(
    run: str, node: str, samples: pl.DataFrame, reports: Sequence[SegmentReport], series: pl.DataFrame
) -> Trace:
    """Reduce one node's raw records to what a figure shows; a segment without a report is left out."""
    ordered = sorted(reports, key=lambda each: each.wall_start)
    segments = segments_of(ordered, samples)
    began = ordered[0].wall_start if ordered else 0
    return Trace(
        run=run,
        node=node,
        distributions=tuple(_distributions(segments)),
        bands=tuple(_band(segment, began) for segment in segments),
        environment=_environment(series, began),
        first_tokens=tuple(_first_tokens(segments)),
    )


def _distributions(segments: Sequence[Segment]) -> list[Distribution]:
    import numpy as np

    found: list[Distribution] = []
    for arm, cell in sorted({(each.report.arm, each.report.cell) for each in segments}):
        own = [each for each in segments if (each.report.arm, each.report.cell) == (arm, cell)]
        pooled = np.sort(np.concatenate([each.measured.latency for each in own]))
        reached = pooled[np.isfinite(pooled)]
        chosen = _thinned(len(reached))
        curve = Curve(
            tuple(float(reached[position]) for position in chosen),
            tuple((position + 1) / len(pooled) for position in chosen),
        )
        found.append(Distribution(arm, cell, curve, len(pooled), len(pooled) - len(reached)))
    return found


def _band(segment: Segment, began: int) -> Band:
    report = segment.report
    start = (report.wall_start - began) * _NANO / 60
    x, y = _smoothed(segment)
    return Band(
        arm=report.arm,
        cell=report.cell,
        segment=report.segment,
        start=start,
        end=start + segment.seconds / 60,
        tokens=Curve(tuple(start + second / 60 for second in x), y),
        loop_lag=report.loop_lag_p99,
        dispatch_delay=report.dispatch_delay_p95,
        cpu_share=report.cpu_share,
    )


def _smoothed(segment: Segment) -> tuple[list[float], tuple[float, ...]]:
    """Means of tokens/s over equal spans, at most as many as a curve shows."""
    import numpy as np

    seconds = len(segment.rate)
    if not seconds:
        return [], ()
    parts = np.array_split(np.arange(seconds), min(seconds, _POINTS // 8))
    middles = [float(part.mean()) + 0.5 for part in parts]
    return middles, tuple(float(segment.rate[part].mean()) for part in parts)


def _environment(series: pl.DataFrame, began: int) -> dict[str, Curve]:
    """Sampled shares on the run's clock, in spans of equal length."""
    import polars as pl

    found: dict[str, Curve] = {}
    for name, column in _SERIES.items():
        if column not in series.columns:
            continue
        known = series.filter(pl.col(column).is_not_null() & (pl.col("t_wall_ns") >= began)).sort("t_wall_ns")
        if not len(known):
            continue
        minutes = (known.get_column("t_wall_ns") - began) * (_NANO / 60)
        span = max(float(minutes.max() or 0.0) / _POINTS, 1 / 60)  # type: ignore[arg-type]
        means = (
            known.with_columns(((minutes / span).floor() * span).alias("minute"))
            .group_by("minute")
            .agg(pl.col(column).mean())
            .sort("minute")
        )
        found[name] = _broken(means.get_column("minute").to_list(), means.get_column(column).to_list(), span)
    return found


def _broken(minutes: Sequence[float], values: Sequence[float], span: float) -> Curve:
    """Break the line where nothing was sampled, so that a pause does not look like a measurement."""
    x: list[float] = []
    y: list[float | None] = []
    for minute, value in zip(minutes, values, strict=True):
        if x and minute - x[-1] > max(3 * span, 0.1):
            x.append((x[-1] + minute) / 2)
            y.append(None)
        x.append(minute)
        y.append(value)
    return Curve(tuple(x), tuple(y))


def _first_tokens(segments: Sequence[Segment]) -> list[FirstTokens]:
    import numpy as np

    found: list[FirstTokens] = []
    kinds = sorted({(each.report.arm, _streams(each.report.cell)) for each in segments})
    for arm, concurrency in kinds:
        pairs = [
            (prompt, seconds)
            for each in segments
            if (each.report.arm, _streams(each.report.cell)) == (arm, concurrency)
            for prompt, seconds in zip(
                each.measured.prompt_tokens.tolist(), each.measured.first_token.tolist(), strict=True
            )
            if math.isfinite(prompt) and math.isfinite(seconds)
        ]
        if not pairs:
            continue
        pairs.sort()
        groups = np.array_split(np.array(pairs), min(_LENGTHS, len({prompt for prompt, _ in pairs})))
        found.append(
            FirstTokens(
                arm,
                concurrency,
                tuple(float(np.median(group[:, 0])) for group in groups),
                tuple(float(np.median(group[:, 1])) for group in groups),
                tuple(len(group) for group in groups),
            )
        )
    return found


def _streams(cell: str) -> int:
    """Requests at once; 0 in an open loop, where nobody fixes them."""
    return 0 if is_open(cell) else int(cell.rpartition("×")[2])


def _thinned(count: int) -> list[int]:
    """Positions of at most as many points as a curve shows, the first and the last among them."""
    import numpy as np

    return sorted({int(each) for each in np.linspace(0, count - 1, min(count, _POINTS))}) if count else []
