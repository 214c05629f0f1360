"""What the guard lets out: budgets, force with its record, and the words of a refusal."""

import threading

import pytest

from macfleet.executors.threads import ThreadExecutor
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain import drain
from macfleet.rollout.drain_admit import Wish
from macfleet.rollout.drain_back import undrain
from macfleet.rollout.drain_guard import Capacity, refusal
from macfleet.rollout.drain_ports import DrainPorts
from macfleet.rollout.drain_state import Service, ServiceState
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeHalf, PatientClock, RecordingEvents

NODES = tuple(Node(f"mac-0{n}", Endpoint(f"mac-0{n}"), pool="chat", min_ready=1) for n in (1, 2, 3))
ONE, TWO, THREE = NODES


@pytest.fixture
def history():
    return []


@pytest.fixture
def ports(tmp_path, history):
    clock = PatientClock()
    state = SqlState(f"sqlite:///{tmp_path}/state.db", clock.now)
    yield DrainPorts(
        services=state.services,
        leases=state.leases,
        half=FakeHalf(),
        executor=ThreadExecutor(2),
        clock=clock,
        events=RecordingEvents(),
        pool_of=lambda _node: NODES,
        prove=lambda _node: (),
        holder="ana process 1",
        who="ana",
        record=lambda node, kind, detail: history.append((node, kind, dict(detail))),
    )
    state.close()


@pytest.mark.parametrize(
    ("serving", "out", "least", "budget", "code"),
    [
        ({"mac-01": True, "mac-02": True}, (), 1, None, None),
        ({"mac-01": True, "mac-02": False}, (), 1, None, "E0871"),
        ({"mac-01": False, "mac-02": False}, (), 1, None, None),
        ({"mac-01": True, "mac-02": True}, (), 2, None, "E0871"),
        ({"mac-01": True, "mac-02": True, "mac-03": False}, ("mac-03",), 1, 1, "E0880"),
        ({"mac-01": True, "mac-02": True, "mac-03": False}, ("mac-03",), 1, 2, None),
        ({"mac-01": True, "mac-02": True, "mac-03": False}, (), 1, 1, None),
        ({"mac-01": False, "mac-02": True}, ("mac-01",), 1, 1, None),
    ],
)
def test_who_may_leave(serving, out, least, budget, code):
    found = refusal(ONE, Capacity("chat", serving, least, frozenset(out)), budget)
    assert (found.code if found else None) == code


def test_outside_a_pool_nobody_is_kept():
    assert refusal(Node("solo", Endpoint("solo")), Capacity("", {"solo": True}, 1), 1) is None


def test_a_budget_lets_so_many_out_at_once_and_names_who_is(ports):
    drain(ONE, Wish(budget=1), ports)
    with pytest.raises(MacfleetError) as refused:
        drain(TWO, Wish(budget=1), ports)
    (problem,) = refused.value.diagnostics
    assert (problem.code, int(refused.value.exit_code)) == ("E0880", 7)
    assert problem.summary == "1 node of pool chat is out, and the budget is 1"
    assert "macfleet undrain mac-01" in problem.mend
    undrain(ONE, ports)
    assert drain(TWO, Wish(budget=1), ports).service.state is ServiceState.DRAINED


def test_one_command_that_drains_several_nodes_does_not_break_the_guard_either(ports):
    ports.half.before_look = lambda _node: threading.Event().wait(0.01)
    by_name = {node.name: node for node in NODES}
    answers = ThreadExecutor(3).each(tuple(by_name), lambda name: drain(by_name[name], Wish(), ports))
    refused = [answer for answer in answers.values() if isinstance(answer, MacfleetError)]
    assert [error.diagnostics[0].code for error in refused] == ["E0871"]


def test_force_takes_the_last_node_out_and_is_recorded_with_what_it_overrode(ports, history):
    drain(ONE, Wish(), ports)
    drain(TWO, Wish(), ports)
    history.clear()
    done = drain(THREE, Wish("the room is on fire", force=True), ports)
    assert done.service.state is ServiceState.DRAINED
    assert history == [
        (
            "mac-03",
            "drain.forced",
            {
                "who": "ana",
                "reason": "the room is on fire",
                "refusal": "pool chat would keep 0 of the 1 nodes it needs",
            },
        ),
        ("mac-03", "service.closed", {"who": "ana", "reason": "the room is on fire", "run": "", "cut": 0}),
    ]
    assert "drain.forced" in ports.events.kinds("mac-03")


def test_force_that_was_not_needed_is_not_recorded(ports, history):
    drain(ONE, Wish("noise", force=True), ports)
    assert [kind for _, kind, _ in history] == ["service.closed"]


def test_a_node_without_containers_is_opened_and_nothing_is_proven(ports):
    ports.half.empty = {"mac-01"}
    drain(ONE, Wish(), ports)
    ports.half.calls.clear()
    assert undrain(ONE, ports).state is ServiceState.ACTIVE
    assert ports.half.calls == [("mac-01", "drained"), ("mac-01", "start"), ("mac-01", "active")]


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (Service("a", ServiceState.DRAINED, "noise", "ana"), "drained · ana: noise"),
        (Service("a", ServiceState.DRAINED, who="ana"), "drained · ana"),
        (Service("a", ServiceState.CORDONED, "noise", failure="late"), "cordoned · noise · late"),
    ],
)
def test_a_state_in_words(service, words):
    assert service.words == words
