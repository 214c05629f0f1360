"""States of nodes and leases: what a newer holder wrote stays."""

from threading import Thread

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.rollout.drain_state import OnDeadline, Service, ServiceState
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def state(tmp_path, clock):
    opened = SqlState(f"sqlite:///{tmp_path}/state.db", clock.now)
    yield opened
    opened.close()


def test_a_state_comes_back_whole_and_an_unknown_node_is_active(state):
    service = Service(
        "mac-01", ServiceState.DRAINING, "fan's noise", "ana", 5.0, 9.0, OnDeadline.CANCEL, "late", 7
    )
    state.services.keep_service(service)
    assert state.services.service("mac-01") == service
    assert state.services.service("mac-02") == Service("mac-02")


def test_a_holder_whose_lease_passed_on_writes_nothing(state):
    state.services.keep_service(Service("mac-01", ServiceState.DRAINED, token=8))
    with pytest.raises(MacfleetError) as refused:
        state.services.keep_service(Service("mac-01", token=7))
    assert (refused.value.diagnostics[0].code, int(refused.value.exit_code)) == ("E0873", 6)
    assert state.services.service("mac-01").state is ServiceState.DRAINED


def test_a_lease_is_held_by_one_until_it_ends(state, clock):
    mine = state.leases.take("node/mac-01", "ana", 15.0)
    assert mine is not None
    assert state.leases.take("node/mac-01", "bob", 15.0) is None
    assert state.leases.lease("node/mac-01") == mine
    clock.sleep(15.0)
    assert state.leases.lease("node/mac-01") is None
    other = state.leases.take("node/mac-01", "bob", 15.0)
    assert other.token > mine.token
    with pytest.raises(MacfleetError):
        state.leases.renew(mine, 15.0)
    state.leases.release(mine)
    assert state.leases.lease("node/mac-01") == other


def test_renewing_makes_a_lease_last(state, clock):
    mine = state.leases.take("n", "ana", 15.0)
    clock.sleep(10.0)
    state.leases.renew(mine, 15.0)
    clock.sleep(10.0)
    assert state.leases.take("n", "bob", 15.0) is None


def test_a_lease_that_is_given_back_is_free_at_once(state):
    state.leases.release(state.leases.take("n", "ana", 15.0))
    assert state.leases.take("n", "bob", 15.0) is not None


def test_force_takes_a_lease_over(state):
    mine = state.leases.take("n", "ana", 15.0)
    assert state.leases.take("n", "bob", 15.0, force=True).token > mine.token


def test_tokens_grow_though_the_clock_goes_back(state, clock):
    first = state.leases.take("n", "ana", 15.0)
    clock.time -= 3600
    assert state.leases.take("n", "bob", 15.0, force=True).token == first.token + 1


def test_of_many_who_ask_at_once_one_gets_it(state):
    got = []
    threads = [Thread(target=lambda i=i: got.append(state.leases.take("n", f"h{i}", 15.0))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([lease for lease in got if lease]) == 1
