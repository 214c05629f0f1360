"""Nodes leave service for the work of a stage: who does, in which turns, and what becomes of each."""

import itertools
import re
from dataclasses import replace

import pytest
from straight_line import Fleet, outcomes

from macfleet.executors.threads import ThreadExecutor
from macfleet.gateway.node_gateway import NodeHalfGateway
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.gateway import Absence
from macfleet.model.load import Vantage
from macfleet.model.resource import Action, Change, Plan
from macfleet.model.stage import StageName
from macfleet.rollout.drain_guard import out_already
from macfleet.rollout.drain_ports import DrainPorts
from macfleet.rollout.result import NodeOutcome, NodeResult
from macfleet.rollout.service import leaves
from macfleet.rollout.turns import in_turns
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeHalf, PatientClock
from macfleet.testing.load import FakePings

CONTRACT, LAYOUT, NETWORK, LOADTEST = (
    StageName.CONTRACT,
    StageName.LAYOUT,
    StageName.NETWORK,
    StageName.LOADTEST,
)
ENTRY = 18080
BY_ANA = Absence("drained · ana: fan noise", "fan noise")


def guard(name="mac-01"):
    return MacfleetError(
        Diagnostic("E0871", "pool chat would keep 0 of 1", node=name, exit_code=ExitCode.HELD)
    )


def left_by(stage):
    return Absence(f"drained · ana: rollout {stage}", f"rollout {stage}: ticket 7", resumable=True)


def result_of(found, name):
    return next(result for result in found.results if result.node == name)


def edit(fleet, name):
    (fleet.home(name) / "compose.yaml").write_text("edited\n")


@pytest.mark.parametrize("stage", [NETWORK, LOADTEST])
def test_a_node_that_is_measured_leaves_service_changed_or_not(fleet, stage):
    fleet.upto(stage)
    (fleet.home("mac-01") / stage.value).write_text("done\n")
    fleet.rollout(stage, "mac-01")
    assert fleet.gateway.calls == ["drain mac-01", "undrain mac-01"]


def test_a_node_without_a_change_stays_in_service(fleet):
    fleet.upto(NETWORK)
    fleet.evidences.records.pop()
    assert outcomes(fleet.rollout(LAYOUT))["mac-02"] == "unchanged"
    assert fleet.gateway.calls == []


def test_a_stage_that_does_not_drain_leaves_service_alone_and_tells_who_is_out(fleet):
    fleet.gateway.out["mac-01"] = BY_ANA
    found = fleet.rollout(CONTRACT)
    assert outcomes(found) == {"mac-01": "changed", "mac-02": "changed"}
    assert fleet.gateway.calls == []
    assert result_of(found, "mac-01").notes == ("out of service all along: drained · ana: fan noise",)


def test_gates_ask_a_node_at_the_entry_it_has_while_it_is_out(fleet):
    fleet.upto(LAYOUT)
    fleet.gateway.entry = ENTRY
    fleet.rollout(LAYOUT, "mac-01")
    report = fleet.evidences.latest("mac-01", LAYOUT).evidence
    (asked,) = [
        value["base_url"] for value in report.values() if isinstance(value, dict) and "base_url" in value
    ]
    assert asked == "http://127.0.0.1:18080"


def test_the_load_client_asks_the_container_at_the_entry_and_the_bare_engine_where_it_is(fleet):
    fleet.upto(LOADTEST)
    fleet.gateway.entry = ENTRY
    fleet.macs.mac("mac-01").programs["curl"] = _at(ENTRY)
    assert fleet.rollout(LOADTEST, "mac-01").exit_code == 0
    asked = {(spec.arm, spec.base_url) for _, spec in fleet.load.measured}
    assert asked == {("container", "http://127.0.0.1:18080"), ("bare", "http://127.0.0.1:8081")}


def test_the_network_is_measured_at_the_entry_but_for_the_client_in_the_container(fleet):
    fleet.upto(NETWORK)
    fleet.gateway.entry = ENTRY
    fleet.macs.mac("mac-01").programs["curl"] = _at(ENTRY)
    urls = {}
    ping = fleet.load.ping

    def recorded(node, vantage, url, **options):
        urls.setdefault(vantage, set()).add(url)
        return ping(node, vantage, url, **options)

    class Load:
        measure, probe = fleet.load.measure, fleet.load.probe

    Load.ping = staticmethod(recorded)
    fleet.load = Load
    assert fleet.rollout(NETWORK, "mac-01").exit_code == 0
    assert urls == {
        Vantage.IN_CONTAINER: {"http://127.0.0.1:8080/health"},
        Vantage.NODE_LOOPBACK: {"http://127.0.0.1:18080/health"},
        Vantage.CLIENT: {"http://127.0.0.1:18080/health"},
    }


