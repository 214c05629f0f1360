"""What is said of a load test that goes on: figures so far by simple counts, places by its journal."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.rollout.journalled import SETTLED
from macfleet.rollout.loadtest_segment import SEGMENT
from macfleet.rollout.loadtest_watch import NodeProgress, SoFar, begun_by, standing

SECOND = 10**9


def request(*, sent=0, first=1, close=2, tokens=5, **more):
    """A raw line; times in seconds."""
    return {
        "t_sched": sent * SECOND,
        "t_send": sent * SECOND,
        "t_first_gen": None if first is None else first * SECOND,
        "t_close": close * SECOND,
        "tokens": tokens,
        "outcome": "ok",
        "warmup": False,
        **more,
    }


def so_far(*rows):
    found = SoFar()
    for row in rows:
        found.take(row)
    return found


def begun(at, segment=0, arm="bare", attempt=0, of=4):
    detail = {"arm": arm, "cell": "short×4", "segment": segment, "seconds": 60.0, "of": of}
    return ("mac-01", SEGMENT, {**detail, "file": f"{arm}/raw-{segment}-4-{attempt}.ndjson"}, at)


def test_ended_requests_are_counted_and_those_of_the_warm_up_are_not():
    found = so_far(
        request(sent=0, close=4, tokens=30),
        request(sent=4, close=10, tokens=20, outcome="stall_timeout"),
        request(sent=0, close=99, tokens=9000, warmup=True),
    )
    assert (found.requests, found.errors, found.tokens_per_second) == (2, 1, 5.0)


def test_before_the_first_request_nothing_is_known():
    assert (SoFar().tokens_per_second, SoFar().ttft_p95) == (None, None)
    assert SoFar().document() == {"requests": 0, "errors": 0, "tokens_per_second": None, "ttft_p95": None}


@given(st.lists(st.one_of(st.none(), st.integers(0, 500)), min_size=1, max_size=80))
def test_the_time_to_the_first_token_is_one_that_95_in_100_kept(firsts):
    found = so_far(*(request(sent=0, first=first, close=600) for first in firsts))
    seconds = [math.inf if first is None else float(first) for first in firsts]
    assert found.ttft_p95 in seconds
    assert sum(each <= found.ttft_p95 for each in seconds) >= 0.95 * len(seconds)
    assert sum(each < found.ttft_p95 for each in seconds) < 0.95 * len(seconds)


def test_a_percentile_without_a_number_is_null_in_json():
    assert so_far(request(first=None)).document()["ttft_p95"] is None


def test_two_segments_add_up_whatever_their_clocks_say():
    one = so_far(request(sent=0, close=10, tokens=100))
    two = so_far(request(sent=5000, close=5010, tokens=300))
    both = one.joined(two)
    assert (both.requests, both.seconds, both.tokens_per_second) == (2, 20.0, 20.0)


@pytest.mark.parametrize("row", [{}, {"report": {}}, {"t_sched": "soon", "t_close": 1}, {"t_sched": 1}])
def test_what_is_no_request_is_let_pass(row):
    assert so_far(row).requests == 0


def test_an_attempt_made_again_is_the_same_segment_and_the_one_before_does_not_stand():
    found = begun_by([begun(0), begun(60, attempt=1), begun(120, segment=1)])["mac-01"]
    assert (found.number, found.again, found.now.segment) == (2, 1, 1)
    assert [each.file for each in standing(found.begun)] == ["bare/raw-0-4-1.ndjson", "bare/raw-1-4-0.ndjson"]


def test_time_left_follows_the_pace_of_the_segments_before():
    found = begun_by([begun(0), begun(100, segment=1), begun(200, segment=2)])["mac-01"]
    assert found.left(200) == 200.0
    assert found.left(230) == 170.0
    assert begun_by([begun(0)])["mac-01"].left(20) == 220.0
    assert found.left(9999) == 0.0


def test_a_node_that_ended_or_has_not_begun_needs_no_time():
    entries = [begun(0), ("mac-01", SETTLED, {"outcome": "held"}, 9.0)]
    found = begun_by(entries)["mac-01"]
    assert (found.outcome, found.left(10)) == ("held", None)
    assert NodeProgress("mac-02").left(10) is None


def test_entries_of_other_kinds_and_without_their_fields_are_let_pass():
    entries = [("mac-01", "step.sent", {}, 0.0), ("mac-01", SEGMENT, {"arm": "bare"}, 0.0)]
    assert begun_by(entries) == {}
