"""Tasks that act on the controller: planned together, done before any node, told beside the nodes."""

from dataclasses import replace

import pytest
from straight_line import outcomes

from macfleet.engine.looked_at import LookedAt
from macfleet.executors.controller import ControllerTransport
from macfleet.model.diagnostic import DeadlineExceeded, MacfleetError
from macfleet.model.stage import StageName
from macfleet.testing import LocalTransport
from macfleet.views.rollout import lines
from macfleet.views.rollout_document import document

CONTRACT = StageName.CONTRACT
DELEGATED = """
    - name: who there is
      delegate_to: controller
      command: {{run: 'echo {{{{ {names} }}}} >>$HOME/{file}', unless: '[ -f $HOME/{file} ]', id: {ident}}}
"""


@pytest.fixture
def beside(fleet, tmp_path):
    """Two nodes, and a controller with a home of its own."""
    home = tmp_path / "controller"
    home.mkdir()
    ports = fleet.ports
    fleet.ports = lambda: replace(ports(), controller=LocalTransport(home))
    return fleet, home


def use(fleet, names="contract.name", file="told", ident="told"):
    fleet.use(CONTRACT, more=DELEGATED.format(names=names, file=file, ident=ident))


def test_what_all_nodes_want_alike_is_done_once_and_then_unchanged(beside):
    fleet, home = beside
    use(fleet)
    first = fleet.rollout(CONTRACT)
    assert (home / "told").read_text() == "chat-small\n"
    assert (first.elsewhere.outcome, first.elsewhere.changed) == ("changed", ("command.told",))
    assert outcomes(first) == {"mac-01": "changed", "mac-02": "changed"}
    second = fleet.rollout(CONTRACT)
    assert (second.elsewhere.outcome, second.exit_code, second.run) == ("unchanged", 0, "")


def test_it_is_done_before_any_node_is_touched(beside):
    fleet, home = beside
    use(fleet)
    seen = []
    for name in ("mac-01", "mac-02"):
        fleet.macs.mac(name).before = lambda script: (
            seen.append((home / "told").exists()) if "echo done" in script else None
        )
    fleet.rollout(CONTRACT)
    assert seen == [True, True]


def test_each_node_may_want_something_of_its_own(beside):
    fleet, home = beside
    use(fleet, "inventory_hostname", "{{ inventory_hostname }}", "'{{ inventory_hostname }}'")
    result = fleet.rollout(CONTRACT)
    assert result.elsewhere.changed == ("command.mac-01", "command.mac-02")
    assert [path.name for path in sorted(home.glob("mac-*"))] == ["mac-01", "mac-02"]


def test_two_nodes_that_want_one_thing_differently_are_refused_before_anything_is_done(beside):
    fleet, home = beside
    use(fleet, "inventory_hostname")
    with pytest.raises(MacfleetError) as caught:
        fleet.rollout(CONTRACT)
    assert [d.code for d in caught.value.diagnostics] == ["E0350"]
    assert not list(home.iterdir())
    assert fleet.marked(CONTRACT) == []


def test_a_check_shows_what_would_be_done_and_does_nothing(beside):
    fleet, home = beside
    use(fleet)
    result = fleet.rollout(CONTRACT, check=True)
    assert (result.elsewhere.outcome, result.exit_code) == ("pending", 3)
    assert not (home / "told").exists()
    shown = "\n".join(lines(result, fleet.desired))
    assert "controller   + command told" in shown
    assert document(result)["controller"]["plan"]["pending"][0]["address"] == "command.told"


def test_when_it_fails_no_node_is_begun(beside):
    fleet, _ = beside
    use(fleet, file="no/such/folder")
    result = fleet.rollout(CONTRACT)
    assert (result.elsewhere.outcome, result.exit_code) == ("failed", 4)
    assert outcomes(result) == {"mac-01": "not reached", "mac-02": "not reached"}
    assert fleet.marked(CONTRACT) == []
    assert fleet.journal.unsettled(result.run) == ("mac-01", "mac-02")
    assert [d.code for d in result.elsewhere.diagnostics] == ["E0512"]


def test_it_is_done_also_when_every_node_is_current(beside):
    fleet, home = beside
    use(fleet)
    fleet.rollout(CONTRACT)
    (home / "told").unlink()
    result = fleet.rollout(CONTRACT)
    assert (result.elsewhere.outcome, outcomes(result)) == (
        "changed",
        {"mac-01": "current", "mac-02": "current"},
    )
    assert "nodes/controller/log.txt" in fleet.runs.opened[result.run].files


def test_a_saved_plan_that_no_longer_fits_the_controller_is_refused(beside):
    fleet, home = beside
    use(fleet)
    planned = fleet.rollout(CONTRACT, check=True)
    seen = {r.node: LookedAt(r.plan.digest, r.plan) for r in (planned.elsewhere, *planned.results)}
    other = {**seen, "controller": LookedAt("other", seen["mac-01"].plan)}
    refused = fleet.rollout(CONTRACT, saved=other)
    (found,) = refused.elsewhere.diagnostics
    assert found.code == "E0352"
    assert "command.told: then no change, now create" in found.why
    assert not (home / "told").exists()
    assert fleet.rollout(CONTRACT, saved=seen).exit_code == 0


def test_the_real_controller_runs_scripts_and_hands_on_what_they_print():
    heard = []
    transport = ControllerTransport()
    done = transport.run("echo out; echo err >&2; exit 3", deadline=20.0)
    assert (done.exit, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    done = transport.run("cat; echo done", deadline=20.0, stdin=[b"a" * 100_000, b"b"], sink=heard.append)
    assert (done.exit, done.stdout, b"".join(heard)) == (0, b"", b"a" * 100_000 + b"bdone\n")


def test_a_script_on_the_controller_that_never_ends_is_given_up_with_its_children():
    with pytest.raises(DeadlineExceeded):
        ControllerTransport().run("sleep 600 & wait", deadline=0.3)
