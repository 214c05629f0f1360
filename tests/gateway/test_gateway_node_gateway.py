"""What a rollout does to a node in service, with a fake node and the real store."""

import itertools
import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from macfleet.executors.threads import ThreadExecutor
from macfleet.gateway.leases import KeptLeases
from macfleet.gateway.node_gateway import NodeHalfGateway
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain import drain
from macfleet.rollout.drain_admit import Wish
from macfleet.rollout.drain_back import cordon, undrain
from macfleet.rollout.drain_ports import DrainPorts
from macfleet.rollout.drain_state import InFlight, Service, ServiceState
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeClock, FakeHalf, RecordingEvents

NODES = tuple(Node(name, Endpoint(name), pool="chat", min_ready=1) for name in ("mac-01", "mac-02"))
ONE, TWO = NODES
RUN = "20261123T041205Z-stage3-1a2b"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def half():
    return FakeHalf()


@pytest.fixture
def ports(tmp_path, clock, half):
    state = SqlState(f"sqlite:///{tmp_path}/state.db", clock.now)
    yield DrainPorts(
        services=state.services,
        leases=state.leases,
        half=half,
        executor=ThreadExecutor(2),
        clock=clock,
        events=RecordingEvents(),
        pool_of=lambda _node: NODES,
        prove=lambda _node: (),
        holder="ana process 1",
        who="ana",
    )
    state.close()


def gateway(ports, **changes):
    return NodeHalfGateway(ports.services, lambda: replace(ports, **changes))


@pytest.fixture
def edge(ports):
    return gateway(ports)


def take_out(edge, node=ONE, run=RUN):
    return edge.drain(node, deadline=30.0, reason="rollout layout", run=run, events=RecordingEvents())


def code(error):
    return error.value.diagnostics[0].code, int(error.value.exit_code)


def test_a_node_is_closed_with_its_containers_running_and_reached_at_its_entry(edge, half, ports):
    out = take_out(edge)
    assert (out.words, out.entry) == ("drained in 1.0 s, nothing in flight", 18080)
    assert half.calls == [("mac-01", "cordoned"), ("mac-01", "draining"), ("mac-01", "drained")]
    assert half.runs("mac-01")
    kept = ports.services.service("mac-01")
    assert (kept.state, kept.run, kept.reason) == (ServiceState.DRAINED, RUN, "rollout layout")


def test_with_nothing_in_flight_a_drain_polls_twice(edge, half):
    take_out(edge)
    # Two looks at each node of the pool for the guard, before and after it is announced, then the polls.
    assert half.looks.count("mac-02") == 2
    assert half.looks.count("mac-01") == 2 + 2


def test_what_was_in_flight_is_waited_for_and_counted(edge, half, clock):
    half.flights["mac-01"] = [InFlight(0)] + [InFlight(7)] * 6 + [InFlight(2), InFlight(0)]
    began = clock.now()
    assert take_out(edge).words == "drained in 7.0 s, 7 in flight finished"
    assert clock.now() - began == 7.0


def test_it_comes_back_started_proven_behind_its_closed_port_and_then_opened(ports, half):
    proven = []

    def prove(node):
        proven.append((half.services["mac-01"].closed, node.variables))
        return ()

    edge = gateway(ports, prove=prove)
    take_out(edge)
    half.calls.clear()
    assert edge.undrain(ONE, events=RecordingEvents()) == "back in service after 0 ms"
    assert half.calls == [("mac-01", "drained"), ("mac-01", "start"), ("mac-01", "active")]
    ((closed, variables),) = proven
    assert closed
    assert list(variables.values()) == [18080]
    assert ports.services.service("mac-01").state is ServiceState.ACTIVE
    assert edge.absence(ONE) is None


def test_a_node_with_nothing_on_it_leaves_for_free_and_ends_active(edge, half, ports):
    half.empty = {"mac-01", "mac-02"}
    assert take_out(edge).words == "drained in 1.0 s, nothing in flight"
    assert take_out(edge, TWO).words == "drained in 1.0 s, nothing in flight"
    edge.undrain(ONE, events=RecordingEvents())
    assert ports.services.service("mac-01").state is ServiceState.ACTIVE
    assert not half.services["mac-01"].closed


def test_the_last_ready_node_is_refused_and_nothing_is_held(edge, half, ports):
    take_out(edge)
    with pytest.raises(MacfleetError) as refused:
        take_out(edge, TWO)
    assert code(refused) == ("E0871", 7)
    assert ("mac-02", "draining") not in half.calls
    assert ports.leases.lease("node/mac-02") is None


def test_a_node_that_stays_out_says_why_in_store_and_on_the_node_and_is_gone_on_with(edge, half, ports):
    take_out(edge)
    assert edge.leave_out(ONE, why="routes_answer held: 404") == "stays out of service"
    for kept in (ports.services.service("mac-01"), half.services["mac-01"]):
        assert (kept.state, kept.failure) == (ServiceState.DRAINED, "routes_answer held: 404")
    assert ports.leases.lease("node/mac-01") is None
    absence = edge.absence(ONE)
    assert absence.resumable
    assert absence.words == "drained · ana: rollout layout · routes_answer held: 404"
    assert take_out(gateway(ports), run="another").words == "drained before"
    assert ports.services.service("mac-01").failure == ""


