"""Percentiles by order statistics: no distribution is assumed, failures count as +∞."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.model.run import Interval

if TYPE_CHECKING:
    import numpy as np

GATED_REQUESTS = 130
"""Requests a cell needs before a gate may rest on its p95 (MLPerf's early-stopping floor for p95)."""


def percentile(values: Sequence[float] | np.ndarray, share: float) -> Interval:
    """Return the nearest-rank percentile with its two-sided 95 % interval.

    Args:
        values: one figure a request in any order; a failed request counts as ``math.inf``.
        share: the percentile as a share, such as 0.95.

    Returns:
        The order statistic of rank ⌈n·share⌉. Bounds are None where n is too small for an interval
        (p95 under 72). Without values the figure is +∞: nothing ever answered.
    """
    return percentiles(values, share)[0]


def percentiles(values: Sequence[float] | np.ndarray, *shares: float) -> tuple[Interval, ...]:
    """Return several percentiles of the same values, which are sorted once; see `percentile`."""
    import numpy as np

    ordered = np.sort(np.asarray(values, dtype=float))
    return tuple(_of_ordered(ordered, share) for share in shares)


def _of_ordered(ordered: np.ndarray, share: float) -> Interval:
    count = len(ordered)
    if count == 0:
        return Interval(math.inf)
    value = float(ordered[max(math.ceil(count * share) - 1, 0)])
    bounds = ranks(count, share)
    if bounds is None:
        return Interval(value)
    return Interval(value, float(ordered[bounds[0] - 1]), float(ordered[bounds[1] - 1]))


@functools.lru_cache(maxsize=4096)
def ranks(count: int, share: float) -> tuple[int, int] | None:
    """Return the ranks, from 1, whose values enclose the percentile with 95 % confidence.

    The number of values below the true percentile is binomial; each side leaves out at most 2.5 %.
    None when even the smallest or the largest value is not far enough out. Kept: the figures of one cell
    have the same count.
    """
    low, high = _quantile(0.025, count, share), _quantile(0.975, count, share) + 1
    return None if low < 1 or high > count else (low, high)


def _quantile(mass: float, count: int, share: float) -> int:
    """Return the least number of hits whose binomial distribution function reaches `mass`.

    Of `scipy.special`, since `scipy.stats` takes a hundred times as long over one figure.
    """
    from scipy.special import bdtr, bdtrik

    if bdtr(0, count, share) >= mass:
        return 0
    hits = math.ceil(float(bdtrik(mass, count, share)))
    return hits - 1 if bdtr(hits - 1, count, share) >= mass else hits
