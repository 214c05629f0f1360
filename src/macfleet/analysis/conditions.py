"""Single conditions of a threshold, each held, refuted or open."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.analysis.bootstrap import ONE_SIDED, lower_bound, upper_bound
from macfleet.analysis.pairs import (
    MINIMUM_PAIRS,
    Ratio,
    chance_below,
    interval_ratio,
    paired_ratio,
    pairs_needed,
)
from macfleet.analysis.percentiles import GATED_REQUESTS
from macfleet.model.run import CellSummary, Interval

FULL_MINUTES = 30.0
"""Minutes an arm is measured in a judged cell before a verdict can be signed."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition about one cell.

    Attributes:
        holds: True when a bound proves it, False when a bound refutes it, None when neither does.
        text: a sentence with figure, bounds and line.
        evidence: names of what it rests on.
        minutes: further minutes an arm that would settle it; None when it is settled or time would not help.
        chance: of seeing at least this much if the truth lay on the line (a one-sided p-value); 0 for a
            condition that is counted, not estimated. `judging` holds it against how many cells were tried.
    """

    holds: bool | None
    text: str
    evidence: tuple[str, ...] = ()
    minutes: float | None = None
    chance: float = 0.0


def both(conditions: Sequence[Condition]) -> bool | None:
    """Conjunction: one refuted condition decides, however open the others are."""
    holds = [condition.holds for condition in conditions]
    if False in holds:
        return False
    return True if all(holds) else None


def either(conditions: Sequence[Condition]) -> bool | None:
    """Disjunction: one proven condition decides, however open the others are."""
    holds = [condition.holds for condition in conditions]
    if True in holds:
        return True
    return None if None in holds else False


def drop(test: CellSummary, base: CellSummary, line: float, evidence: tuple[str, ...]) -> Condition:
    """Tokens/s of `test` is more than `line` (a share) below `base`, by pairs of segments."""
    if invalid := _invalid(test, base):
        return Condition(None, invalid, evidence)
    name = f"{test.cell}: tokens/s of {test.arm} against {base.arm}"
    ratio = paired_ratio(test.segment_tokens_per_second, base.segment_tokens_per_second)
    if ratio is None:
        return Condition(None, f"{name}: no ratio, a segment delivered no token", evidence)
    text = f"{name}: {change(ratio)}, line −{100 * line:.0f} %"
    limit = 1 - line
    above = _side(ratio, limit) if ratio.pairs >= MINIMUM_PAIRS else None
    if above is None:
        return Condition(None, text, evidence, _minutes_of_pairs(ratio, limit, test))
    return Condition(not above, text, evidence, chance=chance_below(ratio, limit))


def growth(few: CellSummary, many: CellSummary, line: float, evidence: tuple[str, ...]) -> Condition:
    """End-to-end p95 grows by more than the factor `line` from cell `few` to cell `many`."""
    if invalid := _invalid(few, many):
        return Condition(None, invalid, evidence)
    name = f"{many.arm}: p95 from {few.cell} to {many.cell}"
    lacking = [_minutes_to(GATED_REQUESTS, cell) for cell in (few, many) if cell.n < GATED_REQUESTS]
    if lacking:
        text = f"{name}: {few.n} and {many.n} requests, {GATED_REQUESTS} are needed in each"
        return Condition(None, text, evidence, _longest(lacking, few, many))
    ratio = interval_ratio(many.p95, few.p95)
    if ratio is None:
        failing = few if few.p95.value == math.inf else many
        proven = True if failing is many and many.p95.low == math.inf else None
        return Condition(proven, f"{name}: too many of {failing.cell} failed, p95 is infinite", evidence)
    text = f"{name}: {factor(ratio)}, line {line:g}×"
    holds = _side(ratio, line)
    minutes = _minutes_of_ratio(ratio, line, few, many) if holds is None else None
    return Condition(holds, text, evidence, minutes, _chance_above(ratio, line))


def stays_above(
    name: str, interval: Interval | None, line: float, cell: CellSummary, evidence: tuple[str, ...]
) -> Condition:
    """The window mean of a share stays above `line`: its one-sided lower bound is above."""
    if cell.invalid:
        return Condition(None, _invalid(cell), evidence)
    if interval is None:
        return Condition(None, f"{cell.arm} {cell.cell}: {name} was not measured", evidence)
    text = f"{cell.arm} {cell.cell}: {name} {share(interval)}, line {100 * line:.0f} %"
    low, high = lower_bound(interval), upper_bound(interval)
    if low is None or high is None:
        return Condition(None, f"{text}; too few seconds for bounds", evidence, _floor(0.0, cell))
    if low > line:
        return Condition(True, text, evidence, chance=_tail(interval.value - line, interval.value - low))
    if high < line:
        return Condition(False, text, evidence)
    distance = abs(interval.value - line)
    needed = None if not distance else ((high - low) / 2 / distance) ** 2 * cell.minutes - cell.minutes
    return Condition(None, text, evidence, None if needed is None else _floor(needed, cell))


def change(ratio: Ratio) -> str:
    """Return a ratio as a change in percent with its two-sided interval: ``−7 % [−10, −4]``."""
    shown = _percent(ratio.value)
    if ratio.low is None or ratio.high is None:
        return f"{shown} % (no interval)"
    return f"{shown} % [{_percent(ratio.low)}, {_percent(ratio.high)}]"


def factor(ratio: Ratio) -> str:
    """Return a ratio as a factor with its two-sided interval: ``2.6× [2.4, 2.9]``."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2g}× (no interval)"
    return f"{ratio.value:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}]"


