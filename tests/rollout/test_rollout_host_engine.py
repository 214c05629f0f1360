"""host-engine where it is declared: the bare engine behind a front of Compose, measured as an arm of its own."""

import itertools
from dataclasses import replace

import pytest
from straight_line import COMPOSE, Fleet, outcomes
from test_rollout_vm import COLIMA

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Arm
from macfleet.model.stage import StageName
from macfleet.rollout import arms
from macfleet.rollout.loadtest_wake import wake
from macfleet.rollout.promotion_shape import shape
from macfleet.rollout.run import Options
from macfleet.testing.mac import PROGRAMS

LOADTEST, LAYOUT = StageName.LOADTEST, StageName.LAYOUT
GONE = """
    - name: no front
      compose_project: {name: chat-front, file: /Users/ops/macfleet/front/compose.yaml, state: absent}
"""
DECLARED = (Arm.BARE, Arm.CONTAINER, Arm.HOST_ENGINE)
MARKS = {"bare": "up.8081", "container": "up.8080", "host-engine": "up.8090"}
# The front is a Compose project of its own; it answers as long as the bare engine behind it does.
DOCKER = """case " $* " in
  *" -p chat-front start "*) [ -f "$HOME/up.8081" ] && : >"$HOME/up.8090";;
  *" -p chat-front stop "*) rm -f "$HOME/up.8090";;
  *) usual_docker "$@";;
esac"""


@pytest.fixture
def fleet(tmp_path):
    found = Fleet.make(tmp_path, "mac-01", arms=DECLARED)
    extra = {"front_port": 8090, "compose_project": "chat"}
    found.nodes = tuple(replace(n, variables={**n.variables, **extra}) for n in found.nodes)
    mac = found.macs.mac("mac-01")
    mac.programs = {**PROGRAMS, "usual_docker": PROGRAMS["docker"], "docker": DOCKER}
    return found.upto(LOADTEST)


def running(fleet):
    home = fleet.home("mac-01")
    return {arm for arm, mark in MARKS.items() if (home / mark).exists()}


def test_it_is_measured_at_its_front_with_the_container_stopped(fleet):
    seen = []
    fleet.load.pause = lambda: seen.append(running(fleet))
    assert outcomes(fleet.rollout(LOADTEST)) == {"mac-01": "changed"}
    specs = [spec for _, spec in fleet.load.measured]
    turns = [arm for arm, _ in itertools.groupby(spec.arm for spec in specs)]
    assert turns == ["bare", "container", "host-engine", "container", "bare"]
    alone = {"bare": {"bare"}, "container": {"container"}, "host-engine": {"bare", "host-engine"}}
    assert seen == [alone[spec.arm] for spec in specs]
    assert {spec.base_url for spec in specs if spec.arm == "host-engine"} == {"http://127.0.0.1:8090"}
    assert running(fleet) == set(MARKS)


def test_it_computes_on_what_the_host_has(fleet):
    fleet.nodes = tuple(replace(n, variables={**n.variables, "accelerator": "metal"}) for n in fleet.nodes)
    node = fleet.nodes[0]
    assert node.accelerator(Arm.HOST_ENGINE) == "metal"
    assert node.measured_arms == (Arm.BARE, Arm.BARE_CPU, Arm.CONTAINER, Arm.HOST_ENGINE)


def test_a_run_that_was_killed_with_the_vm_down_is_gone_on_with_behind_its_front(fleet):
    mac, (node,) = fleet.macs.mac("mac-01"), fleet.nodes
    fleet.nodes = (replace(node, arms=(Arm.BARE, Arm.HOST_ENGINE)),)
    mac.programs = {**mac.programs, "colima": COLIMA}
    for mark in ("up.8081", "up.8090"):
        mac.home.joinpath(mark).unlink(missing_ok=True)
    mac.home.joinpath("vm.down").touch()
    wake(LOADTEST, fleet.nodes, fleet.ports(), Options("r2", "ops@desk", resume="r1"))
    assert not mac.home.joinpath("vm.down").exists()
    assert running(fleet) >= {"bare", "host-engine"}


def test_a_front_that_is_not_declared_is_no_difference_between_environments(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01")
    before = shape(fleet.nodes[0], fleet.desired)
    fleet.use(LAYOUT, more=COMPOSE + GONE)
    assert shape(fleet.nodes[0], fleet.desired) == before


def test_a_front_without_a_port_is_refused_by_name(fleet):
    (node,) = Fleet.make(fleet.root / "other", "mac-01", arms=DECLARED).nodes
    with pytest.raises(MacfleetError) as caught:
        arms.base_url(node, "host-engine")
    assert "front_port" in caught.value.diagnostics[0].summary


def test_a_front_that_will_not_start_is_told_of_its_arm(fleet):
    mac = fleet.macs.mac("mac-01")
    mac.programs = {**mac.programs, "docker": DOCKER.replace('&& : >"$HOME/up.8090"', "&& false")}
    (node,) = fleet.nodes
    with pytest.raises(MacfleetError) as caught:
        arms.start(node, "host-engine", mac, limit=0.4)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.summary) == ("E0821", "the host-engine engine did not start")