def test_the_compose_file_of_a_proof_publishes_the_port_and_not_the_entry(fleet):
    more = '\n    - name: compose\n      file: {path: "{{ compose_file }}", content: "port: {{ engine_port }}\\n"}\n'
    fleet.use(LAYOUT, more=more)
    fleet.upto(NETWORK)
    fleet.gateway.entry = ENTRY
    fleet.macs.mac("mac-01").programs["curl"] = _at(ENTRY)
    fleet.rollout(NETWORK, "mac-01")
    assert (fleet.home("mac-01") / "proof/compose.yaml").read_text() == "port: 8080\n"


@pytest.mark.parametrize(
    ("trouble", "outcome", "why"),
    [
        ("gate", "held", "leave mac-01: routes_answer held: /v1/chat/completions streamed: 404"),
        ("step", "failed", "leave mac-01: the plan no longer fits file."),
        ("connection", "unreachable", "leave mac-01: no answer"),
    ],
)
def test_a_node_whose_work_does_not_end_well_stays_out_with_the_reason_and_its_notes(
    fleet, trouble, outcome, why
):
    fleet.upto(NETWORK)
    edit(fleet, "mac-01")
    if trouble == "gate":
        fleet.load.problems["mac-01/container"] = ("404",)
    mac = fleet.macs.mac("mac-01")
    if trouble == "step":
        mac.before = lambda _script: (
            (mac.home / "compose.yaml").write_text("again") if "drain mac-01" in fleet.gateway.calls else None
        )
    if trouble == "connection":
        mac.before = lambda _script: setattr(mac, "reachable", "drain mac-01" not in fleet.gateway.calls)
    found = fleet.rollout(LAYOUT)
    assert outcomes(found)["mac-01"] == outcome
    assert fleet.gateway.calls[0] == "drain mac-01"
    assert fleet.gateway.calls[-1].startswith(why)
    result = result_of(found, "mac-01")
    assert result.out
    assert result.notes == ("drained", "stays out of service")


@pytest.mark.parametrize(
    ("failure", "last"), [("", "undrain mac-01"), ("routes: 404", "leave mac-01: network_")]
)
def test_figures_that_do_not_count_keep_no_node_out_that_was_sound_before(fleet, failure, last):
    fleet.upto(NETWORK)
    (fleet.home("mac-01") / "network").write_text("done\n")
    if failure:
        fleet.gateway.out["mac-01"] = replace(left_by(LAYOUT), failure=failure)
    fleet.load.pings = {("bridge", Vantage.CLIENT, True): FakePings((1.0,) * 9, errors=1)}
    found = fleet.rollout(NETWORK, "mac-01")
    assert outcomes(found) == {"mac-01": "held"}
    assert fleet.gateway.calls[-1].startswith(last)
    assert result_of(found, "mac-01").out == bool(failure)


@pytest.mark.parametrize(
    ("stage", "changes", "last"),
    [
        (NETWORK, False, "undrain mac-01"),
        (NETWORK, True, "leave mac-01: "),
        (LOADTEST, False, "undrain mac-01"),
        (LAYOUT, True, "leave mac-01: "),
    ],
)
def test_a_stop_while_a_node_is_out_is_no_evidence_and_leaves_out_what_was_being_changed(
    fleet, stage, changes, last
):
    fleet.upto(stage)
    if not changes:
        (fleet.home("mac-01") / stage.value).write_text("done\n")
    before = len(fleet.evidences.records)
    fleet.stop = lambda: "drain mac-01" in fleet.gateway.calls
    found = fleet.rollout(stage, "mac-01")
    assert (outcomes(found), found.exit_code) == ({"mac-01": "interrupted"}, 130)
    assert fleet.gateway.calls[-1].startswith(last)
    assert len(fleet.evidences.records) == before


