import threading

import pytest
from straight_line import Fleet, held_reasons, outcomes

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.resource import Action
from macfleet.model.stage import Outcome, StageName

LAYOUT, NETWORK, LOADTEST, CONTRACT = (
    StageName.LAYOUT,
    StageName.NETWORK,
    StageName.LOADTEST,
    StageName.CONTRACT,
)


def addresses(result, name):
    (found,) = [r for r in result.results if r.node == name]
    return [change.address for change in found.plan.pending]


def test_a_stage_changes_what_differs_and_a_second_run_finds_it_current(fleet):
    first = fleet.rollout(CONTRACT)
    assert (outcomes(first), first.exit_code) == ({"mac-01": "changed", "mac-02": "changed"}, 0)
    second = fleet.rollout(CONTRACT)
    assert (outcomes(second), second.exit_code) == ({"mac-01": "current", "mac-02": "current"}, 0)
    assert (second.run, len(fleet.runs.opened)) == ("", 1)


def test_planning_a_current_node_costs_one_exec(fleet):
    fleet.rollout(CONTRACT)
    scripts = fleet.macs.mac("mac-01").scripts
    scripts.clear()
    fleet.rollout(CONTRACT)
    assert len(scripts) == 1


def test_only_the_node_that_was_changed_by_hand_is_mended(fleet):
    fleet.upto(NETWORK)
    (fleet.home("mac-02") / "compose.yaml").write_text("edited\n")
    result = fleet.rollout(LAYOUT)
    assert outcomes(result) == {"mac-01": "current", "mac-02": "changed"}
    assert (fleet.home("mac-02") / "compose.yaml").read_text() == "mode: bridge\n"
    assert fleet.gateway.calls == ["drain mac-02", "undrain mac-02"]


def test_a_check_shows_exactly_what_differs_and_touches_nothing(fleet):
    fleet.upto(NETWORK)
    (fleet.home("mac-02") / "layout").unlink()
    (fleet.home("mac-02") / "compose.yaml").write_text("edited\n")
    before = (len(fleet.evidences.records), len(fleet.journal.notes), list(fleet.gateway.calls))
    result = fleet.rollout(LAYOUT, check=True)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "current", "mac-02": "pending"}, 3)
    assert addresses(result, "mac-02") == ["command.layout", f"file.{fleet.home('mac-02')}/compose.yaml"]
    assert not (fleet.home("mac-02") / "layout").exists()
    assert (fleet.home("mac-02") / "compose.yaml").read_text() == "edited\n"
    assert (len(fleet.evidences.records), len(fleet.journal.notes), list(fleet.gateway.calls)) == before
    assert result.run == ""


def test_a_check_of_a_measuring_stage_measures_nothing(fleet):
    fleet.upto(NETWORK)
    result = fleet.rollout(NETWORK, check=True)
    assert result.exit_code == 3
    assert not (fleet.home("mac-01") / "up.8080").exists()
    assert fleet.load.together == {}


def test_a_check_shows_the_plan_and_the_refusal(fleet):
    fleet.upto(LAYOUT)
    fleet.evidences.records.clear()
    result = fleet.rollout(LAYOUT, check=True)
    assert result.exit_code == 7
    assert addresses(result, "mac-01")
    assert held_reasons(result, "mac-01")[0] == (
        "predecessor",
        "stage 1 (contract) has no evidence on this node",
        "macfleet rollout stage1 -l mac-01",
    )


def test_an_unreachable_node_is_named_while_the_others_finish(fleet):
    fleet.macs.mac("mac-01").reachable = False
    result = fleet.rollout(CONTRACT)
    assert outcomes(result) == {"mac-01": "unreachable", "mac-02": "changed"}
    assert result.exit_code == 5
    assert [d.code for d in result.results[0].diagnostics] == ["E0401"]
    assert fleet.journal.unsettled(result.run) == ("mac-01",)
    assert fleet.journal.ended[result.run] == "5"


def test_a_node_that_goes_away_while_it_is_changed_is_unreachable_not_failed(fleet):
    mac = fleet.macs.mac("mac-01")

    def unplug(script):
        mac.reachable = "mkdir" not in script or "lock" not in script

    mac.before = unplug
    result = fleet.rollout(CONTRACT)
    assert outcomes(result) == {"mac-01": "unreachable", "mac-02": "changed"}
    assert result.results[0].plan is not None


def test_resuming_works_only_on_the_nodes_that_are_left(fleet):
    fleet.macs.mac("mac-01").reachable = False
    first = fleet.rollout(CONTRACT)
    fleet.macs.mac("mac-01").reachable = True
    left = fleet.journal.unsettled(first.run)
    fleet.macs.mac("mac-02").scripts.clear()
    second = fleet.rollout(CONTRACT, *left, resume=first.run)
    assert (outcomes(second), second.exit_code) == ({"mac-01": "changed"}, 0)
    assert fleet.macs.mac("mac-02").scripts == []
    assert fleet.journal.unsettled(first.run) == ()


