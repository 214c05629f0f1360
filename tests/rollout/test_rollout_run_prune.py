"""Which runs grow old: age, the newest, and what others rest on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.rollout.run_prune import KeptRun, judge_runs

DAY = 86400.0
NOW = 1000 * DAY


def run(name, days, *, finished=True):
    return KeptRun(name, NOW - days * DAY, 10, finished)


def gone(runs, needed=(), *, older=30, keep=1):
    judged = judge_runs(runs, dict(needed), NOW, older=older * DAY, keep=keep)
    return [each.run.id for each in judged if each.goes]


@pytest.mark.parametrize(
    ("runs", "needed", "keep", "expected"),
    [
        ([run("a", 40), run("b", 31), run("c", 29)], {}, 1, ["a", "b"]),
        ([run("a", 40), run("b", 35), run("c", 33)], {}, 2, ["a"]),
        ([run("a", 40), run("b", 35), run("c", 1)], {"a": "signed"}, 1, ["b"]),
        ([run("a", 40, finished=False), run("b", 35)], {}, 1, ["a"]),
        ([run("a", 30), run("b", 1)], {}, 1, []),
        ([], {}, 1, []),
    ],
)
def test_an_old_run_goes_unless_it_is_new_among_the_others_or_needed(runs, needed, keep, expected):
    assert gone(runs, needed, keep=keep) == expected


RUNS = st.lists(
    st.builds(KeptRun, st.uuids().map(str), st.floats(0, NOW), st.integers(0, 10**9), st.booleans()),
    unique_by=lambda each: each.id,
    max_size=30,
)


@given(RUNS, st.floats(0, NOW), st.integers(1, 10), st.data())
def test_none_that_is_needed_or_young_goes_and_as_many_as_promised_stay(runs, older, keep, data):
    needed = data.draw(st.sets(st.sampled_from([each.id for each in runs]))) if runs else set()
    judged = judge_runs(runs, dict.fromkeys(needed, "signed"), NOW, older=older, keep=keep)
    assert sorted(each.run.id for each in judged) == sorted(each.id for each in runs)
    left = [each.run for each in judged if not each.goes]
    assert needed <= {each.id for each in left}
    assert all(each.goes is False for each in judged if each.age <= older)
    sealed = [each for each in runs if each.finished]
    assert sum(each.finished for each in left) >= min(keep, len(sealed))
