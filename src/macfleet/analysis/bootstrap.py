"""Means of autocorrelated series with an interval by moving blocks."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.model.run import Interval

if TYPE_CHECKING:
    import numpy as np

BLOCK = 60
TWO_SIDED = 1.959964
ONE_SIDED = 1.644854


def mean_interval(segments: Sequence[np.ndarray]) -> Interval | None:
    """Return the mean over all points with its two-sided 95 % interval.

    Neighbouring seconds resemble each other (batching, heat), so the standard error is that of a moving-block
    bootstrap inside each segment (Künsch 1989), which for a mean needs no drawing: it is the spread of all
    blocks' means. The margin is Student's t times the standard error, as a segment holds few blocks;
    `lower_bound` and `upper_bound` give one-sided bounds from it.

    Args:
        segments: one array of points at 1 Hz for each segment, in order; empty ones are left out.

    Returns:
        None without any point; no bounds when the series is too short for blocks (under 8 points a segment).
    """
    import numpy as np
    from scipy.special import stdtrit

    kept = [np.asarray(points, dtype=float) for points in segments if len(points)]
    if not kept:
        return None
    total = sum(len(points) for points in kept)
    value = float(sum(points.sum() for points in kept) / total)
    if min(len(points) for points in kept) < 8:
        return Interval(value)
    variance = sum((len(points) / total) ** 2 * _variance(points) for points in kept)
    freedom = sum(len(points) / _block(len(points)) - 1 for points in kept)
    margin = float(stdtrit(freedom, 0.975)) * math.sqrt(variance)
    return Interval(value, value - margin, value + margin)


def lower_bound(interval: Interval) -> float | None:
    """Return the one-sided 95 % lower bound of a mean from `mean_interval`; None without an interval."""
    if interval.low is None:
        return None
    return interval.value - (interval.value - interval.low) * ONE_SIDED / TWO_SIDED


def upper_bound(interval: Interval) -> float | None:
    """Return the one-sided 95 % upper bound of a mean from `mean_interval`; None without an interval."""
    if interval.high is None:
        return None
    return interval.value + (interval.high - interval.value) * ONE_SIDED / TWO_SIDED


def _variance(points: np.ndarray) -> float:
    """Variance of the mean of one segment, from the means of all its blocks.

    Blocks are taken around the segment's own mean, which the divisor's -1 makes up for.
    """
    import numpy as np

    count, block = len(points), _block(len(points))
    sums = np.concatenate(([0.0], np.cumsum(points)))
    means = (sums[block:] - sums[:-block]) / block
    return float(np.square(means - sums[-1] / count).mean()) / (count / block - 1)


def _block(count: int) -> int:
    """Length of a block: a minute, shorter where a segment has not four of them."""
    return max(1, min(BLOCK, count // 4))
