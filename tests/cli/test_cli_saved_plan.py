"""`plan --save` and `apply` of what it saved: what is refused before any node is asked, or when none answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from macfleet.cli.saved_plan import SavedPlan, save_plan
from macfleet.engine.looked_at import LookedAt
from macfleet.lab.thin import thin_down, thin_inventory, thin_up
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.resource import Action, Change, FieldChange, Plan
from macfleet.model.stage import StageName
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult

CHANGE = Change("file./a", Action.UPDATE, (FieldChange("mode", "0644", "0600"),))


def keep(folder, *names, fleet="my-fleet", stage=StageName.CONTRACT):
    path = folder / "some.plan"
    plans = {name: Plan(name, (CHANGE,), compiled="abc") for name in names}
    result = StageResult(
        stage, tuple(NodeResult(name, NodeOutcome.PENDING, plan) for name, plan in plans.items()), check=True
    )
    seen = {name: LookedAt(plan.digest, plan) for name, plan in plans.items()}
    save_plan(path, SavedPlan(fleet, stage, "playbooks/stage1-contract.yml", seen), result)
    return path


def test_a_plan_asks_only_its_own_nodes_and_those_that_do_not_answer_are_exit_5(run, fleet):
    code, out, _ = run("apply", keep(fleet, "mac-02"), "--check", "--output", "json")
    document = json.loads(out)
    assert (code, [each["node"] for each in document["nodes"]]) == (5, ["mac-02"])


@pytest.mark.parametrize(
    ("names", "name", "arguments", "code", "said"),
    [
        (("mac-01",), "other", (), "E0120", "is a plan of the fleet other, and this is my-fleet"),
        (("mac-01",), "my-fleet", ("-l", "mac-02"), "E0121", "does not hold mac-02"),
        (("mac-01", "mac-07"), "my-fleet", (), "E0121", "holds mac-07, which the stage is not for any more"),
        (("mac-07",), "my-fleet", (), "E0121", "holds mac-07"),
    ],
)
def test_what_nobody_looked_at_and_what_is_gone_is_refused_before_a_node_is_asked(
    run, fleet, names, name, arguments, code, said
):
    found, _, err = run("apply", keep(fleet, *names, fleet=name), *arguments)
    assert found == 2
    assert code in err
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_what_is_left_of_a_plan_can_be_carried_out_as_the_refusal_says(run, fleet):
    path = keep(fleet, "mac-01", "mac-07")
    _, _, err = run("apply", path)
    assert f"apply {path} --limit mac-01" in " ".join(err.split())
    code, out, _ = run("apply", path, "--limit", "mac-01", "--check", "--output", "json")
    assert (code, [each["node"] for each in json.loads(out)["nodes"]]) == (5, ["mac-01"])


@pytest.mark.parametrize("options", [("--tags", "x"), ("--skip-tags", "x"), ("--resume", "some-run")])
def test_a_plan_is_carried_out_as_it_is(run, fleet, options):
    code, _, err = run("apply", keep(fleet, "mac-01"), *options)
    assert code == 2
    assert "a saved plan is carried out as it is" in " ".join(err.split())


def test_a_plan_that_was_cut_off_is_called_one_and_another_file_is_not(run, fleet):
    path = keep(fleet, "mac-01")
    path.write_text(path.read_text()[:300])
    code, _, err = run("apply", path)
    assert (code, "E0117" in err, "cut off or damaged" in " ".join(err.split())) == (2, True, True)
    path.write_text("")
    code, _, err = run("apply", path)
    assert (code, "E0115" in err, "no saved plan either" in " ".join(err.split())) == (2, True, True)


def test_nothing_is_saved_where_no_node_could_be_planned(run, fleet):
    code, _, err = run("plan", "playbooks/site.yml", "--save", "site.plan")
    assert code == 5
    assert "Not saved: site.plan. No node could be planned." in err
    assert not (fleet / "site.plan").exists()


SITE = """
- name: A note
  stage: provision
  hosts: all
  tasks:
    - name: note
      tags: [notes]
      command: {run: 'echo one >"$HOME/note"', unless: '[ -f "$HOME/note" ]'}
    - name: other
      command: {run: 'echo two >"$HOME/other"', unless: '[ -f "$HOME/other" ]'}
    - name: edgy
      delegate_to: edge
      command: {run: 'echo three >"$HOME/edgy"', unless: '[ -f "$HOME/edgy" ]'}
  gates:
    - converged: {}
"""


@pytest.fixture
def real(fleet, tmp_path):
    """The fleet folder with two nodes and an edge, each a real SSH server with a home of its own."""
    try:
        lab = thin_up(tmp_path / "thin", 3, lambda _: None)
        text = thin_inventory(lab)
        edge = f"          ansible_port: {lab.nodes[2].port}\n"
        assert edge in text
        (fleet / "inventory/hosts.yml").write_text(text.replace(edge, f"{edge}          role: edge\n"))
        (fleet / "playbooks/site.yml").write_text(SITE.replace("hosts: all", "hosts: all:!thin-03"))
        for path in ("images.lock", "weights.lock"):
            (fleet / path).unlink(missing_ok=True)
        (fleet / "images.yml").write_text("images: {}\n")
        yield [Path(node.home) for node in lab.nodes]
    except MacfleetError as error:
        pytest.skip(str(error))
    finally:
        thin_down(tmp_path / "thin", lambda _: None)


@pytest.mark.sshd
def test_what_was_looked_at_is_done_on_nodes_and_edge_and_a_node_that_changed_since_is_left_alone(
    run, fleet, real
):
    one, two, edge = real
    code, _, err = run("plan", "playbooks/site.yml", "--save", "site.plan")
    assert (code, "Saved: site.plan." in err) == (3, True)
    (two / "other").write_text("somebody else's\n")
    code, out, err = run("apply", "site.plan")
    assert code == 4, out + err
    assert "[E0515]" in out
    assert "command.other: then" in " ".join(out.split())
    assert [(one / name).exists() for name in ("note", "other")] == [True, True]
    assert ((two / "note").exists(), (edge / "edgy").exists()) == (False, True)
    assert run("plan", "playbooks/site.yml", "--tags", "notes", "--save", "notes.plan")[0] == 3
    assert run("apply", "notes.plan", "-l", "thin-02")[0] == 0
    assert (two / "note").read_text() == "one\n"
    assert run("drift")[0] == 0
