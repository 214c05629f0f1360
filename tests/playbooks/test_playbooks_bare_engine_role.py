"""The shipped role of the bare engine: what a killed load test left at its port goes before it starts."""

from dataclasses import replace
from pathlib import Path

from fleet_texts import NODE, TextFiles, stage

from macfleet.model.node import Arm
from macfleet.model.resource import Action, ProbeOutput, Run
from macfleet.playbooks import CompileContext, compile_stage, load_stage

ROOT = Path(__file__).parents[2]
ROLE = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "roles/bare_engine").rglob("*.yml")}
FORMULA = "- brew_formula: {name: llama.cpp}"
VARIABLES = {
    "bare_label": "com.macfleet.engine",
    "bare_port": 8081,
    "weights_file": "small-chat.gguf",
    "engine_threads": 4,
    "engine_context": 16384,
}
ENGINE, LEFT = "launchd_service.com.macfleet.engine", "launchd_service.com.macfleet.engine.cpu"
LOADED = """plist absent
-
loaded
system/com.macfleet.engine.cpu = {
	path = /var/run/com.macfleet.engine.cpu.plist
	state = running
}
"""
NONE = 'plist absent\n-\nunloaded 113\nCould not find service "com.macfleet.engine.cpu"\n'


def resources(*arms):
    node = replace(NODE, arms=arms, variables={**NODE.variables, **VARIABLES})
    playbook = load_stage(
        TextFiles(stage(FORMULA, head="  roles: [bare_engine]\n", **ROLE)), "playbooks/stage.yml"
    )
    contract = {"model": "small-chat", "engine_slots": 4}
    found = compile_stage(playbook, node, CompileContext({}, {"contract": contract})).resources
    return {each.address: each for each in found}


def test_an_engine_that_was_left_is_drift_and_is_unloaded_before_the_bare_one_starts():
    found = resources(Arm.BARE)
    assert LEFT in found[ENGINE].needs
    left = found[LEFT]
    assert left.change(left.probe().parse(ProbeOutput(0, NONE, ""))).action is Action.NOOP
    change = left.change(left.probe().parse(ProbeOutput(0, LOADED, "")))
    assert change.action is Action.DELETE
    (step,) = left.steps(change)
    assert isinstance(step, Run)
    assert "launchctl bootout system/com.macfleet.engine.cpu" in step.script


def test_a_node_without_a_bare_engine_is_not_asked_for_one():
    assert {ENGINE, LEFT} & set(resources(Arm.CONTAINER)) == set()
    assert {ENGINE, LEFT} <= set(resources(Arm.CONTAINER, Arm.HOST_ENGINE))
