import json

import pytest
from straight_line import outcomes

from macfleet.cli.saved_plan import is_saved_plan, read_plan, save_plan
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.stage import StageName

LAYOUT, NETWORK = StageName.LAYOUT, StageName.NETWORK


@pytest.fixture
def changed(fleet):
    """Both nodes differ from stage 3 in one file."""
    fleet.upto(NETWORK)
    for name in ("mac-01", "mac-02"):
        (fleet.home(name) / "compose.yaml").write_text("edited\n")
    return fleet


def saved(fleet, tmp_path):
    path = tmp_path / "layout.plan"
    save_plan(path, "playbooks/stage3-layout.yml", fleet.rollout(LAYOUT, check=True), (), ("x",))
    return path


def test_a_saved_plan_that_still_fits_is_carried_out(changed, tmp_path):
    plan = read_plan(saved(changed, tmp_path))
    assert (plan.stage, plan.playbook) == (LAYOUT, "playbooks/stage3-layout.yml")
    assert (sorted(plan.digests), plan.only_tags, plan.skip_tags) == (["mac-01", "mac-02"], (), ("x",))
    result = changed.rollout(LAYOUT, saved=plan.digests)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "changed", "mac-02": "changed"}, 0)


def test_a_saved_plan_that_no_longer_fits_is_refused_for_that_node_alone(changed, tmp_path):
    digests = read_plan(saved(changed, tmp_path)).digests
    (changed.home("mac-02") / "layout").unlink()
    result = changed.rollout(LAYOUT, saved=digests)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "changed", "mac-02": "failed"}, 4)
    assert (changed.home("mac-02") / "compose.yaml").read_text() == "edited\n"
    (refused,) = [r for r in result.results if r.node == "mac-02"]
    assert [d.code for d in refused.diagnostics] == ["E0515"]


def test_saving_the_same_plan_twice_gives_the_same_bytes(changed, tmp_path):
    first = saved(changed, tmp_path).read_bytes()
    assert saved(changed, tmp_path).read_bytes() == first


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("", False),
        ("[]", False),
        ('{"kind": "other"}', False),
        ('{"kind": "saved-plan"}', True),
    ],
)
def test_only_a_file_that_says_so_is_a_saved_plan(tmp_path, text, plan):
    path = tmp_path / "some.plan"
    path.write_text(text)
    assert is_saved_plan(path) is plan


@pytest.mark.parametrize("plans", [None, [{}], [{"node": "mac-01"}], 7])
def test_a_damaged_plan_is_refused_with_the_command_that_makes_it_anew(tmp_path, plans):
    path = tmp_path / "some.plan"
    path.write_text(json.dumps({"kind": "saved-plan", "stage": "layout", "playbook": "x", "plans": plans}))
    with pytest.raises(MacfleetError) as caught:
        read_plan(path)
    assert caught.value.diagnostics[0].code == "E0117"
    assert "macfleet plan" in caught.value.diagnostics[0].mend
