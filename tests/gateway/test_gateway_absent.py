"""Without an edge nothing is drained, and a node that is out of service is left alone."""

import pytest

from macfleet.gateway.absent import NoEdge
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain_state import Service, ServiceState
from macfleet.store.sql_state import SqlState

NODE = Node("mac-01", Endpoint("mac-01"))


@pytest.fixture
def services(tmp_path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield state.services
    state.close()


def test_it_says_that_nothing_was_drained():
    assert NoEdge().drain(NODE, deadline=1.0, reason="x") == "no edge: not drained"
    assert NoEdge().undrain(NODE).startswith("no edge")


@pytest.mark.parametrize("state", ServiceState)
def test_a_node_that_is_out_is_not_worked_on(services, state):
    services.keep_service(Service("mac-01", state, "fan noise", "ana"))
    if not Service("mac-01", state).closed:
        assert NoEdge(services).drain(NODE, deadline=1.0, reason="x") == "no edge: not drained"
        return
    with pytest.raises(MacfleetError) as held:
        NoEdge(services).drain(NODE, deadline=1.0, reason="x")
    found = held.value.diagnostics[0]
    assert (found.code, int(found.exit_code), found.why) == ("E0877", 7, "ana: fan noise")
    assert "macfleet undrain mac-01" in found.mend
