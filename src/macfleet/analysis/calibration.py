"""How often our own rules are wrong: simulated comparisons whose truth is known."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from macfleet.analysis.bootstrap import lower_bound, mean_interval
from macfleet.analysis.conditions import drop, growth
from macfleet.analysis.judging import NodeEvidence, judge_thresholds
from macfleet.analysis.percentiles import percentile
from macfleet.analysis.thresholds import DEFAULTS
from macfleet.model.run import CellSummary, Interval
from macfleet.model.stage import Outcome

if TYPE_CHECKING:
    import numpy as np

TRIALS = 1000
DROPS = (0.10, 0.15, 0.18, 0.22, 0.30)
RUN_SPREADS = (0.02, 0.05, 0.08)
PAIRS = 4
"""Pairs of segments in a judged cell of the design that is run: ABBA BAAB."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How simulated comparisons of one true effect were judged.

    Attributes:
        truth: the true drop as a share, or the true growth as a factor.
        spread: standard deviation of a segment's log tokens/s, or sigma of the log latencies.
        tripped: share of trials in which the rule proved the effect to be beyond the line.
        cleared: share in which it proved the effect to be within the line; the rest stays inconclusive.
        naive: share in which the point estimate alone lay beyond the line.
        trials: simulated comparisons.
    """

    truth: float
    spread: float
    tripped: float
    cleared: float
    naive: float
    trials: int

    @property
    def open(self) -> float:
        """Share of trials that ended INCONCLUSIVE."""
        return 1 - self.tripped - self.cleared


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often an interval held the truth.

    Attributes:
        what: the estimate and the process it was tried on.
        nominal: what the interval promises.
        found: share of trials in which it held the truth.
        trials: simulated series.
    """

    what: str
    nominal: float
    found: float
    trials: int


def calibrate_drop(
    truths: Sequence[float] = DROPS,
    spreads: Sequence[float] = RUN_SPREADS,
    *,
    line: float = 0.18,
    pairs: int = PAIRS,
    trials: int = TRIALS,
    seed: int = 1,
) -> tuple[Rates, ...]:
    """Judge simulated pairs of segments by `mounts-first`'s own condition about tokens/s.

    A segment's tokens/s is log-normal around its arm's truth; both arms carry the same spread, so a pair's
    log-ratio has √2 times of it.

    Args:
        truths: true drops of the container arm, as shares.
        spreads: run-to-run standard deviations of one segment's log tokens/s.
        line: the threshold's drop, as a share.
        pairs: pairs of segments in a comparison.
        trials: comparisons for each truth and spread.
        seed: makes them repeatable.
    """
    import numpy as np

    generator = np.random.default_rng(seed)

    def judge(truth: float, spread: float) -> tuple[bool | None, bool]:
        noise = np.exp(generator.normal(0.0, spread, (2, pairs)))
        base, test = 50 * noise[0], 50 * (1 - truth) * noise[1]
        arms = (_segments("container", test), _segments("bare", base))
        naive = float(np.log(test / base).mean()) < math.log(1 - line)
        return drop(*arms, line, ()).holds, naive

    return tuple(_rates(judge, truth, spread, trials) for truth, spread in product(truths, spreads))


def calibrate_growth(
    truths: Sequence[float] = (1.8, 2.0, 2.2, 2.4, 2.8),
    sigmas: Sequence[float] = (0.25, 0.5),
    *,
    line: float = 2.2,
    requests: tuple[int, int] = (200, 500),
    trials: int = TRIALS,
    seed: int = 1,
) -> tuple[Rates, ...]:
    """Judge simulated latencies by `offload-live`'s own condition about p95 from concurrency 1 to 4.

    Args:
        truths: true factors between the two p95.
        sigmas: sigma of the log-normal latencies of one cell.
        line: the threshold's factor.
        requests: requests in the cell of few and in the cell of many streams.
        trials: comparisons for each truth and sigma.
        seed: makes them repeatable.
    """
    import numpy as np

    generator = np.random.default_rng(seed)

    def judge(truth: float, sigma: float) -> tuple[bool | None, bool]:
        few = percentile(np.exp(generator.normal(0.0, sigma, requests[0])), 0.95)
        many = percentile(truth * np.exp(generator.normal(0.0, sigma, requests[1])), 0.95)
        cells = (
            _cell("container", "short×1", requests[0], p95=few),
            _cell("container", "short×4", requests[1], p95=many),
        )
        return growth(*cells, line, ()).holds, many.value / few.value > line

    return tuple(_rates(judge, truth, sigma, trials) for truth, sigma in product(truths, sigmas))


