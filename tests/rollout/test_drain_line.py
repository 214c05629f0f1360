"""One node's way out and back with a fake node and the real store."""

import contextlib
import threading
from dataclasses import replace

import pytest

from macfleet.executors.threads import ThreadExecutor
from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain import drain
from macfleet.rollout.drain_admit import Wish
from macfleet.rollout.drain_back import cordon, uncordon, undrain
from macfleet.rollout.drain_lease import held
from macfleet.rollout.drain_ports import DrainPorts
from macfleet.rollout.drain_state import InFlight, OnDeadline, Service, ServiceState
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeClock, FakeHalf, PatientClock, RecordingEvents

BUSY = InFlight(2, ("a", "b"))
NODES = tuple(Node(name, Endpoint(name), pool="chat", min_ready=1) for name in ("mac-01", "mac-02"))
ONE, TWO = NODES


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def state(tmp_path, clock):
    opened = SqlState(f"sqlite:///{tmp_path}/state.db", clock.now)
    yield opened
    opened.close()


@pytest.fixture
def half():
    return FakeHalf()


@pytest.fixture
def ports(state, clock, half):
    return DrainPorts(
        services=state.services,
        leases=state.leases,
        half=half,
        executor=ThreadExecutor(4),
        clock=clock,
        events=RecordingEvents(),
        pool_of=lambda _node: NODES,
        prove=lambda _node: (),
        holder="ana process 1",
        who="ana",
    )


def code(error):
    return error.value.diagnostics[0].code, int(error.value.exit_code)


def test_an_idle_node_is_drained_after_two_polls(ports, half, clock):
    began = clock.now()
    done = drain(ONE, Wish("noise"), ports)
    assert half.calls == [("mac-01", each) for each in ("cordoned", "draining", "stop", "drained")]
    assert (done.cut, done.already, clock.now() - began) == (0, False, 1.0)
    kept = ports.services.service("mac-01")
    assert (kept.state, kept.reason, kept.who) == (ServiceState.DRAINED, "noise", "ana")
    assert half.services["mac-01"] == kept


def test_requests_in_flight_are_waited_for_and_told_every_five_seconds(ports, half):
    half.flights["mac-01"] = [BUSY] * 15 + [InFlight(0)]
    assert drain(ONE, Wish(), ports).cut == 0
    waiting = [event for event in ports.events.seen if event.kind == "drain.waiting"]
    assert [event.data["words"] for event in waiting] == [
        "2 in flight, oldest at least 0 s",
        "2 in flight, oldest at least 5 s",
        "2 in flight, oldest at least 10 s",
    ]


def test_draining_twice_changes_nothing(ports, half):
    drain(ONE, Wish("noise"), ports)
    half.calls.clear()
    assert drain(ONE, Wish(), ports).already
    assert half.calls == []


def test_a_node_said_to_be_drained_that_runs_is_drained_again(ports, half):
    drain(ONE, Wish(), ports)
    half.stopped.discard("mac-01")
    assert not drain(ONE, Wish(), ports).already
    assert not half.runs("mac-01")


def test_the_last_ready_node_is_refused_and_left_alone(ports, half):
    drain(TWO, Wish(), ports)
    half.calls.clear()
    with pytest.raises(MacfleetError) as refused:
        drain(ONE, Wish(), ports)
    assert code(refused) == ("E0871", 7)
    assert half.calls == []
    assert ports.services.service("mac-01") == Service("mac-01")


@pytest.mark.parametrize("trouble", ["sick", "gone"])
def test_a_node_that_does_not_serve_does_not_count_as_ready(ports, half, trouble):
    getattr(half, trouble).add("mac-02")
    with pytest.raises(MacfleetError) as refused:
        drain(ONE, Wish(), ports)
    assert code(refused) == ("E0871", 7)


def test_a_sick_node_drains_for_free(ports, half):
    half.sick = {"mac-01", "mac-02"}
    assert drain(ONE, Wish(), ports).service.state is ServiceState.DRAINED


