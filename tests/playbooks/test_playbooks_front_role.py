"""The shipped role of the front: what stands before the bare engine where host-engine is declared, and goes."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from fleet_texts import IMAGE, NODE, TextFiles, findings, stage

from macfleet.gates import build_gate
from macfleet.model.node import Arm
from macfleet.model.resource import Action, ProbeOutput, Put, Run
from macfleet.playbooks import CompileContext, compile_stage, load_stage
from macfleet.testing import LocalTransport

ROOT = Path(__file__).parents[2]
ROLE = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "roles/front").rglob("*")
    if path.is_file()
}
HOME = "/Users/ops/macfleet"
VARIABLES = {"macfleet_home": HOME, "compose_project": "chat", "front_port": 8090, "bare_port": 8081}
DECLARED = (Arm.BARE, Arm.CONTAINER, Arm.HOST_ENGINE)
FRONT = replace(IMAGE, repository="registry.example/haproxy", manifest=f"sha256:{'5' * 64}")
FILES = (f"file.{HOME}/front/haproxy.cfg", f"file.{HOME}/front/compose.yaml")
PROJECT, FOLDER = "compose_project.chat-front", f"directory.{HOME}/front"


def resources(*, arms=DECLARED, mode="bridge", **variables):
    node = replace(NODE, arms=arms, variables={**NODE.variables, **VARIABLES, **variables})
    playbook = load_stage(TextFiles(stage(head="  roles: [front]\n", **ROLE)), "playbooks/stage.yml")
    context = CompileContext({"engine": IMAGE, "front": FRONT}, {"network": {"mode": mode}})
    return {each.address: each for each in compile_stage(playbook, node, context).resources}


def written(found, address):
    (put,) = [step for step in found[address].steps(found[address].change(None)) if isinstance(step, Put)]
    return put.content.decode()


def test_a_declared_front_is_a_project_of_its_own_that_starts_again_with_its_configuration():
    found = resources()
    assert set(found) == {FOLDER, *FILES, PROJECT}
    assert set(found[PROJECT].needs) >= set(FILES)
    assert all(FOLDER in found[file].needs for file in FILES)
    other = resources(front_timeout="1m")
    assert found[PROJECT].configuration != other[PROJECT].configuration


def test_it_answers_on_the_loopback_and_passes_on_to_the_macs_own_engine():
    found = resources()
    service = yaml.safe_load(written(found, FILES[1]))["services"]["front"]
    assert service["image"] == FRONT.pinned
    assert service["ports"] == ["127.0.0.1:8090:8090"]
    assert service["extra_hosts"] == ["host.docker.internal:192.168.5.2"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    lines = [line.split() for line in written(found, FILES[0]).splitlines()]
    assert ["bind", "*:8090"] in lines
    assert ["server", "host", "host.docker.internal:8081"] in lines
    assert ["retries", "0"] in lines


def test_in_host_mode_it_listens_in_the_vm_alone():
    found = resources(mode="host")
    service = yaml.safe_load(written(found, FILES[1]))["services"]["front"]
    assert (service["network_mode"], "ports" in service) == ("host", False)
    assert "bind 127.0.0.1:8090" in written(found, FILES[0])


def test_where_it_is_not_declared_any_more_project_and_files_go_in_that_order():
    found = resources(arms=(Arm.BARE, Arm.CONTAINER))
    assert set(found) == {PROJECT, FOLDER}
    assert PROJECT in found[FOLDER].needs
    probe = found[PROJECT].probe()
    assert "docker" not in probe.script
    assert found[PROJECT].change(probe.parse(ProbeOutput(0, "nothing\n", ""))).action is Action.NOOP
    change = found[PROJECT].change(probe.parse(ProbeOutput(0, "stamped\n", "")))
    (step,) = found[PROJECT].steps(change)
    assert change.action is Action.DELETE
    assert isinstance(step, Run)
    assert "--project-name chat-front down" in step.script


@pytest.mark.parametrize("said", [ProbeOutput(0, "", ""), ProbeOutput(1, "nothing\n", "no such folder")])
def test_an_answer_that_is_not_understood_is_never_taken_for_gone(said):
    probe = resources(arms=(Arm.BARE,))[PROJECT].probe()
    with pytest.raises(ValueError, match="chat-front"):
        probe.parse(said)


def test_a_front_without_an_image_is_refused_before_a_node_is_asked():
    node = replace(NODE, arms=DECLARED, variables={**NODE.variables, **VARIABLES})
    told = findings(stage(head="  roles: [front]\n", **ROLE), node, network={"mode": "bridge"})
    assert any("front" in summary for _, _, summary, _ in told), told


@pytest.mark.parametrize(
    ("arms", "locked", "wanted"),
    [
        (DECLARED, ("engine", "loadgen", "front"), ["engine", "loadgen", "front"]),
        ((Arm.BARE, Arm.CONTAINER), ("engine", "loadgen"), ["engine", "loadgen"]),
        # A gate asks each node for every image of images.lock.
        ((Arm.BARE, Arm.CONTAINER), ("engine", "loadgen", "front"), ["engine", "loadgen", "front"]),
    ],
)
def test_its_image_is_brought_to_nodes_with_the_others(arms, locked, wanted):
    role = {"roles/images/tasks/main.yml": (ROOT / "roles/images/tasks/main.yml").read_text()}
    playbook = load_stage(TextFiles(stage(head="  roles: [images]\n", **role)), "playbooks/stage.yml")
    images = {name: replace(IMAGE, repository=f"registry.example/{name}") for name in locked}
    found = compile_stage(playbook, replace(NODE, arms=arms), CompileContext(images)).resources
    assert [each.address for each in found] == [f"docker_image.{name}" for name in wanted]


def test_stage_3_proves_the_route_through_it():
    text = (ROOT / "playbooks/stage3-layout.yml").read_text()
    document = load_stage(TextFiles({"playbooks/x.yml": text, **_roles()}), "playbooks/x.yml")
    gates = [build_gate(spec) for spec in document.gates]
    assert [gate.arm for gate in gates if gate.kind == "routes_answer"] == ["container", "host-engine"]


def _roles():
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for role in ("layout", "compose", "front")
        for path in (ROOT / "roles" / role).rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("variables", "front"), [({}, "chat-front"), ({"front_project": "my front"}, "'my front'")], ids=str
)
def test_it_comes_back_with_the_vm_after_a_restart(variables, front):
    node = replace(NODE, arms=DECLARED, variables={**NODE.variables, **VARIABLES, **variables})
    role = {
        str(path.relative_to(ROOT)): path.read_text()
        for path in (ROOT / "roles/colima").rglob("*")
        if path.is_file()
    }
    playbook = load_stage(TextFiles(stage(head="  roles: [colima]\n", **role)), "playbooks/stage.yml")
    context = CompileContext({"engine": IMAGE, "front": FRONT}, {})
    found = {each.address: each for each in compile_stage(playbook, node, context).resources}
    assert f"for project in chat {front}; do" in written(found, f"file.{HOME}/start-colima.sh")


def test_a_node_that_was_drained_is_closed_before_the_vm_starts_and_its_containers_stopped(tmp_path):
    node = replace(NODE, arms=DECLARED, variables={**NODE.variables, **VARIABLES})
    template = (ROOT / "roles/colima/templates/start-colima.sh.j2").read_text()
    role = {"roles/colima/tasks/main.yml": BOOT, "roles/colima/templates/start-colima.sh.j2": template}
    playbook = load_stage(TextFiles(stage(head="  roles: [colima]\n", **role)), "playbooks/stage.yml")
    context = CompileContext({"engine": IMAGE, "front": FRONT}, {})
    found = {each.address: each for each in compile_stage(playbook, node, context).resources}
    kept = tmp_path / ".macfleet"
    kept.mkdir()
    (kept / "drained").touch()
    (kept / "pf.rules").write_text("block\n")
    done = LocalTransport(tmp_path).run(PROGRAMS + written(found, "file./tmp/boot.sh"), deadline=60)
    assert done.exit == 0, done.stderr
    said = [line for line in done.stdout.decode().splitlines() if not line.startswith("docker ps")]
    assert said == [
        "pfctl -q -a com.apple/macfleet -f -: block",
        "colima start",
        "docker compose -p chat stop",
        "docker compose -p chat-front stop",
    ]
    assert (kept / "pf.token").read_text() == "4711\n"


BOOT = """
- file: {path: /tmp/boot.sh, template: start-colima.sh.j2}
"""
PROGRAMS = """
sudo() { shift; "$@"; }
pfctl() { case " $* " in *" -E "*) echo 'Token : 4711' >&2 ;; *) echo "pfctl $*: $(cat)" ;; esac; }
colima() { [ "$1" = list ] || echo "colima $*"; }
docker() { [ "$1" = ps ] && echo c0ffee || echo "docker $*"; }
"""
