import pytest

from macfleet.analysis.agreement import Answer, Beside, Reading, reading

MS = 1_000_000
TRUTH = Reading(10, 0.200, 0.020, 45.0)


def test_medians_are_of_answers_and_one_token_answers_have_no_gap_to_give():
    found = reading(
        [Answer(0, 200 * MS, 290 * MS, 10), Answer(5, 5 + 100 * MS, 5 + 280 * MS, 10), Answer(0, 9, 9, 1)]
    )
    assert found.answers == 2
    assert found.ttft == pytest.approx(0.150)
    assert found.itl == pytest.approx((0.010 + 0.020) / 2)
    assert found.rate == pytest.approx((10 / 0.29 + 10 / 0.28) / 2)


def test_nothing_read_is_no_reading():
    assert reading([]) is None
    assert reading([Answer(0, 1, 1, 1)]) is None


@pytest.mark.parametrize(
    ("own", "missed"),
    [
        (Reading(10, 0.2019, 0.0219, 45.4), ()),
        (Reading(10, 0.2025, 0.020, 45.0), ("TTFT 202.50 ms instead of 200.00 ms",)),
        (Reading(10, 0.200, 0.0225, 45.0), ("ITL 22.50 ms instead of 20.00 ms",)),
        (Reading(10, 0.200, 0.020, 44.0), ("44.00 tokens/s instead of 45.00",)),
        (
            Reading(10, 0.0023, 0.8207, 45.0),
            ("TTFT 2.30 ms instead of 200.00 ms", "ITL 820.70 ms instead of 20.00 ms"),
        ),
    ],
)
def test_a_client_agrees_within_a_hundredth_or_two_milliseconds(own, missed):
    assert Beside("other", own, TRUTH, None).misses() == missed


def test_of_a_long_time_a_hundredth_may_be_more_than_two_milliseconds():
    truth = Reading(10, 3.0, 0.020, 45.0)
    assert Beside("other", Reading(10, 3.029, 0.020, 45.0), truth, None).misses() == ()
    assert Beside("other", Reading(10, 3.031, 0.020, 45.0), truth, None).misses()