def test_a_node_another_store_is_draining_does_not_count_as_ready(ports, half):
    half.services["mac-02"] = Service("mac-02", ServiceState.DRAINING)
    with pytest.raises(MacfleetError) as refused:
        drain(ONE, Wish(), ports)
    assert code(refused) == ("E0871", 7)


def test_two_operators_at_once_are_admitted_one_after_the_other(ports, half, state):
    both_looked = threading.Barrier(2)
    half.before_look = lambda _node: threading.Event().wait(0.01)
    answers = {}

    def operate(node):
        both_looked.wait()
        mine = replace(ports, holder=f"operator of {node.name}", clock=PatientClock())
        try:
            drain(node, Wish(), mine)
            answers[node.name] = 0
        except MacfleetError as error:
            answers[node.name] = int(error.exit_code)

    threads = [threading.Thread(target=operate, args=(node,)) for node in NODES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.values()) == [0, 7]


@pytest.fixture
def elsewhere(ports, tmp_path, clock):
    """An operator whose controller shares no store with the other's."""
    opened = SqlState(f"sqlite:///{tmp_path}/other.db", clock.now)
    yield replace(ports, services=opened.services, leases=opened.leases, holder="bob process 2", who="bob")
    opened.close()


class Meeting(FakeHalf):
    """Nodes that two operators drain at once: what the second does comes between two steps of the first."""

    def __init__(self, meanwhile):
        super().__init__()
        self.meanwhile = meanwhile
        self.lowest = 2

    def enter(self, node, service):
        FakeHalf.enter(self, node, service)
        self.lowest = min(self.lowest, 2 - sum(each.closed for each in self.services.values()))
        if (node, service.state) == (ONE, ServiceState.CORDONED) and not service.failure:
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()


def test_two_operators_who_share_no_store_do_not_break_the_guard_together(ports, elsewhere):
    refused = []

    def bob_drains():
        with pytest.raises(MacfleetError) as error:
            drain(TWO, Wish(), replace(elsewhere, half=half))
        refused.append(code(error))

    half = Meeting(bob_drains)
    assert drain(ONE, Wish(), replace(ports, half=half)).service.state is ServiceState.DRAINED
    assert refused == [("E0871", 7)]
    assert half.lowest == 1


def test_of_two_operators_who_announce_at_once_both_give_way_and_nothing_was_closed(ports):
    now = ports.clock.now()
    meanwhile = Service("mac-02", ServiceState.CORDONED, "moved", "bob", now, now + 1800, token=5)
    half = Meeting(lambda: half.services.update({"mac-02": meanwhile}))
    with pytest.raises(MacfleetError) as refused:
        drain(ONE, Wish("noise"), replace(ports, half=half))
    assert code(refused) == ("E0871", 7)
    assert [state for _, state in half.calls] == ["cordoned", "active"]
    assert ports.services.service("mac-01").state is ServiceState.ACTIVE
    assert half.services["mac-01"].state is ServiceState.ACTIVE
    half.services["mac-02"] = replace(meanwhile, deadline=now - 1)
    assert drain(ONE, Wish(), replace(ports, half=half)).service.state is ServiceState.DRAINED


def test_a_node_is_announced_for_long_enough_that_others_see_it(ports, half):
    announced = []
    half.before_look = lambda _node: announced.append(half.services.get("mac-01"))
    drain(ONE, Wish(deadline=0.0), ports)
    told = next(each for each in announced if each and each.state is ServiceState.CORDONED)
    assert told.announced(ports.clock.now() + 60)


def test_a_node_that_leaves_whatever_the_others_do_is_not_announced(ports, half):
    half.sick = {"mac-01"}
    drain(ONE, Wish(), ports)
    drain(TWO, Wish("on fire", force=True), ports)
    assert "cordoned" not in {done for _, done in half.calls}


def test_a_drain_that_fails_at_its_deadline_leaves_the_node_cordoned_and_open(ports, half, clock):
    half.flights["mac-01"] = [BUSY]
    began = clock.now()
    with pytest.raises(MacfleetError) as failed:
        drain(ONE, Wish(deadline=20.0), ports)
    assert code(failed) == ("E0872", 7)
    assert clock.now() - began == 20.0
    kept = ports.services.service("mac-01")
    assert kept.state is ServiceState.CORDONED
    assert "2 in flight" in kept.failure
    assert half.runs("mac-01")
    assert not half.services["mac-01"].closed


