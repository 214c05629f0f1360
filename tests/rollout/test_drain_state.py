"""The machine's moves, what polls add up to, and the guard's arithmetic."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.diagnostic import MacfleetError
from macfleet.rollout.drain_guard import Capacity
from macfleet.rollout.drain_state import IDLE, POLL, InFlight, Progress, Service, ServiceState

ACTIVE, CORDONED, DRAINING, DRAINED = ServiceState
NOTHING = InFlight(0)
ONE = InFlight(1, ("127.0.0.1.50001",))
KEPT_OPEN = InFlight(0, ("127.0.0.1.50002",))
UNCOUNTED = InFlight(None, counts=False)
MOVES = {
    (ACTIVE, CORDONED),
    (CORDONED, DRAINING),
    (CORDONED, ACTIVE),
    (DRAINING, DRAINED),
    (DRAINING, CORDONED),
    (DRAINED, ACTIVE),
}


@pytest.mark.parametrize("before", ServiceState)
@pytest.mark.parametrize("after", ServiceState)
def test_only_the_machines_moves_are_made(before, after):
    service = Service("mac-01", before, token=1)
    if before is after or (before, after) in MOVES:
        assert service.moved(after, 10.0, 2).state is after
        return
    with pytest.raises(MacfleetError) as refused:
        service.moved(after, 10.0, 2)
    assert refused.value.diagnostics[0].code == "E0870"
    assert refused.value.exit_code == 7
    assert "macfleet" in refused.value.diagnostics[0].mend


def test_a_node_that_is_back_keeps_nothing_of_why_it_was_out():
    out = Service("mac-01", DRAINED, "noise", "ana", 5.0, failure="x", token=3)
    assert out.moved(ACTIVE, 9.0, 4) == Service("mac-01", since=9.0, token=4)


def test_the_port_is_closed_while_a_node_is_draining_or_drained():
    assert [state for state in ServiceState if Service("n", state).closed] == [DRAINING, DRAINED]


@pytest.mark.parametrize(
    ("polls", "quiet"),
    [
        ([(0, NOTHING)], False),
        ([(0, NOTHING), (POLL, NOTHING)], True),
        ([(0, NOTHING), (POLL / 2, NOTHING)], False),
        ([(0, NOTHING), (POLL / 2, NOTHING), (POLL, NOTHING)], True),
        ([(0, NOTHING), (1, ONE), (2, NOTHING)], False),
        ([(0, NOTHING), (1, ONE), (2, NOTHING), (3, NOTHING)], True),
        ([(0, KEPT_OPEN), (1, KEPT_OPEN)], False),
        ([(0, KEPT_OPEN), (IDLE, KEPT_OPEN), (IDLE + 1, KEPT_OPEN)], True),
        ([(0, KEPT_OPEN), (5, ONE), (IDLE, KEPT_OPEN), (IDLE + 1, KEPT_OPEN)], False),
        ([(0, InFlight(None)), (1, InFlight(None))], False),
        ([(0, InFlight(None, running=False)), (1, InFlight(None, running=False))], True),
        ([(0, UNCOUNTED), (1, UNCOUNTED)], True),
        ([(0, replace(UNCOUNTED, connections=("a",))), (60, replace(UNCOUNTED, connections=("a",)))], False),
    ],
)
def test_two_polls_without_anything_in_flight_make_a_node_quiet(polls, quiet):
    progress = Progress()
    for at, poll in polls:
        progress = progress.after(poll, float(at))
    assert progress.quiet is quiet


POLLS = st.lists(
    st.tuples(st.floats(0.01, 3), st.sampled_from([NOTHING, ONE, KEPT_OPEN, InFlight(None)])), min_size=1
)


@given(POLLS)
def test_a_node_is_never_quiet_while_the_newest_poll_shows_a_request(steps):
    progress, at = Progress(), 0.0
    for step, poll in steps:
        at += step
        progress = progress.after(poll, at)
    if progress.last.busy or progress.last.count:
        assert not progress.quiet


def test_the_oldest_is_counted_from_when_it_was_first_seen():
    progress = Progress().after(ONE, 10.0).after(InFlight(2, (*ONE.connections, "b")), 15.0)
    assert progress.oldest == 5.0
    assert progress.words == "2 in flight, oldest at least 5 s"
    assert progress.after(InFlight(1, ("b",)), 17.0).oldest == 2.0


def test_what_holds_a_drain_up_is_said_in_words():
    assert Progress().after(KEPT_OPEN, 3.0).words == (
        "0 in flight, 1 connection without a request, oldest at least 0 s"
    )
    assert Progress().after(InFlight(None, heard=False), 3.0).words == "the node does not answer"
    assert Progress().after(UNCOUNTED, 3.0).words == "0 in flight"
    assert Progress().after(InFlight(None), 3.0).words == "the engine does not say what is in flight"


@pytest.mark.parametrize(
    ("serving", "min_ready", "node", "allowed"),
    [
        ({"a": True, "b": True}, 1, "a", True),
        ({"a": True, "b": False}, 1, "a", False),
        ({"a": True, "b": False}, 1, "b", True),
        ({"a": True}, 0, "a", True),
        ({"a": True}, 1, "a", False),
        ({"a": False}, 5, "a", True),
        ({"a": True, "b": True, "c": True}, 3, "a", False),
    ],
)
def test_the_guard_keeps_min_ready_nodes_and_lets_a_sick_one_go_for_free(serving, min_ready, node, allowed):
    assert Capacity("chat", serving, min_ready).allows(node) is allowed


def test_a_node_in_no_pool_may_always_leave():
    assert Capacity("", {"a": True}, 1).allows("a")


@given(st.dictionaries(st.text("abc", min_size=1), st.booleans(), min_size=1), st.integers(0, 5))
def test_no_order_of_leaving_brings_a_pool_below_what_it_needs(serving, min_ready):
    before = sum(serving.values())
    for node in sorted(serving):
        if Capacity("chat", serving, min_ready).allows(node):
            serving = {**serving, node: False}
    assert sum(serving.values()) >= min(before, min_ready)
