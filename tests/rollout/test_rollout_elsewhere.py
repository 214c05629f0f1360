"""Tasks that act on the controller: planned together, done before any node, told beside the nodes."""

from dataclasses import replace

import pytest
from straight_line import node, outcomes

from macfleet.cli.saved_plan import SavedPlan, seen_of
from macfleet.engine.lock import Holder
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


@pytest.fixture
def edged(beside):
    """Two nodes, a controller, and two edges that are no nodes of the stage."""
    fleet, home = beside
    edges = tuple(node(name, fleet.root, role="edge") for name in ("edge-01", "edge-02"))
    fleet.desired = replace(fleet.desired, edges=edges)
    return fleet, home


def use_edge(fleet, names="contract.name", more=""):
    task = DELEGATED.format(names=names, file="told", ident="told")
    fleet.use(CONTRACT, more=task.replace("controller", "edge") + more)


def told(fleet):
    return [(fleet.macs.mac(name).home / "told").exists() for name in ("edge-01", "edge-02")]


def test_what_is_delegated_to_the_edge_is_done_on_each_edge_before_any_node(edged):
    fleet, _ = edged
    use_edge(fleet)
    seen = []
    for name in ("mac-01", "mac-02"):
        fleet.macs.mac(name).before = lambda script: (
            seen.extend(told(fleet)) if "echo done" in script else None
        )
    result = fleet.rollout(CONTRACT)
    assert (told(fleet), seen) == ([True, True], [True, True, True, True])
    assert [(each.node, each.outcome, each.changed) for each in result.edges] == [
        ("edge-01", "changed", ("command.told",)),
        ("edge-02", "changed", ("command.told",)),
    ]
    assert not (fleet.macs.mac("edge-01").home / ".macfleet/lock").exists()
    assert result.exit_code == 0
    again = fleet.rollout(CONTRACT)
    assert ([each.outcome for each in again.edges], again.run) == (["unchanged", "unchanged"], "")


def test_a_check_shows_what_would_be_done_on_each_edge_and_does_nothing(edged):
    fleet, _ = edged
    use_edge(fleet)
    result = fleet.rollout(CONTRACT, check=True)
    assert (told(fleet), result.exit_code) == ([False, False], 3)
    shown = "\n".join(lines(result, fleet.desired))
    assert "edge-01" in shown
    assert "on the edge and 2 nodes" in shown
    assert [each["node"] for each in document(result)["edges"]] == ["edge-01", "edge-02"]


def test_after_a_failure_on_one_machine_no_other_and_no_node_is_begun(edged):
    fleet, home = edged
    use_edge(fleet, more=DELEGATED.format(names="contract.name", file="no/such/folder", ident="other"))
    result = fleet.rollout(CONTRACT)
    assert (result.elsewhere.outcome, [each.outcome for each in result.edges]) == (
        "failed",
        ["not reached", "not reached"],
    )
    assert (told(fleet), (home / "told").exists(), result.exit_code) == ([False, False], False, 4)
    assert outcomes(result) == {"mac-01": "not reached", "mac-02": "not reached"}


def test_when_an_edge_does_not_answer_no_node_is_begun(edged):
    fleet, _ = edged
    use_edge(fleet)
    fleet.macs.mac("edge-02").reachable = False
    result = fleet.rollout(CONTRACT)
    assert [each.outcome for each in result.edges] == ["not reached", "unreachable"]
    assert outcomes(result) == {"mac-01": "not reached", "mac-02": "not reached"}
    assert fleet.marked(CONTRACT) == []


def test_an_edge_that_another_run_has_is_left_alone(edged):
    fleet, _ = edged
    use_edge(fleet)
    lock = fleet.macs.mac("edge-01").home / ".macfleet/lock"
    fleet.rollout(CONTRACT)
    for name in ("edge-01", "edge-02"):
        (fleet.macs.mac(name).home / "told").unlink()
    lock.mkdir()
    (lock / "holder").write_text(Holder("other", "eve@desk", "2026-11-23T04:00:00Z").text())
    result = fleet.rollout(CONTRACT)
    assert ([each.outcome for each in result.edges], result.exit_code) == (["locked", "not reached"], 6)


def test_a_saved_plan_holds_each_edge(edged):
    fleet, _ = edged
    use_edge(fleet)
    planned = fleet.rollout(CONTRACT, check=True)
    seen = seen_of(planned, planned)
    assert list(seen) == ["edge edge-01", "edge edge-02", "mac-01", "mac-02"]
    assert SavedPlan("main", CONTRACT, "x", seen).nodes == ("mac-01", "mac-02")
    less = {name: each for name, each in seen.items() if name != "edge edge-02"}
    refused = fleet.rollout(CONTRACT, saved=less)
    assert [[d.code for d in each.diagnostics] for each in refused.edges] == [[], ["E0352"]]
    assert told(fleet) == [False, False]
    assert fleet.rollout(CONTRACT, saved=seen).exit_code == 0


@pytest.mark.parametrize(
    ("edges", "task", "code", "said"),
    [
        ((), "directory: {path: /a}", "E0327", "the inventory has no edge"),
        (("edge-01",), "directory: {path: '/{{ inventory_hostname }}', mode: '{{ mode }}'}", "", ""),
        (("edge-01",), "directory: {path: /a, mode: '{{ mode }}'}", "E0350", "on the edge differently"),
        (("edge-01",), "docker_image: {image: engine}", "E0353", "the edge edge-01 runs linux/amd64"),
    ],
)
def test_what_an_edge_cannot_be_given_is_refused_before_anything_is_done(fleet, edges, task, code, said):
    fleet.desired = replace(
        fleet.desired,
        edges=tuple(node(name, fleet.root, role="edge", platform="linux/amd64") for name in edges),
    )
    fleet.nodes = tuple(
        replace(each, variables={**each.variables, "mode": mode})
        for each, mode in zip(fleet.nodes, ("0755", "0700"), strict=True)
    )
    fleet.use(CONTRACT, more=f"    - {task}\n      delegate_to: edge\n")
    if not code:
        assert [each.outcome for each in fleet.rollout(CONTRACT, check=True).edges] == ["pending"]
        return
    with pytest.raises(MacfleetError) as caught:
        fleet.rollout(CONTRACT)
    found = caught.value.diagnostics[0]
    assert (found.code, said in found.summary) == (code, True)
    assert fleet.marked(CONTRACT) == []


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