def test_a_deadline_of_now_drains_a_node_with_nothing_in_flight_and_no_other(ports, half, clock):
    assert drain(TWO, Wish(deadline=0.0), ports).service.state is ServiceState.DRAINED
    undrain(TWO, ports)
    half.flights["mac-01"] = [BUSY]
    began = clock.now()
    with pytest.raises(MacfleetError) as failed:
        drain(ONE, Wish(deadline=0.0), ports)
    assert (code(failed), clock.now() - began) == (("E0872", 7), 0.0)


def test_cancel_stops_at_the_deadline_and_counts_what_it_cut(ports, half):
    half.flights["mac-01"] = [BUSY]
    done = drain(ONE, Wish(deadline=3.0, on_deadline=OnDeadline.CANCEL), ports)
    assert (done.cut, done.service.state) == (2, ServiceState.DRAINED)
    assert "2 in flight" in next(e for e in ports.events.seen if e.kind == "drain.cancelled").data["words"]


def test_wait_goes_on_past_the_deadline(ports, half, clock):
    half.flights["mac-01"] = [BUSY] * 31 + [InFlight(0)]
    began = clock.now()
    assert drain(ONE, Wish(deadline=5.0, on_deadline=OnDeadline.WAIT), ports).cut == 0
    assert clock.now() - began == 30.0


def test_once_gives_up_at_the_first_request(ports, half, clock):
    half.flights["mac-01"] = [BUSY]
    began = clock.now()
    with pytest.raises(MacfleetError) as failed:
        drain(ONE, Wish(once=True), ports)
    assert code(failed) == ("E0872", 7)
    assert clock.now() == began


def test_containers_that_still_run_after_the_stop_fail_the_drain(ports, half):
    half.stubborn = True
    with pytest.raises(MacfleetError) as failed:
        drain(ONE, Wish(), ports)
    assert code(failed) == ("E0874", 4)
    assert "c0ffee" in failed.value.diagnostics[0].summary
    assert ports.services.service("mac-01").state is ServiceState.CORDONED


def test_a_node_that_was_lost_stays_draining_until_somebody_reaches_it(ports, half):
    lost = NodeUnreachable(Diagnostic("E0401", "the connection broke", exit_code=ExitCode.UNREACHABLE))

    class Lost(FakeHalf):
        def look(self, node):
            return half.look(node)

        def enter(self, node, service):
            if service.state is not ServiceState.DRAINING:
                raise lost
            half.enter(node, service)

        def stop(self, node):
            raise lost

    with pytest.raises(MacfleetError) as failed:
        drain(ONE, Wish(), replace(ports, half=Lost()))
    assert len(failed.value.diagnostics) == 1
    kept = ports.services.service("mac-01")
    assert (kept.state, kept.failure) == (ServiceState.DRAINING, "the connection broke")
    assert drain(ONE, Wish(), ports).service.state is ServiceState.DRAINED


def test_a_node_that_does_not_answer_on_the_way_is_waited_for(ports, half, clock):
    looks = iter(range(100))

    def wanders_off(_node):
        half.gone = {"mac-01"} if next(looks) in range(5, 14) else set()

    half.before_look = wanders_off
    began = clock.now()
    assert drain(ONE, Wish(), ports).cut == 0
    assert clock.now() - began > 8.0
    waiting = [event.data["words"] for event in ports.events.seen if event.kind == "drain.waiting"]
    assert "the node does not answer" in waiting


def test_a_node_that_does_not_answer_at_the_deadline_stays_draining_and_nothing_else_is_said(ports, half):
    looks = iter(range(100))

    def is_lost(_node):
        half.gone = {"mac-01"} if next(looks) >= 5 else set()

    half.before_look = is_lost
    half.flights["mac-01"] = [BUSY]
    with pytest.raises(MacfleetError) as failed:
        drain(ONE, Wish(deadline=20.0), ports)
    overdue, unreachable = failed.value.diagnostics
    assert (overdue.code, unreachable.code) == ("E0872", "E0401")
    assert overdue.summary == "not drained: the deadline came: the node does not answer"
    assert "stays draining" in overdue.why
    assert ports.services.service("mac-01").state is ServiceState.DRAINING
    assert half.services["mac-01"].closed


