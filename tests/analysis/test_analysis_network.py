import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.analysis.network import choose_mode, path_summary


def proof(bridge, host, *, fresh=None):
    """p95 milliseconds at the node's loopback of both modes; `fresh` defaults to the same."""
    fresh = fresh or (bridge, host)
    rows = {"keep-alive": (bridge, host), "fresh": fresh}
    return {
        f"{mode}/node-loopback/{connection}": {"p95_ms": value}
        for connection, values in rows.items()
        for mode, value in zip(("bridge", "host"), values, strict=True)
        if value is not None
    }


@pytest.mark.parametrize(
    ("paths", "current", "mode"),
    [
        (proof(10.0, 10.0), "bridge", "bridge"),
        (proof(10.0, 9.5), "bridge", "bridge"),  # better, but not by the margin
        (proof(10.0, 9.0), "bridge", "bridge"),  # exactly the margin is not more than it
        (proof(10.0, 8.9), "bridge", "host"),
        (proof(10.0, 9.4), "host", "host"),  # once chosen it stays while it is worth half the margin
        (proof(10.0, 9.6), "host", "bridge"),
        (proof(10.0, 12.0), "host", "bridge"),
        (proof(10.0, 5.0, fresh=(10.0, 9.9)), "bridge", "bridge"),  # both connections must be better
        (proof(10.0, None), "host", "bridge"),
        (proof(None, 5.0), "bridge", "bridge"),
        (proof(0.0, 0.0), "bridge", "bridge"),
        ({}, "host", "bridge"),
    ],
)
def test_bridge_stays_unless_host_is_better_by_the_margin(paths, current, mode):
    found, why = choose_mode(paths, current=current, margin=0.10)
    assert found == mode
    assert why


latency = st.floats(0.01, 1000)


@given(latency, latency, latency, latency)
def test_the_same_proof_never_makes_the_modes_take_turns(bridge, host, fresh_bridge, fresh_host):
    paths = proof(bridge, host, fresh=(fresh_bridge, fresh_host))
    chosen, _ = choose_mode(paths, current="bridge", margin=0.10)
    again, _ = choose_mode(paths, current=chosen, margin=0.10)
    assert again == chosen


@given(latency, st.floats(0.951, 0.999), st.sampled_from(["bridge", "host"]))
def test_two_close_modes_settle_on_bridge(bridge, ratio, current):
    assert choose_mode(proof(bridge, bridge * ratio), current=current, margin=0.10)[0] == "bridge"


def test_other_vantages_do_not_decide():
    paths = {**proof(10.0, 10.0), "host/client/keep-alive": {"p95_ms": 0.1}}
    assert choose_mode(paths, current="bridge", margin=0.10)[0] == "bridge"


@pytest.mark.parametrize(
    ("latencies", "p50", "p95"),
    [
        ([], None, None),
        ([3.0], 3.0, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 2.0, 4.0),
        ([float(n) for n in range(100, 0, -1)], 50.0, 95.0),
    ],
)
def test_a_path_is_reduced_by_nearest_rank(latencies, p50, p95):
    found = path_summary(latencies, 2, None)
    assert found == {"n": len(latencies), "p50_ms": p50, "p95_ms": p95, "errors": 2, "time_wait": None}
