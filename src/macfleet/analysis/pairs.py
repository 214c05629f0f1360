"""Two arms compared in pairs of segments: log-ratios with one-sided bounds."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.model.run import Interval

MINIMUM_PAIRS = 3
"""Pairs a verdict needs: fewer make the bound wider than any effect worth judging."""
_GIVE_UP = 400


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two figures and what is known about it.

    Attributes:
        value: test over base.
        low, high: two-sided 95 % interval; lower, upper: one-sided 95 % bounds. None when too few pairs.
        pairs: pairs of segments it rests on; 0 when it rests on two intervals instead.
        spread: standard deviation of the pairs' log-ratios.
    """

    value: float
    low: float | None = None
    high: float | None = None
    lower: float | None = None
    upper: float | None = None
    pairs: int = 0
    spread: float = 0.0


def paired_ratio(test: Sequence[float], base: Sequence[float]) -> Ratio | None:
    """Return the geometric mean ratio over pairs of segments, by Student's t on the log-ratios.

    Args:
        test: one figure a segment.
        base: the same of the other arm; the n-th segments are a pair.

    Returns:
        None without a pair or when a figure is not positive and finite: such a ratio has no logarithm.
    """
    from scipy.special import stdtrit

    pairs = list(zip(test, base, strict=False))
    if not pairs or not all(0 < figure < math.inf for pair in pairs for figure in pair):
        return None
    logs = [math.log(one / other) for one, other in pairs]
    count = len(logs)
    mean = sum(logs) / count
    if count == 1:
        return Ratio(math.exp(mean), pairs=1)
    spread = math.sqrt(sum((each - mean) ** 2 for each in logs) / (count - 1))
    error = spread / math.sqrt(count)
    two, one = (float(stdtrit(count - 1, quantile)) * error for quantile in (0.975, 0.95))
    return Ratio(
        math.exp(mean),
        math.exp(mean - two),
        math.exp(mean + two),
        math.exp(mean - one),
        math.exp(mean + one),
        count,
        spread,
    )


def interval_ratio(test: Interval, base: Interval) -> Ratio | None:
    """Return the ratio of two independent figures from their intervals, on the log scale.

    The distances of the bounds are combined as squares (the method of variance estimates recovery by Zou
    and Donner); one-sided bounds shrink the distances by 1.645/1.96.

    Returns:
        None unless both values are positive and finite; no bounds where a figure has no finite interval.
    """
    if not (0 < test.value < math.inf and 0 < base.value < math.inf):
        return None
    value = test.value / base.value
    down, up = _distance(test.value, test.low), _distance(test.value, test.high)
    base_down, base_up = _distance(base.value, base.low), _distance(base.value, base.high)
    below = _root(down, base_up)
    above = _root(up, base_down)
    narrow = 1.644854 / 1.959964
    return Ratio(
        value,
        None if below is None else value * math.exp(-below),
        None if above is None else value * math.exp(above),
        None if below is None else value * math.exp(-below * narrow),
        None if above is None else value * math.exp(above * narrow),
    )


def chance_below(ratio: Ratio, line: float) -> float:
    """Return the chance of pairs this far below `line` if the true ratio lay on it (one-sided t)."""
    from scipy.special import stdtr

    distance = math.log(ratio.value / line)
    if ratio.pairs < 2 or not ratio.spread:
        return 0.0 if ratio.pairs >= 2 and distance < 0 else 1.0
    return float(stdtr(ratio.pairs - 1, distance / ratio.spread * math.sqrt(ratio.pairs)))


def pairs_needed(ratio: Ratio, line: float) -> int | None:
    """Return how many pairs would settle on which side of `line` the ratio lies.

    It is assumed that further pairs look like those seen. None when more than 400 would be needed: the
    ratio lies on the line for all practical purposes.
    """
    from scipy.special import stdtrit

    distance = abs(math.log(ratio.value) - math.log(line))
    for count in range(max(ratio.pairs, MINIMUM_PAIRS), _GIVE_UP + 1):
        if distance > float(stdtrit(count - 1, 0.95)) * ratio.spread / math.sqrt(count):
            return count
    return None


def _distance(value: float, bound: float | None) -> float | None:
    if bound is None or not 0 < bound < math.inf:
        return None
    return abs(math.log(bound / value))


def _root(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else math.hypot(one, other)
