import math

import pytest

from macfleet.analysis.percentiles import percentile, ranks
from macfleet.model.run import Interval


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (71, None),
        (72, (64, 72)),
        (130, (118, 129)),
        (200, (184, 197)),
        (400, (371, 389)),
        (800, (748, 773)),
        (1600, (1503, 1538)),
    ],
)
def test_ranks_of_the_p95_interval_are_those_of_the_binomial(count, expected):
    assert ranks(count, 0.95) == expected


@pytest.mark.parametrize(("share", "first"), [(0.5, 6), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_an_interval_exists_from_the_smallest_count_that_can_carry_it(share, first):
    assert ranks(first - 1, share) is None
    assert ranks(first, share) is not None


def test_the_percentile_is_the_value_of_the_nearest_rank():
    values = [float(value) for value in range(200, 0, -1)]
    assert percentile(values, 0.95) == Interval(190.0, 184.0, 197.0)


def test_failures_count_as_infinity_and_never_drop_out():
    values = [1.0] * 180 + [math.inf] * 20
    assert percentile(values, 0.95).value == math.inf
    assert percentile(values, 0.5) == Interval(1.0, 1.0, 1.0)


def test_a_cell_without_requests_never_answered():
    assert percentile([], 0.95) == Interval(math.inf)


def test_the_interval_holds_the_true_percentile_as_often_as_it_says():
    import numpy as np

    generator = np.random.default_rng(7)
    truth = math.exp(0.5 * 1.6448536)
    held = 0
    for _ in range(1000):
        found = percentile(generator.lognormal(0, 0.5, 200), 0.95)
        held += found.low <= truth <= found.high
    assert held >= 945