def share(interval: Interval) -> str:
    """Return a share in percent with its two-sided interval: ``81 % [79, 83]``."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:.1%}".replace("%", " %")
    return f"{100 * interval.value:.1f} % [{100 * max(interval.low, 0):.1f}, {100 * interval.high:.1f}]"


def _side(ratio: Ratio, line: float) -> bool | None:
    """Whether the ratio is proven above the line (True), below it (False), or neither."""
    if ratio.lower is not None and ratio.lower > line:
        return True
    return False if ratio.upper is not None and ratio.upper < line else None


def _chance_above(ratio: Ratio, line: float) -> float:
    if ratio.lower is None:
        return 1.0
    return _tail(math.log(ratio.value / line), math.log(ratio.value / ratio.lower))


def _tail(distance: float, margin: float) -> float:
    """Chance of a normal estimate this far beyond the line; `margin` is its one-sided 95 % distance."""
    from scipy.special import ndtr

    if margin <= 0:
        return 0.0 if distance > 0 else 1.0
    return float(ndtr(-distance / margin * ONE_SIDED))


def _percent(value: float) -> str:
    rounded = round(100 * (value - 1))
    return f"−{-rounded}" if rounded < 0 else f"+{rounded}" if rounded else "0"


def _invalid(*cells: CellSummary) -> str:
    found = [f"{cell.arm} {cell.cell} is INVALID: {cell.invalid[0]}" for cell in cells if cell.invalid]
    return "; ".join(found)


def _minutes_of_pairs(ratio: Ratio, limit: float, cell: CellSummary) -> float | None:
    """Minutes an arm until the pairs suffice, if further pairs look like those seen."""
    a_pair = cell.minutes / max(cell.segments, 1)
    if ratio.pairs < 2:
        return _floor((MINIMUM_PAIRS - ratio.pairs) * a_pair, cell)
    count = pairs_needed(ratio, limit)
    return None if count is None else _floor((count - ratio.pairs) * a_pair, cell)


def _minutes_of_ratio(ratio: Ratio, line: float, few: CellSummary, many: CellSummary) -> float | None:
    """The interval shrinks with the root of the number of requests."""
    bound = ratio.lower if ratio.value > line else ratio.upper
    distance = abs(math.log(ratio.value / line))
    if bound is None or not distance:
        return None
    more = (abs(math.log(bound / ratio.value)) / distance) ** 2 - 1
    return _longest([more * cell.minutes for cell in (few, many)], few, many)


def _minutes_to(requests: int, cell: CellSummary) -> float:
    if not cell.n:
        return FULL_MINUTES
    return (requests - cell.n) * cell.minutes / cell.n


def _longest(minutes: Sequence[float], *cells: CellSummary) -> float:
    return max(_floor(max(minutes), cell) for cell in cells)


def _floor(minutes: float, cell: CellSummary) -> float:
    """No fewer than what the cell lacks to a full measurement."""
    return max(minutes, FULL_MINUTES - cell.minutes, 0.0)
