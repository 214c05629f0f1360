"""Samples, segment reports and series of one node reduced to one summary a cell."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.analysis.bootstrap import mean_interval
from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.percentiles import percentiles
from macfleet.analysis.segments import (
    Segment,
    first_tokens,
    is_open,
    latencies,
    present,
    segments_of,
    token_gaps,
)
from macfleet.analysis.validity import problems
from macfleet.model.json import JsonObject
from macfleet.model.load import RequestOutcome, Sample, SegmentReport
from macfleet.model.run import CellSummary, Interval

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def summarise(
    samples: pl.DataFrame | Iterable[Sample],
    reports: Sequence[SegmentReport],
    series: pl.DataFrame | Sequence[JsonObject] = (),
    *,
    node: str,
    accelerators: Mapping[str, str] | None = None,
    foreign: Mapping[tuple[str, str], Sequence[str]] | None = None,
) -> tuple[CellSummary, ...]:
    """Reduce what one node's client and sampler recorded, every arm and cell at once.

    Requests sent before a window opened count only by the tokens that fell into it; a segment without a
    report was cut and is left out.

    Args:
        node: name the summaries carry.
        samples: requests, as `sample_frame` lays them out or as they came.
        reports: one a finished segment.
        series: rows of the sampler, labelled with arm, cell and segment.
        accelerators: ``metal``, ``vulkan`` or ``cpu`` by arm.
        foreign: sentences about requests at the engine that were not ours, by (arm, cell); any makes it
            invalid.

    Returns:
        Summaries sorted by arm, bucket and concurrency.
    """
    import polars as pl

    requests = samples if isinstance(samples, pl.DataFrame) else sample_frame(samples)
    rows = series if isinstance(series, pl.DataFrame) else series_frame(series)
    everything = segments_of(sorted(reports, key=lambda each: each.segment), requests)
    points = rows.partition_by("arm", "cell", "segment", as_dict=True) if len(rows) else {}
    found: list[CellSummary] = []
    for arm, cell in sorted({(report.arm, report.cell) for report in reports}, key=_order):
        segments = [each for each in everything if (each.report.arm, each.report.cell) == (arm, cell)]
        head = _Head(node, arm, cell, (accelerators or {}).get(arm, ""), (foreign or {}).get((arm, cell), ()))
        found.append(_summary(head, segments, _windows(points, rows.clear(), segments)))
    return tuple(found)


def bucket_and_concurrency(cell: str) -> tuple[str, int]:
    """Split a cell's name ``bucket×concurrency``; an open loop's, ``bucket@rate/s``, has concurrency 0.

    Raises:
        ValueError: the name has another form.
    """
    if is_open(cell):
        return cell.rpartition("@")[0], 0
    bucket, _, concurrency = cell.rpartition("×")
    return bucket, int(concurrency)


@dataclass(frozen=True, slots=True)
class _Head:
    node: str
    arm: str
    cell: str
    accelerator: str
    foreign: Sequence[str]


def _order(key: tuple[str, str]) -> tuple[str, str, int]:
    return (key[0], *bucket_and_concurrency(key[1]))


def _summary(
    head: _Head, segments: Sequence[Segment], windows: Mapping[str, list[np.ndarray]]
) -> CellSummary:
    import numpy as np

    bucket, concurrency = bucket_and_concurrency(head.cell)
    seconds = sum(segment.seconds for segment in segments)
    latency = [latencies(segment.measured) for segment in segments]
    p50, p95, p99 = percentiles(np.concatenate(latency), 0.50, 0.95, 0.99)
    ttft_p50, ttft_p95 = percentiles(_pooled(first_tokens, segments), 0.50, 0.95)
    itl_p50, itl_p95 = percentiles(_pooled(token_gaps, segments), 0.50, 0.95)
    outcomes, status = _outcomes(segments), _statuses(segments)
    count = sum(len(segment.measured) for segment in segments)
    ok = outcomes.get(RequestOutcome.OK, 0)
    shares = {name: _share(windows[name]) for name in windows}
    return CellSummary(
        node=head.node,
        arm=head.arm,
        cell=head.cell,
        bucket=bucket,
        concurrency=concurrency,
        n=count,
        ok=ok,
        tokens_per_second=_throughput(segments, seconds),
        qps=sum(_completed(segment) for segment in segments) / seconds if seconds else 0.0,
        p50=p50,
        p95=p95,
        p99=p99,
        ttft_p50=ttft_p50,
        ttft_p95=ttft_p95,
        itl_p50=itl_p50,
        itl_p95=itl_p95,
        errors=(count - ok) / count if count else 0.0,
        status=status,
        outcomes=outcomes,
        minutes=seconds / 60,
        segments=len(segments),
        segment_tokens_per_second=tuple(
            segment.report.token_events / segment.seconds for segment in segments if segment.seconds
        ),
        segment_p95=tuple(percentiles(each, 0.95)[0].value for each in latency),
        iowait=shares["vm_iowait_pct"],
        psi_io=shares["vm_psi_io_some_avg10"],
        memory=shares["host_used_pct"],
        cached_tokens=_cached(segments),
        accelerator=head.accelerator,
        invalid=problems(segments, ttft_p50.value, head.foreign),
    )


def _throughput(segments: Sequence[Segment], seconds: float) -> Interval:
    events = sum(segment.report.token_events for segment in segments)
    value = events / seconds if seconds else 0.0
    spread = mean_interval([segment.rate for segment in segments])
    if spread is None or spread.low is None or spread.high is None:
        return Interval(value)
    margin = (spread.high - spread.low) / 2
    return Interval(value, value - margin, value + margin)


def _pooled(figure: Callable[[pl.DataFrame], np.ndarray], segments: Sequence[Segment]) -> np.ndarray:
    import numpy as np

    return np.concatenate([figure(segment.measured) for segment in segments])


def _outcomes(segments: Sequence[Segment]) -> dict[str, int]:
    """How often each outcome stands in the windows, sorted by name."""
    counts: Counter[str] = Counter()
    for segment in segments:
        if segment.ok.all():
            counts[RequestOutcome.OK.value] += len(segment.measured)
            continue
        for value, count in segment.measured.get_column("outcome").value_counts().iter_rows():
            counts[value] += count
    return {name: count for name, count in sorted(counts.items()) if count}


def _statuses(segments: Sequence[Segment]) -> dict[str, int]:
    """How often each HTTP status stands in the windows, sorted as text."""
    import numpy as np

    values, counts = np.unique(
        np.concatenate([segment.measured.get_column("status").to_numpy() for segment in segments]),
        return_counts=True,
    )
    found = {str(int(value)): int(count) for value, count in zip(values, counts, strict=True)}
    return dict(sorted(found.items()))


def _completed(segment: Segment) -> int:
    """Answers that were complete inside the window, whenever they were sent."""
    ended = segment.everything.get_column("t_close").to_numpy()
    inside = (ended >= segment.report.window_start) & (ended <= segment.report.window_end)
    return int((inside & segment.ok).sum())


def _cached(segments: Sequence[Segment]) -> int | None:
    columns = [present(segment.measured.get_column("cached_tokens")) for segment in segments]
    return sum(int(each.sum()) for each in columns) if any(len(each) for each in columns) else None


def _windows(
    points: Mapping[tuple[object, ...], pl.DataFrame], none: pl.DataFrame, segments: Sequence[Segment]
) -> dict[str, list[np.ndarray]]:
    """Points of each series inside each segment's window, from rows by arm, cell and segment; no nulls."""
    keys = [(each.report.arm, each.report.cell, each.report.segment) for each in segments]
    parts = [points.get(key, none) for key in keys]
    names = ("host_used_pct", "vm_iowait_pct", "vm_psi_io_some_avg10")
    return {name: [present(part.get_column(name)) for part in parts] for name in names}


def _share(percentages: Sequence[np.ndarray]) -> Interval | None:
    found = mean_interval(percentages)
    if found is None:
        return None
    low = None if found.low is None else found.low / 100
    high = None if found.high is None else found.high / 100
    return Interval(found.value / 100, low, high)