class Opened(FakeHalf):
    """A node at which the reject rule goes twice while it drains: a restart, or somebody's hand."""

    def look(self, node):
        sight = FakeHalf.look(self, node)
        gone = node is ONE and len(self.looks) in (7, 11)
        return replace(sight, closed=sight.closed and not gone)


def test_a_port_that_is_open_again_on_the_way_is_closed_again(ports):
    half = Opened(flights={"mac-01": [BUSY] * 12 + [InFlight(0)]})
    drain(ONE, Wish(), replace(ports, half=half))
    assert half.calls == [("mac-01", each) for each in ("cordoned", *["draining"] * 3, "stop", "drained")]
    assert sum(event.kind == "drain.reclosed" for event in ports.events.seen) == 2


def test_where_an_engine_counts_no_requests_its_connections_are_waited_for(ports, half, clock):
    uncounted = InFlight(None, ("a", "b"), counts=False)
    half.flights["mac-01"] = [uncounted] * 26 + [InFlight(None, counts=False)]
    began = clock.now()
    assert drain(ONE, Wish(), ports).cut == 0
    assert clock.now() - began == 25.0


def test_a_drain_that_fails_says_where_the_node_stands_and_is_kept_in_the_history(ports, half):
    half.flights["mac-01"] = [BUSY]
    kept = []
    recording = replace(ports, record=lambda *row: kept.append(row))
    with pytest.raises(MacfleetError):
        drain(ONE, Wish("noise", once=True), recording)
    said = next(event for event in ports.events.seen if event.kind == "drain.failed")
    assert said.data["words"] == "stays cordoned, its port open again"
    ((node, kind, detail),) = kept
    assert (node, kind, detail["who"]) == ("mac-01", "drain.failed", "ana")
    assert "2 in flight" in detail["reason"]
    half.flights["mac-01"] = [InFlight(0)]
    drain(ONE, Wish(), recording)
    assert (kept[1][1], kept[1][2]["reason"]) == ("service.closed", "noise")


class KilledError(BaseException):
    """Stands for a controller that ends without any word."""


@pytest.mark.parametrize("step", range(8))
def test_a_drain_that_breaks_off_anywhere_is_finished_by_the_next(ports, half, clock, step):
    count = iter(range(100))

    def maybe():
        if next(count) == step:
            raise KilledError

    class Dying(FakeHalf):
        def enter(self, node, service):
            maybe()
            half.enter(node, service)
            maybe()

        def stop(self, node):
            maybe()
            found = half.stop(node)
            maybe()
            return found

        def look(self, node):
            return half.look(node)

    class Keeping:
        """A store whose lease is not given back: nobody is there to do so."""

        def __getattr__(self, name):
            return (lambda _lease: None) if name == "release" else getattr(ports.leases, name)

    with contextlib.suppress(KilledError):
        drain(ONE, Wish("noise"), replace(ports, half=Dying(), leases=Keeping(), holder="dead process 9"))
    done = drain(ONE, Wish(), ports)
    assert done.service.state is ServiceState.DRAINED
    assert done.service.reason == "noise"
    assert not half.runs("mac-01")
    assert half.services["mac-01"].closed
    clock.sleep(1)


def test_a_drain_gone_on_with_keeps_its_deadline(ports, half, clock):
    half.flights["mac-01"] = [BUSY]
    half.before_look = lambda _node: None
    started = replace(
        Service("mac-01", ServiceState.DRAINING), deadline=clock.now() + 4, on_deadline=OnDeadline.CANCEL
    )
    ports.services.keep_service(started)
    began = clock.now()
    assert drain(ONE, Wish(), ports).cut == 2
    assert clock.now() - began <= 5


