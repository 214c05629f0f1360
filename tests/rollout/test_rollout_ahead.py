"""All stages asked together: one exec for a rollout that finds nothing to do."""

import pytest
from straight_line import outcomes

from macfleet.model.stage import StageName
from macfleet.rollout.ahead import look_ahead


@pytest.fixture
def settled(fleet):
    """Every stage has passed on both nodes."""
    fleet.rollout(StageName.PROVISION)
    fleet.upto(StageName.LOADTEST)
    assert fleet.rollout(StageName.LOADTEST).exit_code == 0
    for node in fleet.nodes:
        fleet.macs.mac(node.name).scripts.clear()
    return fleet


def look(fleet, *stages):
    return look_ahead(dict.fromkeys(stages or StageName, fleet.nodes), fleet.desired, fleet.ports())


def test_all_stages_with_nothing_to_do_cost_each_node_one_exec(settled):
    ahead = look(settled)
    for stage in StageName:
        found = settled.rollout(stage, ahead=ahead)
        assert outcomes(found) == {"mac-01": "current", "mac-02": "current"}
    assert [len(settled.macs.mac(node.name).scripts) for node in settled.nodes] == [1, 1]


def test_what_differs_is_found_in_the_answers_and_changed_after_a_second_look(settled):
    (settled.home("mac-02") / "compose.yaml").write_text("edited\n")
    found = settled.rollout(StageName.LAYOUT, ahead=look(settled))
    assert outcomes(found) == {"mac-01": "current", "mac-02": "changed"}
    assert (settled.home("mac-02") / "compose.yaml").read_text() == "mode: bridge\n"


def test_a_node_on_which_a_stage_has_not_passed_is_not_asked_ahead(fleet):
    fleet.rollout(StageName.PROVISION)
    before = len(fleet.macs.mac("mac-01").scripts)
    assert look(fleet) == {}
    assert len(fleet.macs.mac("mac-01").scripts) == before


def test_a_node_that_does_not_answer_is_left_to_its_stage(settled):
    settled.macs.mac("mac-01").reachable = False
    assert list(look(settled)) == ["mac-02"]
    assert outcomes(settled.rollout(StageName.CONTRACT, ahead=look(settled)))["mac-01"] == "unreachable"


def test_a_probe_that_was_not_asked_ahead_is_asked(settled):
    ahead = look(settled, StageName.CONTRACT, StageName.IMAGES)
    for node in settled.nodes:
        settled.macs.mac(node.name).scripts.clear()
    assert outcomes(settled.rollout(StageName.LAYOUT, ahead=ahead)) == {
        "mac-01": "current",
        "mac-02": "current",
    }
    assert len(settled.macs.mac("mac-01").scripts) == 1
