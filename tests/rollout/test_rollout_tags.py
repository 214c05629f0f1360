"""A part of a stage: applied, shown, judged by no gate and never taken for the whole."""

import pytest

from macfleet.cli.tags import chosen_tags, in_part
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.stage import Outcome, StageName
from macfleet.playbooks import TagChoice
from macfleet.views.rollout import lines
from macfleet.views.rollout_document import document

LAYOUT, NETWORK = StageName.LAYOUT, StageName.NETWORK
TWO = """
    - name: compose
      tags: [files]
      file: {path: "{{ compose_file }}", content: "mode: {{ network.mode }}\\n"}
"""
FILES = TagChoice(only=frozenset({"files"}))


@pytest.fixture
def tagged(fleet):
    """Two nodes before stage 3, one of whose two tasks is tagged ``files``."""
    fleet.use(LAYOUT, more=TWO)
    return fleet.upto(LAYOUT)


def named(result, name):
    return next(each for each in result.results if each.node == name)


def test_only_the_tagged_tasks_act_and_no_gate_is_judged(tagged):
    result = tagged.rollout(LAYOUT, "mac-01", tags=FILES)
    assert named(result, "mac-01").changed == (f"file.{tagged.home('mac-01')}/compose.yaml",)
    assert tagged.marked(LAYOUT) == []
    assert ("mac-01", "container") not in tagged.load.probed  # what routes_answer would have asked
    assert (named(result, "mac-01").outcome, result.exit_code) == ("changed", 0)


def test_a_part_never_makes_the_stage_current_nor_opens_the_next(tagged):
    tagged.rollout(LAYOUT, "mac-01", tags=FILES)
    assert tagged.evidences.latest("mac-01", LAYOUT).outcome is Outcome.INCONCLUSIVE
    refused = tagged.rollout(NETWORK, "mac-01", check=True)
    assert refused.exit_code == 7
    whole = tagged.rollout(LAYOUT, "mac-01")
    assert named(whole, "mac-01").changed == ("command.layout",)
    assert tagged.evidences.latest("mac-01", LAYOUT).outcome is Outcome.PASS


def test_a_change_by_tag_voids_what_was_proven_before(tagged):
    tagged.rollout(LAYOUT)
    (tagged.home("mac-01") / "compose.yaml").write_text("edited\n")
    tagged.rollout(LAYOUT, tags=FILES)
    assert tagged.evidences.latest("mac-01", LAYOUT).outcome is Outcome.INCONCLUSIVE
    assert tagged.evidences.latest("mac-02", LAYOUT).outcome is Outcome.PASS  # nothing was changed there
    assert named(tagged.rollout(LAYOUT), "mac-01").outcome == "unchanged"  # judged anew, not current


def test_a_node_that_changes_by_tag_leaves_service_and_comes_back(tagged):
    tagged.rollout(LAYOUT)
    tagged.gateway.calls.clear()
    (tagged.home("mac-01") / "compose.yaml").write_text("edited\n")
    tagged.rollout(LAYOUT, tags=FILES)
    assert tagged.gateway.calls == ["drain mac-01", "undrain mac-01"]


def test_a_part_of_a_node_that_is_held_leaves_its_evidence_alone(tagged):
    tagged.rollout(LAYOUT)
    (tagged.home("mac-01") / "provision").unlink()
    (tagged.home("mac-01") / "compose.yaml").write_text("edited\n")
    result = tagged.rollout(LAYOUT, "mac-01", tags=FILES)
    assert (named(result, "mac-01").outcome, result.exit_code) == ("held", 7)
    assert tagged.evidences.latest("mac-01", LAYOUT).outcome is Outcome.PASS


def test_what_is_left_out_is_shown(tagged):
    playbook = tagged.desired.playbooks[LAYOUT]
    result = in_part(tagged.rollout(LAYOUT, tags=FILES), playbook, FILES)
    shown = list(lines(result, tagged.desired))
    assert shown[1:3] == [
        "A part (--tags files): 1 of 2 tasks left out: layout",
        "No gate is judged after it, and the stage does not become current",
    ]
    assert document(result)["part"] == {"asked": "--tags files", "left_out": ["layout"]}
    assert any("macfleet rollout stage3" in line for line in shown)


def test_a_whole_stage_says_nothing_of_parts(tagged):
    result = in_part(tagged.rollout(LAYOUT), tagged.desired.playbooks[LAYOUT], TagChoice())
    assert document(result)["part"] is None
    assert not any("left out" in line for line in lines(result, tagged.desired))


def test_a_stage_that_measures_has_no_parts(tagged):
    with pytest.raises(MacfleetError) as caught:
        chosen_tags(tagged.desired.playbooks[NETWORK], ("tagged",), ())
    assert [d.code for d in caught.value.diagnostics] == ["E0329"]
    assert chosen_tags(tagged.desired.playbooks[NETWORK], ("all",), ()).partial is False


def test_what_to_type_next_is_the_same_part(tagged):
    playbook = tagged.desired.playbooks[LAYOUT]
    tagged.macs.mac("mac-02").reachable = False
    checked = in_part(tagged.rollout(LAYOUT, check=True, tags=FILES), playbook, FILES)
    assert "Carry it out: macfleet rollout stage3 --tags files -l mac-01" in lines(checked, tagged.desired)
    left = in_part(tagged.rollout(LAYOUT, tags=FILES), playbook, FILES)
    assert any(f"stage3 --tags files --resume {left.run}" in line for line in lines(left, tagged.desired))