def test_a_node_lost_on_the_way_is_out_in_the_store(edge, half, ports):
    take_out(edge)
    half.gone.add("mac-01")
    edge.leave_out(ONE, why="no answer")
    assert ports.services.service("mac-01").failure == "no answer"
    assert ports.leases.lease("node/mac-01") is None


def test_a_node_that_a_person_took_out_is_left_alone(edge, half, ports):
    drain(ONE, Wish("fan noise"), ports)
    half.calls.clear()
    assert edge.absence(ONE).resumable is False
    with pytest.raises(MacfleetError) as refused:
        take_out(edge)
    assert code(refused) == ("E0877", 7)
    assert "ana: fan noise" in refused.value.diagnostics[0].why
    assert half.calls == []


def test_a_node_only_whose_own_file_says_that_it_is_out_is_left_alone(edge, half):
    half.services["mac-01"] = Service("mac-01", ServiceState.DRAINED, "moved", "bob", run="of another store")
    with pytest.raises(MacfleetError) as refused:
        take_out(edge)
    assert code(refused) == ("E0877", 7)
    assert "bob: moved" in refused.value.diagnostics[0].why


def test_a_person_who_drains_a_node_a_rollout_left_out_owns_it_then(edge, ports):
    take_out(edge)
    edge.leave_out(ONE, why="held")
    drain(ONE, Wish("fan noise"), ports)
    assert edge.absence(ONE).resumable is False


def test_a_node_that_did_not_keep_its_promises_on_its_way_back_may_be_mended_by_a_rollout(edge, half, ports):
    drain(ONE, Wish("fan noise"), ports)
    with pytest.raises(MacfleetError) as failed:
        undrain(ONE, replace(ports, prove=lambda _node: ("/v1/models: 500",)))
    assert code(failed) == ("E0875", 7)
    assert half.services["mac-01"].closed
    take_out(edge)
    edge.undrain(ONE, events=RecordingEvents())
    assert ports.services.service("mac-01").state is ServiceState.ACTIVE


def test_a_node_that_is_cordoned_is_cordoned_again(edge, ports):
    cordon(ONE, "to be re-imaged", ports)
    take_out(edge)
    assert edge.undrain(ONE, events=RecordingEvents()) == "cordoned again: to be re-imaged"
    kept = ports.services.service("mac-01")
    assert (kept.state, kept.reason) == (ServiceState.CORDONED, "to be re-imaged")


def test_a_killed_rollouts_node_is_gone_on_with_when_its_lease_has_ended(ports, half, clock):
    take_out(gateway(ports, holder="killed process 9"))
    half.flights["mac-01"] = [InFlight(3)]  # nobody may hold a resumed run up: the node was drained
    resumed = gateway(ports)
    began = clock.now()
    assert take_out(resumed, run="resumed").words == "drained before"
    assert clock.now() - began <= 15.5
    assert ports.services.service("mac-01").run == "resumed"


def test_a_node_somebody_took_over_is_told_and_not_written_to(edge, half, ports):
    take_out(edge)
    ports.leases.take("node/mac-01", "bob", 60.0, force=True)
    half.calls.clear()
    with pytest.raises(MacfleetError) as refused:
        edge.undrain(ONE, events=RecordingEvents())
    assert code(refused) == ("E0873", 6)
    assert half.calls == []


class Moody:
    """Leases of a store that does not answer every other time."""

    def __init__(self, leases):
        self.leases = leases
        self.moods = itertools.cycle([False, True])

    def renew(self, lease, ttl):
        if not next(self.moods):
            raise OSError("database is locked")
        return self.leases.renew(lease, ttl)

    def release(self, lease):
        self.leases.release(lease)


def test_a_kept_lease_is_renewed_until_it_is_let_go(ports, clock):
    rounds = threading.Semaphore(0)
    renewed = threading.Semaphore(0)

    def wait(stop, _seconds):
        renewed.release()
        rounds.acquire()
        return stop.is_set()

    kept = KeptLeases(wait)
    lease = ports.leases.take("node/mac-01", "ana", 15.0)
    kept.keep(lease, Moody(ports.leases))
    for _ in range(4):
        renewed.acquire()
        clock.sleep(5.0)
        rounds.release()
    renewed.acquire()
    assert ports.leases.take("node/mac-01", "bob", 15.0) is None
    kept.let_go("node/mac-01")
    rounds.release()
    assert ports.leases.take("node/mac-01", "bob", 15.0) is not None


ASKED = """
import json, sys
from macfleet.gateway.node_gateway import NodeHalfGateway
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain_state import Service, ServiceState
class Services:
    def service(self, node):
        return Service(node, ServiceState.DRAINED, "fan noise", "ana")
absence = NodeHalfGateway(Services(), None).absence(Node("mac-01", Endpoint("mac-01")))
print(json.dumps([absence.words, sorted(name for name in sys.modules if name.startswith("macfleet"))]))
"""


def test_to_say_why_a_node_is_out_imports_nothing_that_takes_one_out():
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    words, imported = json.loads(done.stdout)
    assert words == "drained · ana: fan noise"
    takes_out = {f"macfleet.rollout.{name}" for name in ("drain", "drain_admit", "drain_back", "drain_lease")}
    assert (takes_out | {"macfleet.gateway.leases", "macfleet.rollout.drain_ports"}).isdisjoint(imported)