def calibrate_family(
    truths: Sequence[float] = (0.15, 0.18, 0.22),
    spreads: Sequence[float] = RUN_SPREADS,
    *,
    cells: int = 2,
    pairs: int = PAIRS,
    trials: int = TRIALS,
    seed: int = 1,
) -> tuple[Rates, ...]:
    """Judge whole nodes by `mounts-first`, every judged cell with the same truth and iowait proven.

    Args:
        truths: true drops of the container arm, as shares.
        spreads: run-to-run standard deviations of one segment's log tokens/s.
        cells: judged cells a node has; one that trips is enough, so Holm's rule is what is tried here.
        pairs: pairs of segments in a comparison.
        trials: nodes for each truth and spread.
        seed: makes them repeatable.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    threshold = next(each for each in DEFAULTS if each.id == "mounts-first")
    names = tuple(f"cell-{position}" for position in range(cells))
    iowait = Interval(0.40, 0.38, 0.42)

    def judge(truth: float, spread: float) -> tuple[bool | None, bool]:
        noise = np.exp(generator.normal(0.0, spread, (cells, 2, pairs)))
        found: list[CellSummary] = []
        for name, (base, test) in zip(names, noise, strict=True):
            found.append(replace(_segments("bare", 50 * base), cell=name))
            slower = _segments("container", 50 * (1 - truth) * test)
            found.append(replace(slower, cell=name, iowait=iowait))
        node = NodeEvidence("simulated", "simulated", tuple(found), names)
        outcome = judge_thresholds(node, (threshold,))[0].outcome
        holds = {Outcome.FAIL: True, Outcome.PASS: False}.get(outcome)
        drops = np.log(noise[:, 1] / noise[:, 0] * (1 - truth)).mean(axis=1)
        return holds, bool((drops < math.log(1 - threshold.limits["tokens_per_second_drop"])).any())

    return tuple(_rates(judge, truth, spread, trials) for truth, spread in product(truths, spreads))


def calibrate_intervals(*, trials: int = TRIALS, seed: int = 1) -> tuple[Coverage, ...]:
    """Count how often a p95's interval, and the lower bound of a series' mean, held the truth.

    Latencies are log-normal (sigma 0.5); series are AR(1) at 1 Hz in four segments of 450 s, as iowait and
    memory are read.
    """
    import numpy as np
    from scipy.stats import norm

    generator = np.random.default_rng(seed)
    truth = math.exp(0.5 * float(norm.ppf(0.95)))
    found: list[Coverage] = []
    for count in (130, 400, 1600):
        drawn = (percentile(np.exp(generator.normal(0, 0.5, count)), 0.95) for _ in range(trials))
        held = sum(each.low is not None and each.low <= truth <= (each.high or 0.0) for each in drawn)
        found.append(Coverage(f"p95 interval, {count} requests", 0.95, held / trials, trials))
    for echo in (0.0, 0.6, 0.9):
        series = (_autoregressive(generator, echo, 4, 450) for _ in range(trials))
        means = map(mean_interval, series)
        bounds = [lower_bound(each) for each in means if each is not None]
        held = sum(bound is not None and bound <= 0 for bound in bounds)
        what = f"lower bound of a mean, AR(1) {echo:g}, 4 × 450 s"
        found.append(Coverage(what, 0.95, held / trials, trials))
    return tuple(found)


def simulation_error(share: float, trials: int) -> float:
    """Return the half-width of a simulated share's own two-sided 95 % interval (normal approximation)."""
    return 1.959964 * math.sqrt(share * (1 - share) / trials)


def _rates(
    judge: Callable[[float, float], tuple[bool | None, bool]], truth: float, spread: float, trials: int
) -> Rates:
    judged = [judge(truth, spread) for _ in range(trials)]
    tripped, cleared = (sum(holds is wanted for holds, _ in judged) for wanted in (True, False))
    naive = sum(beyond for _, beyond in judged)
    return Rates(truth, spread, tripped / trials, cleared / trials, naive / trials, trials)


def _autoregressive(
    generator: np.random.Generator, echo: float, segments: int, seconds: int
) -> list[np.ndarray]:
    """Draw series of mean zero and variance one whose neighbouring seconds correlate by `echo`."""
    from scipy.signal import lfilter

    found: list[np.ndarray] = []
    for _ in range(segments):
        noise = generator.normal(0.0, math.sqrt(1 - echo * echo), seconds)
        noise[0] = generator.normal()
        found.append(lfilter([1.0], [1.0, -echo], noise))
    return found


def _segments(arm: str, figures: np.ndarray) -> CellSummary:
    per_second = tuple(float(figure) for figure in figures)
    return _cell(arm, "short×1", 400, segments=per_second)


def _cell(
    arm: str, name: str, n: int, *, p95: Interval | None = None, segments: tuple[float, ...] = ()
) -> CellSummary:
    """Return a valid cell of 30 minutes whose other figures no rule under trial reads."""
    nothing = Interval(0.0)
    return CellSummary(
        node="simulated",
        arm=arm,
        cell=name,
        bucket="short",
        concurrency=1,
        n=n,
        ok=n,
        tokens_per_second=nothing,
        qps=0.0,
        p50=nothing,
        p95=p95 or nothing,
        p99=nothing,
        ttft_p50=nothing,
        ttft_p95=nothing,
        itl_p50=nothing,
        errors=0.0,
        status={},
        outcomes={},
        minutes=30.0,
        segments=len(segments),
        segment_tokens_per_second=segments,
    )
