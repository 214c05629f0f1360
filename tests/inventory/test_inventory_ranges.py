from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.inventory.ranges import LIMIT, RangeProblem, expand


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mac-01", ["mac-01"]),
        ("mac-[1:3]", ["mac-1", "mac-2", "mac-3"]),
        ("mac-[01:03]", ["mac-01", "mac-02", "mac-03"]),
        ("mac-[08:11]", ["mac-08", "mac-09", "mac-10", "mac-11"]),
        ("mac-[8:11]", ["mac-8", "mac-9", "mac-10", "mac-11"]),
        ("mac-[:2]", ["mac-0", "mac-1", "mac-2"]),
        ("mac-[5:5]", ["mac-5"]),
        ("mac-[1:9:2]", ["mac-1", "mac-3", "mac-5", "mac-7", "mac-9"]),
        ("mac-[1:9:5]", ["mac-1", "mac-6"]),
        ("mac-[a:c]", ["mac-a", "mac-b", "mac-c"]),
        ("mac-[A:E:2]", ["mac-A", "mac-C", "mac-E"]),
        ("r[1:2]-m[a:b]", ["r1-ma", "r1-mb", "r2-ma", "r2-mb"]),
        ("[1:2].lab", ["1.lab", "2.lab"]),
    ],
)
def test_a_range_stands_for_every_name_between_its_bounds(name, expected):
    assert list(expand(name)) == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mac-[10:01]", "reversed"),
        ("mac-[f:a]", "reversed"),
        ("mac-[01:100]", "widths"),
        ("mac-[1:010]", "widths"),
        ("mac-[1:3:0]", "step of 0"),
        ("mac-[a:F]", "mixes"),
        ("mac-[a:3]", "mixes"),
        ("mac-[1:c]", "mixes"),
        ("mac-[:c]", "mixes"),
        ("mac-[1:]", "not a range"),
        ("mac-[]", "not a range"),
        ("mac-[1-3]", "not a range"),
        ("mac-[aa:bb]", "not a range"),
        ("mac-[1:3", "no partner"),
        ("mac-1:3]", "no partner"),
        ("mac-[[1:3]]", "no partner"),
        ("mac-[1:99999]", "more than 10,000"),
        ("mac-[1:200][1:200]", "more than 10,000"),
        ("mac-[1:99999999999999]", "12 digits"),
    ],
)
def test_a_range_that_would_need_a_guess_is_refused(name, reason):
    with pytest.raises(RangeProblem, match=reason):
        expand(name)


@given(
    first=st.integers(0, 3000), count=st.integers(0, 300), step=st.integers(1, 50), width=st.integers(0, 6)
)
def test_numeric_ranges_are_what_counting_gives(first, count, step, width):
    last = first + count
    padded = width > len(str(last)) and width > len(str(first))
    low, high = (f"{first:0{width}d}", f"{last:0{width}d}") if padded else (str(first), str(last))
    expected = [f"n{number:0{width}d}" if padded else f"n{number}" for number in range(first, last + 1, step)]
    assert list(expand(f"n[{low}:{high}:{step}]")) == expected


@given(st.text(alphabet="ab01[]:-", max_size=24))
def test_any_text_is_expanded_within_the_limit_or_refused(name):
    try:
        names = expand(name)
    except RangeProblem:
        return
    assert 0 < len(names) <= LIMIT
    assert not any("[" in each or "]" in each for each in names)


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True))
def test_a_name_without_brackets_stands_for_itself(name):
    assert expand(name) == (name,)