def test_a_load_client_that_the_stop_ended_keeps_no_node_out(fleet):
    fleet.upto(LOADTEST)
    (fleet.home("mac-01") / "loadtest").write_text("done\n")
    ended = Diagnostic("E0905", "the load client ended with status 255", exit_code=ExitCode.NODE_FAILED)
    fleet.load.failing["mac-01"] = MacfleetError(ended)
    fleet.stop = lambda: bool(fleet.load.measured)
    found = fleet.rollout(LOADTEST, "mac-01")
    assert outcomes(found) == {"mac-01": "interrupted"}
    assert fleet.gateway.calls == ["drain mac-01", "undrain mac-01"]
    assert fleet.evidences.latest("mac-01", LOADTEST) is None


def test_a_node_whose_lock_another_run_holds_was_not_touched_and_comes_back(fleet):
    fleet.upto(NETWORK)
    edit(fleet, "mac-01")
    lock = fleet.home("mac-01") / ".macfleet/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text("run-9\nann@desk\n2026-01-01\n")
    found = fleet.rollout(LAYOUT)
    assert outcomes(found)["mac-01"] == "locked"
    assert fleet.gateway.calls == ["drain mac-01", "undrain mac-01"]


def test_a_node_that_cannot_come_back_is_not_said_to_be_done(fleet):
    fleet.upto(LAYOUT)

    broken = Diagnostic("E0875", "a route is broken", exit_code=ExitCode.HELD)
    fleet.gateway.stuck["mac-01"] = MacfleetError(broken)
    found = fleet.rollout(LAYOUT, "mac-01")
    assert (outcomes(found), found.exit_code) == ({"mac-01": "held"}, 7)
    assert result_of(found, "mac-01").out
    assert fleet.journal.unsettled(found.run) == ("mac-01",)


def test_nodes_the_guard_refuses_while_others_are_out_get_another_turn(tmp_path):
    fleet = Fleet.make(tmp_path, "n1", "n2", "n3", pool="chat", min_ready=1).upto(LAYOUT)
    fleet.gateway.refusing = {"n2": [guard("n2")], "n3": [guard("n3"), guard("n3")]}
    fleet.events.seen.clear()
    found = fleet.rollout(LAYOUT)
    assert outcomes(found) == dict.fromkeys(("n1", "n2", "n3"), "changed")
    calls = fleet.gateway.calls
    assert calls.index("drain n2") > calls.index("undrain n1")
    assert calls.index("drain n3") > calls.index("undrain n2")
    assert fleet.journal.unsettled(found.run) == ()
    assert [kind for kind in fleet.events.kinds("n3") if kind == "node.settled"] == ["node.settled"]


def test_a_node_the_guard_refuses_for_good_is_held_and_the_others_are_done(tmp_path):
    fleet = Fleet.make(tmp_path, "n1", "n2", pool="chat", min_ready=2).upto(LAYOUT)
    fleet.gateway.refusing = {"n2": [guard("n2")] * 9}
    found = fleet.rollout(LAYOUT)
    assert (outcomes(found), found.exit_code) == ({"n1": "changed", "n2": "held"}, 7)
    assert fleet.gateway.calls.count("refuse n2") == 2
    assert fleet.journal.unsettled(found.run) == ("n2",)
    assert fleet.events.kinds("n2")[-1] == "node.settled"


def test_a_node_a_rollout_left_out_is_worked_on_again_without_a_change_and_comes_back(fleet):
    fleet.upto(LAYOUT)
    fleet.load.problems["mac-01/container"] = ("404",)
    fleet.rollout(LAYOUT)
    fleet.load.problems.clear()
    fleet.gateway.calls.clear()
    found = fleet.rollout(LAYOUT)
    assert outcomes(found) == {"mac-01": "unchanged", "mac-02": "current"}
    assert fleet.gateway.calls == ["drain mac-01", "undrain mac-01"]


@pytest.mark.parametrize(("stage", "comes_back"), [(LAYOUT, True), (LOADTEST, False)])
def test_a_current_node_comes_back_when_this_stage_left_it_out_and_was_cut_off(fleet, stage, comes_back):
    """A gate of a later stage may have held it, and that is not mended by an earlier one."""
    fleet.upto(NETWORK)
    fleet.gateway.out["mac-01"] = left_by(stage)
    found = fleet.rollout(LAYOUT, resume="cut-off")
    assert outcomes(found) == {"mac-01": "current", "mac-02": "current"}
    assert fleet.gateway.calls == (["undrain mac-01"] if comes_back else [])
    assert fleet.journal.settled["cut-off", "mac-01"] == "ok"