def test_a_resumed_run_takes_over_the_lock_it_left_behind(fleet):
    """The connection broke while the node was locked: nobody could release the lock."""
    mac = fleet.macs.mac("mac-01")

    def unplug(script):
        mac.reachable = "echo done" not in script

    mac.before = unplug
    first = fleet.rollout(CONTRACT, "mac-01")
    assert outcomes(first) == {"mac-01": "unreachable"}
    lock = mac.home / ".macfleet/lock/holder"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(f"{first.run}\nops@desk\nnow\n")  # as a broken connection leaves it
    mac.before = lambda _script: setattr(mac, "reachable", True)
    assert outcomes(fleet.rollout(CONTRACT, "mac-01")) == {"mac-01": "locked"}
    second = fleet.rollout(CONTRACT, "mac-01", resume=first.run)
    assert outcomes(second) == {"mac-01": "changed"}
    assert not lock.exists()


def test_a_lock_held_by_another_run_is_exit_6_and_says_who(fleet):
    lock = fleet.home("mac-01") / ".macfleet/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text("run-9\nann@desk\n2026-01-01\n")
    result = fleet.rollout(CONTRACT)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "locked", "mac-02": "changed"}, 6)
    assert "run-9" in result.results[0].diagnostics[0].summary
    assert fleet.journal.unsettled(result.run) == ("mac-01",)


def test_a_gate_that_holds_leaves_the_node_drained_and_records_why(fleet):
    fleet.upto(LAYOUT)
    fleet.load.problems["mac-01/container"] = ("no usage in the last chunk",)
    result = fleet.rollout(LAYOUT)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "held", "mac-02": "changed"}, 7)
    assert list(fleet.gateway.out) == ["mac-01"]
    record = fleet.evidences.latest("mac-01", LAYOUT)
    assert record.outcome is Outcome.HOLD
    assert "no usage in the last chunk" in record.verdicts[-1].reasons[0]
    assert fleet.journal.unsettled(result.run) == ("mac-01",)


def test_a_held_node_is_looked_at_again_without_a_change_to_make(fleet):
    fleet.load.problems["mac-01/bare"] = ("404",)
    fleet.rollout(CONTRACT)
    fleet.load.problems.clear()
    result = fleet.rollout(CONTRACT)
    assert outcomes(result) == {"mac-01": "unchanged", "mac-02": "current"}


