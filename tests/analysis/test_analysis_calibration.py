import pytest

from macfleet.analysis.calibration import (
    calibrate_drop,
    calibrate_family,
    calibrate_growth,
    calibrate_intervals,
    simulation_error,
)
from macfleet.analysis.multiplicity import holm

ALLOWED = 0.05


def beyond_chance(share, trials):
    """Above what a true 5 % shows in that many trials, in all but a few of ten thousand tries."""
    return share > ALLOWED + 2 * simulation_error(ALLOWED, trials)


@pytest.mark.slow
def test_mounts_first_raises_a_false_alarm_in_at_most_one_of_twenty_comparisons():
    for rates in calibrate_drop():
        if rates.truth <= 0.18:
            assert not beyond_chance(rates.tripped, rates.trials), rates
        if rates.truth >= 0.18:
            assert not beyond_chance(rates.cleared, rates.trials), rates


def test_a_point_estimate_alone_raises_the_false_alarms_that_the_bounds_hold_back():
    [rates] = calibrate_drop((0.15,), (0.08,), trials=300)
    assert rates.naive > 0.2
    assert not beyond_chance(rates.tripped, rates.trials)


@pytest.mark.slow
def test_a_large_drop_is_found_and_a_small_one_cleared_when_runs_agree():
    steady = {rates.truth: rates for rates in calibrate_drop(spreads=(0.02,))}
    assert steady[0.10].cleared > 0.95
    assert steady[0.30].tripped > 0.95


def test_two_cells_do_not_double_the_false_alarms():
    for rates in calibrate_family((0.18,), (0.02, 0.08), trials=400):
        assert not beyond_chance(rates.tripped, rates.trials), rates
        assert rates.naive > 0.6


@pytest.mark.slow
def test_offload_live_raises_a_false_alarm_in_at_most_one_of_twenty_comparisons():
    for rates in calibrate_growth():
        if rates.truth <= 2.2:
            assert not beyond_chance(rates.tripped, rates.trials), rates
        if rates.truth >= 2.2:
            assert not beyond_chance(rates.cleared, rates.trials), rates


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_promise():
    for coverage in calibrate_intervals(trials=500):
        assert coverage.found > coverage.nominal - 0.05, coverage


@pytest.mark.parametrize(
    ("chances", "stands"),
    [
        ([], ()),
        ([0.04], (True,)),
        ([0.03, 0.04], (False, False)),
        ([0.02, 0.04], (True, True)),
        ([0.04, 0.001, 0.06], (False, True, False)),
        ([0.01, 0.02, 0.04], (True, True, True)),
    ],
)
def test_holm_keeps_the_findings_that_stand_among_all_that_were_tried(chances, stands):
    assert holm(chances) == stands