def test_a_check_says_that_a_node_a_person_took_out_would_be_refused_and_moves_nothing(fleet):
    fleet.upto(NETWORK)
    edit(fleet, "mac-01")
    fleet.gateway.out["mac-01"] = BY_ANA
    found = fleet.rollout(LAYOUT, check=True)
    assert (outcomes(found)["mac-01"], found.exit_code) == ("held", 7)
    (problem,) = result_of(found, "mac-01").diagnostics
    assert (problem.code, "ana: fan noise" in problem.why) == ("E0877", True)
    assert fleet.gateway.calls == []


def test_a_canary_that_a_person_took_out_says_nothing_about_the_change(tmp_path):
    fleet = Fleet.make(tmp_path, "n1", "n2").upto(LAYOUT)
    fleet.use(LAYOUT, "strategy: {canary: 1, drain: true}")
    fleet.gateway.refusing = {"n1": [MacfleetError(out_already(fleet.nodes[0], "drained · ana"))]}
    assert outcomes(fleet.rollout(LAYOUT)) == {"n1": "held", "n2": "changed"}


def change(**fields):
    return Change("colima_instance.default", Action.UPDATE, **fields)


@pytest.mark.parametrize(
    ("stage", "changes", "absence", "expected"),
    [
        (LAYOUT, (change(),), None, True),
        (LAYOUT, (change(),), BY_ANA, True),
        (LAYOUT, (), None, False),
        (LAYOUT, (), BY_ANA, False),
        (LAYOUT, (), left_by(LOADTEST), True),
        (LAYOUT, (change(), change(blocked="the disk would shrink")), None, False),
        (NETWORK, (), None, True),
        (CONTRACT, (change(),), left_by(LAYOUT), False),
    ],
)
def test_who_leaves_service(fleet, stage, changes, absence, expected):
    assert leaves(fleet.desired.playbooks[stage], Plan("mac-01", changes), absence) is expected


def test_a_pool_of_two_that_must_keep_one_goes_one_after_the_other(tmp_path):
    fleet = Fleet.make(tmp_path, "n1", "n2", pool="chat", min_ready=1).upto(LAYOUT)
    fleet.clock = PatientClock()
    half = FakeHalf()
    most = []
    half.before_look = lambda _node: most.append(sum(each.closed for each in half.services.values()))
    state = SqlState(f"sqlite:///{tmp_path}/state.db", fleet.clock.now)
    ports = DrainPorts(
        services=state.services,
        leases=state.leases,
        half=half,
        executor=ThreadExecutor(2),
        clock=fleet.clock,
        events=fleet.events,
        pool_of=lambda _node: fleet.nodes,
        prove=lambda _node: (),
        holder="ana process 1",
        who="ana",
    )
    fleet.gateway = NodeHalfGateway(state.services, lambda: ports)
    found = fleet.rollout(LAYOUT)
    assert (outcomes(found), found.exit_code) == ({"n1": "changed", "n2": "changed"}, 0)
    assert max(most) == 1
    for result in found.results:
        # One clock for both: waiting for the pool's lease may add to it.
        drained, back = result.notes
        assert re.fullmatch(r"drained in ([\d.]+ s|\d+ min \d+ s), nothing in flight", drained)
        assert back.startswith("back in service after")
        assert not state.services.service(result.node).closed
    state.close()


def test_turns_end_when_nobody_came_back():
    pools = dict.fromkeys("abc", "chat")
    rounds = []

    def work(names):
        rounds.append(tuple(names))
        ok = NodeResult(names[0], NodeOutcome.CHANGED)
        held = (NodeResult(n, NodeOutcome.HELD, diagnostics=guard(n).diagnostics) for n in names[1:])
        found = {result.node: result for result in itertools.chain([ok], held)}
        if "a" not in names:
            found[names[0]] = NodeResult(names[0], NodeOutcome.FAILED)
        return found

    done = in_turns("abc", pools, work)
    assert rounds == [("a", "b", "c"), ("b", "c")]
    assert {name: str(result.outcome) for name, result in done.items()} == {
        "a": "changed",
        "b": "failed",
        "c": "held",
    }


def _at(port):
    """Return a curl that reaches the container at another port than its own."""
    return (
        'for url in "$@"; do :; done; port=${url##*:}; port=${port%%/*}; '
        f'[ "$port" = {port} ] && port=8080; [ -f "$HOME/up.$port" ]'
    )
