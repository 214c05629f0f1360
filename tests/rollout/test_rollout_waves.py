import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.stage import Strategy
from macfleet.rollout.waves import failures_allowed, waves


@pytest.mark.parametrize(
    ("count", "strategy", "sizes"),
    [
        (5, Strategy(), [5]),
        (5, Strategy(canary=1), [1, 4]),
        (5, Strategy(canary=1, batch=("2",)), [1, 2, 2]),
        (12, Strategy(canary=1, batch=("25%",)), [1, 3, 3, 3, 2]),
        (12, Strategy(batch=("1", "2", "4")), [1, 2, 4, 4, 1]),
        (3, Strategy(batch=("25%",)), [1, 1, 1]),  # rounded down, but at least one
        (10, Strategy(batch=("100%",)), [10]),
        (4, Strategy(canary=4), [4]),  # a canary of everybody is no canary
        (4, Strategy(canary=9, batch=("50%",)), [2, 2]),
        (1, Strategy(canary=1), [1]),
        (0, Strategy(canary=1, batch=("1",)), []),
    ],
)
def test_waves_are_the_canary_and_then_batches(count, strategy, sizes):
    assert [len(wave) for wave in waves([f"n{i}" for i in range(count)], strategy)] == sizes


batches = st.lists(
    st.one_of(st.integers(1, 30).map(str), st.integers(1, 100).map(lambda share: f"{share}%")), max_size=4
)


@given(st.integers(0, 60), st.integers(0, 10), batches)
def test_every_node_is_in_exactly_one_wave_in_the_given_order(count, canary, batch):
    names = [f"n{i}" for i in range(count)]
    found = waves(names, Strategy(canary, tuple(batch)))
    assert [name for wave in found for name in wave] == names
    assert all(found)


@given(st.integers(2, 60), st.integers(1, 10), batches)
def test_the_first_wave_is_never_larger_than_the_canary(count, canary, batch):
    found = waves([f"n{i}" for i in range(count)], Strategy(canary, tuple(batch)))
    assert len(found[0]) == canary or canary >= count


@pytest.mark.parametrize(
    ("limit", "count", "stops_at"),
    [
        ("", 5, 6),  # never
        ("2", 5, 2),
        ("1", 5, 1),
        ("10%", 20, 2),
        ("10%", 29, 2),
        ("10%", 5, 1),  # a share is at least one failure
        ("29%", 100, 29),
        ("100%", 5, 5),
    ],
)
def test_the_failure_budget_is_a_number_or_a_share(limit, count, stops_at):
    assert failures_allowed(limit, count) == stops_at


@given(st.integers(1, 100), st.integers(1, 500))
def test_a_share_never_allows_more_than_it_says(share, count):
    allowed = failures_allowed(f"{share}%", count)
    assert allowed == 1 or allowed * 100 <= share * count