def test_a_gate_for_an_arm_the_node_does_not_have_is_not_applicable(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", arms=())
    result = fleet.rollout(CONTRACT)
    assert [(v.gate, str(v.outcome)) for v in result.results[0].verdicts] == [
        ("contract_frozen", "pass"),
        ("routes_answer", "not applicable"),
    ]
    assert result.exit_code == 0
    assert fleet.load.probed == []


@pytest.mark.parametrize(
    ("head", "bad", "limit", "not_reached"),
    [
        ("strategy: {batch: 1}\n  max_failures: 2", ("n1", "n2"), "", ["n3", "n4"]),
        ("strategy: {batch: 1}\n  max_failures: 2", ("n1",), "", []),
        ("strategy: {batch: 1}\n  max_failures: 50%", ("n1", "n3"), "", ["n4"]),
        ("strategy: {batch: 1}\n  max_failures: 3", ("n1",), "1", ["n2", "n3", "n4"]),
        ("strategy: {batch: 1}", ("n1", "n2", "n3"), "", []),
        ("strategy: {canary: 1}\n  max_failures: 1", ("n1",), "", ["n2", "n3", "n4"]),
        ("strategy: {batch: 2}\n  max_failures: 1", ("n1",), "", ["n3", "n4"]),
    ],
)
def test_the_stage_stops_when_its_failure_budget_is_met(tmp_path, head, bad, limit, not_reached):
    fleet = Fleet.make(tmp_path, "n1", "n2", "n3", "n4")
    fleet.use(CONTRACT, head)
    for name in bad:
        fleet.macs.mac(name).reachable = False
    result = fleet.rollout(CONTRACT, max_failures=limit)
    found = outcomes(result)
    assert [name for name, outcome in found.items() if outcome == "not reached"] == not_reached
    told = [note for each in result.results if each.node in not_reached for note in each.notes]
    assert told == [f"{len(bad)} failed or did not answer: max_failures is met"] * len(not_reached)
    assert [name for name, outcome in found.items() if outcome == "unreachable"] == list(bad)
    done = [name for name in found if name not in (*bad, *not_reached)]
    assert fleet.marked(CONTRACT) == done
    assert set(fleet.journal.unsettled(result.run)) == {*bad, *not_reached}


def test_nodes_of_one_hardware_are_never_measured_at_the_same_time(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", "mac-02", "mac-03", hardware="studio").upto(NETWORK)
    result = fleet.rollout(NETWORK)
    assert result.exit_code == 0
    assert fleet.load.together == {"studio": 1}


def test_nodes_of_different_hardware_are_measured_side_by_side(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", "mac-02").upto(NETWORK)
    meeting = threading.Barrier(2, timeout=20)
    once = threading.local()

    def meet():
        if not getattr(once, "met", False):
            once.met = True
            meeting.wait()

    fleet.load.pause = meet
    assert fleet.rollout(NETWORK).exit_code == 0


def test_a_step_that_fails_is_exit_4_and_the_stage_counts_as_failed_afterwards(fleet):
    fleet.upto(NETWORK)
    (fleet.home("mac-01") / "compose.yaml").unlink()
    (fleet.home("mac-01") / "compose.yaml").mkdir()
    result = fleet.rollout(LAYOUT)
    assert (outcomes(result)["mac-01"], result.exit_code) == ("failed", 4)
    following = fleet.rollout(NETWORK, "mac-01")
    assert held_reasons(following, "mac-01")[0][:2] == ("predecessor", "stage 3 (layout) ended with fail")


def test_a_bug_in_the_code_is_not_taken_for_a_failed_node(fleet):
    fleet.macs.mac("mac-01").before = lambda _script: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fleet.rollout(CONTRACT)


@pytest.mark.parametrize(
    ("head", "more"),
    [
        ("", "    - name: x\n      command: {run: '{{ nothing }}', creates: /x}\n"),
        ("gates: [contract_frosen: {}]", ""),
        ("gates: [routes_answer: {arm: bear}]", ""),
    ],
)
def test_what_the_fleet_folder_has_wrong_stops_before_any_node_is_asked(fleet, head, more):
    fleet.use(CONTRACT, head, more)
    with pytest.raises(MacfleetError) as caught:
        fleet.rollout(CONTRACT)
    assert caught.value.exit_code is ExitCode.USAGE
    assert fleet.macs.opened["mac-01"].scripts == []


def test_what_the_site_playbook_has_wrong_is_wrong_usage_not_a_failed_node(fleet):
    fleet.use(StageName.PROVISION, more="    - name: x\n      command: {run: '{{ nothing }}', creates: /x}\n")
    with pytest.raises(MacfleetError) as caught:
        fleet.rollout(CONTRACT)
    assert caught.value.exit_code is ExitCode.USAGE
    assert {d.node for d in caught.value.diagnostics} == {"mac-01", "mac-02"}
    assert fleet.runs.opened == {}


def test_an_applied_change_is_journalled_before_it_is_made(fleet):
    result = fleet.rollout(CONTRACT, "mac-01")
    assert (result.run, "mac-01", "change.sent", {"address": "command.contract", "action": "create"}) in (
        fleet.journal.notes
    )
    assert fleet.events.kinds("mac-01") == (
        "node.planned",
        "change.started",
        "change.done",
        "gate.judged",
        "node.settled",
    )


def test_the_run_folder_holds_plan_facts_and_verdicts_of_every_node(fleet):
    result = fleet.rollout(CONTRACT)
    run = fleet.runs.opened[result.run]
    assert set(run.files) == {
        "plan.json",
        "nodes/mac-01/facts.json",
        "nodes/mac-01/log.txt",
        "nodes/mac-02/facts.json",
        "nodes/mac-02/log.txt",
        "verdicts.json",
        "results.json",
    }
    facts = run.files["nodes/mac-01/facts.json"]
    assert (facts["versions"]["macos"], facts["facts"]["system"]["chip"]) == ("15.5", "Apple M4")
    assert run.files["plan.json"]["plans"][0]["pending"][0]["action"] == Action.CREATE
    manifest = run.sealed
    assert (manifest.kind, manifest.stage, manifest.nodes) == ("rollout", "contract", ("mac-01", "mac-02"))
    assert (manifest.contract, manifest.who, manifest.git_dirty) == (
        fleet.desired.contract.hash,
        "ops@desk",
        True,
    )


def test_a_measurement_that_fails_is_that_nodes_failure_alone(fleet):
    fleet.upto(LOADTEST)
    problem = Diagnostic("E0700", "the client died", exit_code=ExitCode.NODE_FAILED)
    fleet.load.failing["mac-01"] = MacfleetError(problem)
    result = fleet.rollout(LOADTEST)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "failed", "mac-02": "changed"}, 4)
    for arm in ("8080", "8081"):  # every engine runs again, also where the measurement failed
        assert (fleet.home("mac-01") / f"up.{arm}").exists()


def test_a_canary_that_fails_at_its_work_stops_the_waves_after_it(fleet):
    fleet.use(CONTRACT, "strategy: {canary: 1}")
    (fleet.home("mac-01") / "contract").mkdir(parents=True)
    result = fleet.rollout(CONTRACT)
    assert outcomes(result) == {"mac-01": "failed", "mac-02": "not reached"}
    assert result.results[1].notes == ("the canary spoke against it: mac-01",)


def test_a_canary_that_does_not_answer_says_nothing_about_the_change(fleet):
    fleet.use(CONTRACT, "strategy: {canary: 1}")
    fleet.macs.mac("mac-01").reachable = False
    result = fleet.rollout(CONTRACT)
    assert outcomes(result) == {"mac-01": "unreachable", "mac-02": "changed"}
