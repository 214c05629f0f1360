"""Samples, segment reports and series of one node reduced to one summary a cell."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.analysis.bootstrap import mean_interval
from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.percentiles import percentiles
from macfleet.analysis.requests import floats, is_open, known, together
from macfleet.analysis.segments import Segment, segments_of
from macfleet.analysis.validity import problems
from macfleet.model.json import JsonObject
from macfleet.model.load import RequestOutcome, Sample, SegmentReport
from macfleet.model.run import CellSummary, Interval

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from macfleet.analysis.requests import Requests

    _Key = tuple[object, object, object]

_SHARES = ("host_used_pct", "vm_iowait_pct", "vm_psi_io_some_avg10")
"""Series that a summary shows as shares of 1."""


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
        Summaries sorted by arm, bucket, concurrency and name.
    """
    import polars as pl

    requests = samples if isinstance(samples, pl.DataFrame) else sample_frame(samples)
    rows = series if isinstance(series, pl.DataFrame) else series_frame(series)
    everything = segments_of(sorted(reports, key=lambda each: each.segment), requests)
    points = _points(rows)
    found: list[CellSummary] = []
    for arm, cell in sorted({(report.arm, report.cell) for report in reports}, key=_order):
        segments = [each for each in everything if (each.report.arm, each.report.cell) == (arm, cell)]
        head = _Head(node, arm, cell, (accelerators or {}).get(arm, ""), (foreign or {}).get((arm, cell), ()))
        found.append(_summary(head, segments, points))
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


def _order(key: tuple[str, str]) -> tuple[str, str, int, str]:
    return (key[0], *bucket_and_concurrency(key[1]), key[1])


def _summary(
    head: _Head, segments: Sequence[Segment], points: Mapping[str, Mapping[_Key, np.ndarray]]
) -> CellSummary:
    import numpy as np

    bucket, concurrency = bucket_and_concurrency(head.cell)
    seconds = sum(segment.seconds for segment in segments)
    measured = [segment.measured for segment in segments]
    latency = [requests.latency for requests in measured]
    p50, p95, p99 = percentiles(np.concatenate(latency), 0.50, 0.95, 0.99)
    ttft_p50, ttft_p95 = percentiles(np.concatenate([each.first_token for each in measured]), 0.50, 0.95)
    itl_p50, itl_p95 = percentiles(known(np.concatenate([each.token_gap for each in measured])), 0.50, 0.95)
    outcomes, status = _outcomes(measured), _statuses(measured)
    count = sum(len(requests) for requests in measured)
    ok = outcomes.get(RequestOutcome.OK, 0)
    shares = {name: _share(_windows(points[name], segments)) for name in _SHARES}
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
        cached_tokens=_cached(measured),
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


def _outcomes(measured: Sequence[Requests]) -> dict[str, int]:
    """How often each outcome stands in the windows, sorted by name."""
    import numpy as np

    counts: Counter[str] = Counter()
    for requests in measured:
        found = np.bincount(requests.outcome, minlength=len(requests.kinds))
        counts.update(dict(zip(requests.kinds, found.tolist(), strict=True)))
    return {name: count for name, count in sorted(counts.items()) if count}


def _statuses(measured: Sequence[Requests]) -> dict[str, int]:
    """How often each HTTP status stands in the windows, sorted as text."""
    import numpy as np

    values, counts = np.unique(np.concatenate([requests.status for requests in measured]), return_counts=True)
    found = {str(int(value)): int(count) for value, count in zip(values, counts, strict=True)}
    return dict(sorted(found.items()))


def _completed(segment: Segment) -> int:
    """Answers that were complete inside the window, whenever they were sent."""
    import numpy as np

    ended = segment.everything.close
    inside = (ended >= segment.report.window_start) & (ended <= segment.report.window_end)
    return int(np.count_nonzero(inside & segment.everything.ok))


def _cached(measured: Sequence[Requests]) -> int | None:
    counts = [known(requests.cached_tokens) for requests in measured]
    return sum(int(each.sum()) for each in counts) if any(len(each) for each in counts) else None


def _points(series: pl.DataFrame) -> dict[str, dict[_Key, np.ndarray]]:
    """Each series' points by arm, cell and segment, as far as they are known."""
    rows, spans = together(series)
    return {
        name: {span.key: known(points[span.rows]) for span in spans}
        for name, points in ((name, floats(rows, name)) for name in _SHARES)
    }


def _windows(points: Mapping[_Key, np.ndarray], segments: Sequence[Segment]) -> list[np.ndarray]:
    """One series' points inside each segment's window; none where it was not sampled."""
    import numpy as np

    reports = [segment.report for segment in segments]
    return [points.get((each.arm, each.cell, each.segment), np.empty(0)) for each in reports]


def _share(percentages: Sequence[np.ndarray]) -> Interval | None:
    found = mean_interval(percentages)
    if found is None:
        return None
    low = None if found.low is None else found.low / 100
    high = None if found.high is None else found.high / 100
    return Interval(found.value / 100, low, high)
