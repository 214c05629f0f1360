from dataclasses import replace

import pytest
from straight_line import outcomes

from macfleet.cli.saved_plan import SavedPlan, is_saved_plan, read_plan, save_plan, seen_of
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.resource import FieldChange
from macfleet.model.secret import Secret
from macfleet.model.stage import StageName
from macfleet.views.redaction import Redactor

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
    result = fleet.rollout(LAYOUT, check=True)
    seen = seen_of(result, result)
    save_plan(path, SavedPlan("main", LAYOUT, "playbooks/stage3-layout.yml", seen, (), ("x",)), result)
    return path


def refused(path):
    with pytest.raises(MacfleetError) as caught:
        read_plan(path)
    (found,) = caught.value.diagnostics
    return found


def test_a_saved_plan_that_still_fits_is_carried_out(changed, tmp_path):
    plan = read_plan(saved(changed, tmp_path))
    assert (plan.fleet, plan.stage, plan.playbook) == ("main", LAYOUT, "playbooks/stage3-layout.yml")
    assert (plan.nodes, plan.only_tags, plan.skip_tags) == (("mac-01", "mac-02"), (), ("x",))
    result = changed.rollout(LAYOUT, saved=plan.seen)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "changed", "mac-02": "changed"}, 0)


def test_a_saved_plan_that_no_longer_fits_is_refused_for_that_node_alone(changed, tmp_path):
    seen = read_plan(saved(changed, tmp_path)).seen
    (changed.home("mac-02") / "layout").unlink()
    result = changed.rollout(LAYOUT, saved=seen)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "changed", "mac-02": "failed"}, 4)
    assert (changed.home("mac-02") / "compose.yaml").read_text() == "edited\n"
    (found,) = problems(result, "mac-02")
    assert found.code == "E0515"
    assert "command.layout: then no change, now create" in found.why


def test_what_was_done_since_and_what_nobody_looked_at_is_said(changed, tmp_path):
    seen = read_plan(saved(changed, tmp_path)).seen
    assert changed.rollout(LAYOUT, "mac-01").exit_code == 0
    result = changed.rollout(LAYOUT, saved={"mac-01": seen["mac-01"]})
    assert [d.why for d in problems(result, "mac-01")] == ["Nothing is left to change."]
    assert [d.why for d in problems(result, "mac-02")] == [
        "The saved plan does not hold it, so nobody looked at what it needs."
    ]
    assert (changed.home("mac-02") / "compose.yaml").read_text() == "edited\n"


def test_a_playbook_that_was_edited_since_is_named_as_the_reason(changed, tmp_path):
    seen = read_plan(saved(changed, tmp_path)).seen
    changed.use(LAYOUT, more="    - command: {run: 'true', unless: 'true', id: more}\n")
    result = changed.rollout(LAYOUT, saved=seen)
    assert result.exit_code == 4
    (found,) = problems(result, "mac-01")
    assert found.why.startswith("Its playbook, a role, the inventory or a lock file was edited since.")


def problems(result, name):
    return next(each.diagnostics for each in result.results if each.node == name)


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


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda text: text[: len(text) // 2], "cut off or damaged"),
        (lambda text: text.replace('"schema": 2', '"schema": 1'), "saved by another version (schema 1;"),
        (lambda text: text.replace('"schema": 2', '"schema": 3'), "saved by another version (schema 3;"),
        (lambda text: text.replace('"mac-02"', '"mac-03"'), "edited after it was saved"),
        (lambda text: text.replace("compose.yaml", "compose.yml"), "edited after it was saved"),
        (lambda _: "[]", "saved by another version (schema None;"),
    ],
    ids=["cut", "older", "newer", "node", "change", "list"],
)
def test_a_plan_that_is_not_as_it_was_saved_is_refused_with_the_command_that_makes_it_anew(
    changed, tmp_path, edit, why
):
    path = saved(changed, tmp_path)
    path.write_text(edit(path.read_text()))
    found = refused(path)
    assert (found.code, found.exit_code) == ("E0117", 2)
    assert why in found.why
    assert "macfleet plan" in found.mend


def test_a_plan_of_no_node_is_refused_for_it_would_mean_all_of_them(changed, tmp_path):
    path = tmp_path / "none.plan"
    result = replace(changed.rollout(LAYOUT, check=True), results=())
    save_plan(path, SavedPlan("main", LAYOUT, "playbooks/stage3-layout.yml", {}), result)
    assert "holds no node" in refused(path).why


def test_secrets_that_were_taken_out_of_what_is_shown_leave_a_plan_that_still_fits(changed, tmp_path):
    whole = changed.rollout(LAYOUT, check=True)
    redactor = Redactor()
    redactor.learn(Secret("edited-and-planted"))
    planted = {r.node: replace(r, plan=planted_in(r.plan)) for r in whole.results}
    whole = replace(whole, results=tuple(planted.values()))
    shown = redactor.value(whole)
    path = tmp_path / "layout.plan"
    save_plan(path, SavedPlan("main", LAYOUT, "x", seen_of(shown, whole)), shown)
    assert "edited-and-planted" not in path.read_text()
    read = read_plan(path).seen
    assert all(read[name].fits(each.plan) for name, each in planted.items())


def planted_in(plan):
    first, *others = plan.pending
    field = FieldChange("note", None, "edited-and-planted")
    return replace(plan, changes=(replace(first, fields=(*first.fields, field)), *others))
