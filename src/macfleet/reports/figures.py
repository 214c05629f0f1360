"""Figures as people read them: unit, interval in brackets, ∞ for what never ended, – for what is missing."""

from __future__ import annotations

import math

from macfleet.model.run import Interval

MISSING = "–"


def rate(interval: Interval) -> str:
    """Return a rate with as many digits as its size deserves: ``118 [115, 121]``."""
    digits = 0 if interval.value >= 100 else 1 if interval.value >= 10 else 2
    return _with_bounds(interval, 1.0, digits, "")


def seconds(interval: Interval) -> str:
    """Return a time in one unit throughout: ``2.31 s [2.22, 2.44]``, ``412 ms [390, 440]``."""
    if interval.value >= 1:
        return _with_bounds(interval, 1.0, 2, " s")
    return _with_bounds(interval, 1000.0, 0 if interval.value >= 0.01 else 2, " ms")


def share(interval: Interval | None) -> str:
    """Return a share in percent: ``71 % [70, 73]``; – when it was not measured."""
    if interval is None:
        return MISSING
    low = None if interval.low is None else max(interval.low, 0.0)
    digits = 0 if interval.value >= 0.1 else 1
    return _with_bounds(Interval(interval.value, low, interval.high), 100.0, digits, " %")


def percent(value: float) -> str:
    """Return a plain share in percent: ``0.4 %``."""
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def count(number: int) -> str:
    """Return a count with thousands separated."""
    return f"{number:,}"


def _with_bounds(interval: Interval, scale: float, digits: int, unit: str) -> str:
    if math.isnan(interval.value):
        return MISSING
    shown = f"{_number(interval.value * scale, digits)}{unit}"
    if interval.low is None or interval.high is None:
        return shown
    low, high = (_number(bound * scale, digits) for bound in (interval.low, interval.high))
    return f"{shown} [{low}, {high}]"


def _number(value: float, digits: int) -> str:
    return "∞" if math.isinf(value) else f"{value:,.{digits}f}"