def test_a_node_another_controller_works_on_is_not_touched(ports, half, clock):
    other = replace(ports, holder="bob process 2")
    with held(ONE, other) as lease:
        sleep = clock.sleep

        def renewing(seconds):
            sleep(seconds)
            ports.leases.renew(lease, 15.0)

        with pytest.raises(MacfleetError) as refused:
            drain(ONE, Wish(), replace(ports, clock=_with_sleep(clock, renewing)))
    assert code(refused) == ("E0873", 6)
    assert "bob process 2" in refused.value.diagnostics[0].why
    assert half.calls == []


def test_a_drain_somebody_took_over_stops_at_its_next_poll(ports, half, clock):
    half.flights["mac-01"] = [BUSY]
    looks = iter(range(100))

    def take_over(node):
        if next(looks) == 4:
            half.before_look = lambda _node: None
            uncordon(node, replace(ports, holder="bob"), cancel=True)

    half.before_look = take_over
    with pytest.raises(MacfleetError) as refused:
        drain(ONE, Wish(), ports)
    assert code(refused) == ("E0873", 6)
    assert ports.services.service("mac-01").state is ServiceState.ACTIVE
    assert half.runs("mac-01")


def test_undrain_starts_opens_and_proves(ports, half):
    drain(ONE, Wish(), ports)
    half.calls.clear()
    proved = []
    back = undrain(ONE, replace(ports, prove=lambda node: proved.append(node.name) or ()))
    assert half.calls == [("mac-01", "drained"), ("mac-01", "start"), ("mac-01", "active")]
    assert proved == ["mac-01"]
    assert back.state is ServiceState.ACTIVE
    assert ports.services.service("mac-01") == back
    assert undrain(ONE, ports) == back


def test_a_node_that_does_not_keep_its_promises_is_closed_again(ports, half):
    drain(ONE, Wish(), ports)
    with pytest.raises(MacfleetError) as failed:
        undrain(ONE, replace(ports, prove=lambda _node: ("/v1/models: status 500",)))
    assert code(failed) == ("E0875", 7)
    assert half.services["mac-01"].closed
    assert ports.services.service("mac-01").state is ServiceState.DRAINED


def test_undrain_brings_a_node_back_that_only_the_node_knows_to_be_out(ports, half):
    half.services["mac-01"] = Service("mac-01", ServiceState.DRAINED)
    half.stopped.add("mac-01")
    undrain(ONE, ports)
    assert half.runs("mac-01")
    assert not half.services["mac-01"].closed


def test_a_cordon_stops_nothing_and_is_taken_back(ports, half):
    assert cordon(ONE, "to be re-imaged", ports).state is ServiceState.CORDONED
    assert cordon(ONE, "another reason", ports).reason == "to be re-imaged"
    assert half.look(ONE).healthy
    assert uncordon(ONE, ports).state is ServiceState.ACTIVE
    assert uncordon(ONE, ports).state is ServiceState.ACTIVE


@pytest.mark.parametrize("before", [ServiceState.DRAINING, ServiceState.DRAINED])
def test_uncordon_refuses_a_node_that_is_further_on_its_way(ports, before):
    ports.services.keep_service(Service("mac-01", before, "noise"))
    with pytest.raises(MacfleetError) as refused:
        uncordon(ONE, ports)
    assert code(refused) == ("E0870", 7)


def test_cordon_leaves_a_node_out_that_only_the_node_knows_to_be_out(ports, half):
    elsewhere = Service("mac-01", ServiceState.DRAINED, "moved", "bob", token=int(1.8e12))
    half.services["mac-01"] = elsewhere
    assert cordon(ONE, "to be re-imaged", ports) == elsewhere
    with pytest.raises(MacfleetError) as refused:
        uncordon(ONE, ports)
    assert code(refused) == ("E0870", 7)
    assert half.calls == []


def test_uncordon_takes_a_cordon_back_that_another_store_gave(ports, half):
    half.services["mac-01"] = Service("mac-01", ServiceState.CORDONED, "moved", "bob", token=5)
    assert uncordon(ONE, ports).state is ServiceState.ACTIVE
    assert half.services["mac-01"].state is ServiceState.ACTIVE


def _with_sleep(clock, sleep):
    class Clock:
        now = clock.now
        monotonic = clock.monotonic

    Clock.sleep = staticmethod(sleep)
    return Clock()
