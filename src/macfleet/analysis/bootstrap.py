"""Means of autocorrelated series with an interval by moving blocks."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.model.run import Interval

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
BLOCK = 60
TWO_SIDED = 1.959964
ONE_SIDED = 1.644854


def mean_interval(segments: Sequence[np.ndarray], seed: int = 0) -> Interval | None:
    """Return the mean over all points with its two-sided 95 % interval.

    Neighbouring seconds resemble each other (batching, heat), so the standard error comes from a
    moving-block bootstrap inside each segment; the interval is value ± 1.96 standard errors, which lets
    `lower_bound` and `upper_bound` give one-sided bounds from the same figure.

    Args:
        segments: one array of points at 1 Hz for each segment, in order; empty ones are left out.
        seed: makes the resampling repeatable.

    Returns:
        None without any point; no bounds when the series is too short for blocks (under 8 points a segment).
    """
    import numpy as np

    kept = [np.asarray(points, dtype=float) for points in segments if len(points)]
    if not kept:
        return None
    total = sum(len(points) for points in kept)
    value = float(sum(points.sum() for points in kept) / total)
    if min(len(points) for points in kept) < 8:
        return Interval(value)
    generator = np.random.default_rng(seed)
    variance = sum((len(points) / total) ** 2 * _variance(points, generator) for points in kept)
    margin = TWO_SIDED * math.sqrt(variance)
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


def _variance(points: np.ndarray, generator: np.random.Generator) -> float:
    """Variance of the mean of one segment.

    Blocks are a minute long, shorter where a segment has not four of them; the factor mends the bias a
    bootstrap of few blocks has.
    """
    import numpy as np

    count = len(points)
    block = max(1, min(BLOCK, count // 4))
    sums = np.concatenate(([0.0], np.cumsum(points)))
    blocks = (sums[block:] - sums[:-block]) / block
    drawn = math.ceil(count / block)
    picks = generator.integers(0, len(blocks), size=(RESAMPLES, drawn))
    return float(blocks[picks].mean(axis=1).var()) * drawn / (drawn - 1)
