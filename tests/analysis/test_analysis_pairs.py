import math

import numpy as np
import pytest

from macfleet.analysis.bootstrap import lower_bound, mean_interval, upper_bound
from macfleet.analysis.pairs import interval_ratio, paired_ratio, pairs_needed
from macfleet.model.run import Interval


def test_a_ratio_over_pairs_is_the_geometric_mean_with_its_bounds_around_it():
    ratio = paired_ratio([90, 92, 91, 93], [100, 100, 100, 100])
    assert ratio is not None
    assert ratio.value == pytest.approx(0.9149, abs=1e-3)
    assert ratio.low < ratio.lower < ratio.value < ratio.upper < ratio.high
    assert ratio.pairs == 4


@pytest.mark.parametrize(("test", "base"), [([], []), ([0.0, 1.0], [1.0, 1.0]), ([1.0], [math.inf])])
def test_figures_without_a_logarithm_have_no_ratio(test, base):
    assert paired_ratio(test, base) is None


def test_one_pair_gives_a_figure_and_no_bounds():
    ratio = paired_ratio([50.0], [100.0])
    assert (ratio.value, ratio.lower, ratio.upper) == (0.5, None, None)


def test_the_pairs_needed_grow_as_the_effect_nears_the_line():
    near = paired_ratio([80, 86, 84], [100, 100, 100])
    far = paired_ratio([95, 97, 99], [100, 100, 100])
    assert pairs_needed(far, 0.82) == 3
    assert pairs_needed(near, 0.82) > 10
    assert pairs_needed(paired_ratio([79, 82, 85], [100, 100, 100]), 0.82) is None


def test_a_ratio_of_percentiles_combines_both_intervals_on_the_log_scale():
    ratio = interval_ratio(Interval(2.6, 2.4, 2.9), Interval(1.0, 0.95, 1.05))
    assert ratio.value == 2.6
    assert 2.2 < ratio.low < ratio.lower < 2.6 < ratio.upper < ratio.high < 3.1


def test_a_ratio_without_an_interval_has_no_bounds_and_an_infinite_one_is_none():
    assert interval_ratio(Interval(2.0), Interval(1.0, 0.9, 1.1)).lower is None
    assert interval_ratio(Interval(math.inf), Interval(1.0, 0.9, 1.1)) is None


def test_the_interval_of_a_mean_is_the_one_that_drawing_blocks_comes_to():
    generator = np.random.default_rng(3)
    points = generator.normal(50, 5, 240)
    blocks = np.convolve(points, np.full(60, 1 / 60), "valid")
    drawn = generator.choice(blocks, (200_000, 4)).mean(axis=1)
    found = mean_interval([points])
    # The drawn means spread around the blocks' mean; four blocks of a segment have three degrees of freedom.
    spread = math.sqrt((drawn.var() * 4 + (blocks.mean() - points.mean()) ** 2) / 3)
    assert found.high - found.value == pytest.approx(3.182446 * spread, rel=0.01)
    assert found.value == pytest.approx(points.mean())


def test_autocorrelated_seconds_widen_the_interval():
    generator = np.random.default_rng(5)
    white = generator.normal(0, 1, 1800)
    slow = np.empty(1800)
    slow[0] = white[0]
    for position in range(1, 1800):
        slow[position] = 0.9 * slow[position - 1] + math.sqrt(1 - 0.81) * white[position]
    quiet, drifting = mean_interval([white]), mean_interval([slow])
    assert drifting.high - drifting.low > 2.5 * (quiet.high - quiet.low)


def test_one_sided_bounds_lie_inside_the_two_sided_interval():
    found = mean_interval([np.random.default_rng(1).normal(80, 2, 120)])
    assert found.low < lower_bound(found) < found.value < upper_bound(found) < found.high


def test_a_series_too_short_for_blocks_has_a_mean_and_no_bounds():
    found = mean_interval([np.array([1.0, 3.0])])
    assert found == Interval(2.0)
    assert lower_bound(found) is None
    assert mean_interval([]) is None
