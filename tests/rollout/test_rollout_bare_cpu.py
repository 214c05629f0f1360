"""Where bare has an accelerator that the container lacks, stage 5 measures bare with the GPU off as well."""

import itertools
import plistlib
from dataclasses import replace

import pytest
from straight_line import Fleet, outcomes

from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.node import Arm
from macfleet.model.stage import StageName
from macfleet.rollout import arms, bare_cpu
from macfleet.rollout.load_profile import LoadProfile, seconds_needed
from macfleet.testing.mac import PROGRAMS

LOADTEST = StageName.LOADTEST
ARMS = ("bare", "bare-cpu", "container")
PLIST = {
    "Label": "com.macfleet.engine",
    "ProgramArguments": [
        "/opt/homebrew/bin/llama-server",
        "-m",
        "/Users/ops/models/it's.gguf",
        "--port",
        "8081",
    ],
    "EnvironmentVariables": {"HOME": "/Users/ops", "MACFLEET_CONFIGURATION": "0" * 64},
    "UserName": "ops",
    "KeepAlive": True,
    "RunAtLoad": True,
}
# Which of the two bare engines launchd has started lies beside the mark of their port.
LAUNCHCTL = """case "$1" in
  print) [ -f "$HOME/loaded.${2#system/}" ];;
  bootout) [ -f "$HOME/loaded.${2#system/}" ] || return 3
    rm -f "$HOME/up.8081" "$HOME/loaded.${2#system/}";;
  bootstrap) case "$3" in *.cpu.plist) l=com.macfleet.engine.cpu;; *) l=com.macfleet.engine;; esac
    [ "$l" = com.macfleet.engine ] || [ -s "$HOME/cpu.plist" ] || return 1
    : >"$HOME/loaded.$l"; : >"$HOME/up.8081";;
esac"""


def metal_fleet(root, *names, plist=PLIST, **fields):
    """A fleet whose bare engines compute on Metal, with everything that stage 5 needs done."""
    fleet = Fleet.make(root, *names, accelerator="metal", **fields)
    for name in names:
        mac = fleet.macs.mac(name)
        mac.programs = {**PROGRAMS, "launchctl": LAUNCHCTL, "tee": 'cat >"$HOME/cpu.plist"', "chmod": ":"}
        mac.canned = {**mac.canned, "cat /Library/LaunchDaemons/": plistlib.dumps(plist)}
        mac.home.joinpath("loaded.com.macfleet.engine").touch()
    return fleet.upto(LOADTEST)


def running(fleet, name="mac-01"):
    """Which engines run on a node now."""
    home = fleet.home(name)
    marks = {
        "bare": "loaded.com.macfleet.engine",
        "bare-cpu": "loaded.com.macfleet.engine.cpu",
        "container": "up.8080",
    }
    return {arm for arm, mark in marks.items() if (home / mark).exists()}


def engine_of(plist):
    """Program and arguments of the engine, without what ends it in time."""
    assert plist["ProgramArguments"][:2] == ["/usr/bin/perl", "-e"]
    return plist["ProgramArguments"][4:]


@pytest.fixture
def measured(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01")
    fleet.running = []
    fleet.load.pause = lambda: fleet.running.append(running(fleet))
    fleet.result = fleet.rollout(LOADTEST)
    return fleet


def test_three_arms_take_their_turns_abc_cba_each_alone(measured):
    assert outcomes(measured.result) == {"mac-01": "changed"}
    taken = [(spec.arm, spec.segment) for _, spec in measured.load.measured]
    assert [pair for pair, _ in itertools.groupby(taken)] == [
        *((arm, 0) for arm in ARMS),
        *((arm, 1) for arm in reversed(ARMS)),
    ]
    assert measured.running == [{arm} for arm, _ in taken]
    assert running(measured) == {"bare", "container"}


def test_every_arm_is_sent_the_same_bytes(measured):
    def sent(arm):
        specs = [spec for _, spec in measured.load.measured if spec.arm == arm]
        return sorted(
            (s.cell, s.segment, s.nonce_key, s.first_index, s.fixtures[0].id, s.duration) for s in specs
        )

    assert sent("bare") == sent("bare-cpu") == sent("container")
    urls = {spec.arm: spec.base_url for _, spec in measured.load.measured}
    assert urls == {
        "bare": "http://127.0.0.1:8081",
        "bare-cpu": "http://127.0.0.1:8081",
        "container": "http://127.0.0.1:8080",
    }


def test_the_records_say_what_each_arm_computed_on(measured):
    record = measured.evidences.latest("mac-01", LOADTEST)
    assert record.outcome == "pass"
    assert record.key.parts["arms"] == "bare metal, bare-cpu cpu, container cpu"
    assert measured.runs.manifest(record.run).arms == ARMS
    files = measured.runs.opened[record.run].files
    facts = files["nodes/mac-01/facts.json"]
    assert facts["accelerators"] == {"bare": "metal", "bare-cpu": "cpu", "container": "cpu"}
    assert facts["gpu_off"] == "--device none -ngl 0"
    assert set(facts["blas"]) == set(ARMS)
    cells = {(c["arm"], c["accelerator"]) for c in files["summary.json"]["cells"]}
    assert cells == {("bare", "metal"), ("bare-cpu", "cpu"), ("container", "cpu")}
    assert "nodes/mac-01/bare-cpu/samples.parquet" in files


def test_the_engine_is_the_bare_one_but_for_the_gpu(measured):
    started = plistlib.loads((measured.home("mac-01") / "cpu.plist").read_bytes())
    assert engine_of(started) == [*PLIST["ProgramArguments"], "--device", "none", "-ngl", "0"]
    assert (started["Label"], started["UserName"]) == ("com.macfleet.engine.cpu", "ops")
    assert started["EnvironmentVariables"] == {"HOME": "/Users/ops"}
    assert started["KeepAlive"] is False


def test_an_engine_that_cannot_do_without_the_gpu_leaves_two_arms_and_says_why(tmp_path):
    ollama = {**PLIST, "ProgramArguments": ["/opt/homebrew/bin/ollama", "serve"]}
    fleet = metal_fleet(tmp_path, "mac-01", plist=ollama)
    result = fleet.rollout(LOADTEST)
    assert outcomes(result) == {"mac-01": "changed"}
    assert {spec.arm for _, spec in fleet.load.measured} == {"bare", "container"}
    (left_out,) = [event for event in fleet.events.seen if event.kind == "loadtest.omitted"]
    assert "num_gpu is a parameter of the model" in left_out.data["why"]
    record = fleet.evidences.latest("mac-01", LOADTEST)
    assert any("bare-cpu was not measured: Ollama" in reason for reason in record.verdicts[-1].reasons)
    facts = fleet.runs.opened[record.run].files["nodes/mac-01/facts.json"]
    assert "Ollama" in facts["not_measured"]["bare-cpu"]
    assert facts["accelerators"]["bare"] == "metal"
    assert fleet.runs.manifest(record.run).arms == ("bare", "container")


def test_a_declared_arm_that_cannot_be_measured_fails_the_node_with_what_to_declare(tmp_path):
    unknown = {**PLIST, "ProgramArguments": ["/opt/engine"]}
    fleet = metal_fleet(tmp_path, "mac-01", plist=unknown, arms=(Arm.BARE, Arm.BARE_CPU, Arm.CONTAINER))
    before = running(fleet)
    (node,) = fleet.rollout(LOADTEST).results
    (problem,) = node.diagnostics
    assert (problem.code, "bare_cpu_arguments" in problem.mend) == ("E0978", True)
    assert not fleet.load.measured
    assert running(fleet) == before


def test_what_the_inventory_declares_keeps_an_unknown_engine_off_the_gpu(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01", plist={**PLIST, "ProgramArguments": ["/opt/engine"]})
    declared = {"bare_cpu_arguments": ["--no-gpu"], "bare_cpu_environment": {"DEVICE": "cpu"}}
    fleet.nodes = tuple(replace(n, variables={**n.variables, **declared}) for n in fleet.nodes)
    fleet.rollout(LOADTEST)
    started = plistlib.loads((fleet.home("mac-01") / "cpu.plist").read_bytes())
    assert engine_of(started) == ["/opt/engine", "--no-gpu"]
    assert started["EnvironmentVariables"]["DEVICE"] == "cpu"


def test_a_run_lost_in_the_third_arm_goes_on_there_and_knows_what_the_engines_were(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01")

    def lose():
        if len(fleet.load.measured) == 4:
            fleet.load.failing["mac-01"] = NodeUnreachable(Diagnostic("E0401", "no answer"))

    fleet.load.pause = lose
    lost = fleet.rollout(LOADTEST)
    assert outcomes(lost) == {"mac-01": "unreachable"}
    fleet.load.pause, fleet.load.failing = lambda: None, {}
    again = fleet.rollout(LOADTEST, resume=lost.run)
    assert fleet.runs.manifest(again.run).profile["resumed"]["reused"] == 3
    measured = [(spec.arm, spec.segment, spec.cell) for _, spec in fleet.load.measured]
    assert measured[3][:2] == ("bare-cpu", 0)
    assert len(set(measured)) == 3 * 2 * 2
    files = fleet.runs.opened[again.run].files
    assert set(files["nodes/mac-01/facts.json"]["blas"]) == set(ARMS)
    assert running(fleet) == {"bare", "container"}


def test_an_engine_that_was_left_with_the_gpu_off_is_stopped_before_anything_is_measured(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01")
    home = fleet.home("mac-01")
    (home / "loaded.com.macfleet.engine.cpu").touch()
    (home / "loaded.com.macfleet.engine").unlink()
    seen = []
    fleet.load.pause = lambda: seen.append(running(fleet))
    fleet.rollout(LOADTEST)
    assert seen[0] == {"bare"}


def test_an_accelerator_that_was_declared_wrong_makes_older_evidence_stale(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01")
    metal = fleet.nodes
    fleet.nodes = tuple(replace(n, variables={**n.variables, "accelerator": "cpu"}) for n in metal)
    fleet.rollout(LOADTEST)
    assert {spec.arm for _, spec in fleet.load.measured} == {"bare", "container"}
    fleet.nodes = metal
    fleet.rollout(LOADTEST)
    assert {spec.arm for _, spec in fleet.load.measured} == set(ARMS)


def test_the_third_arm_is_in_the_hours_that_are_announced(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", accelerator="metal")
    plain = Fleet.make(tmp_path / "other", "mac-01")
    profile = LoadProfile(1800.0)
    three, two = (seconds_needed(f.desired, f.nodes[0], profile) for f in (fleet, plain))
    assert three / two == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("plist", "words"),
    [
        (b"", "cannot be read"),
        (b"<plist>", "cannot be read"),
        (plistlib.dumps([]), "names no program"),
        (plistlib.dumps({"ProgramArguments": [1]}), "names no program"),
        (plistlib.dumps({"Program": "/opt/engine"}), "names no program"),
    ],
)
def test_a_plist_that_says_nothing_is_no_engine(tmp_path, plist, words):
    node = Fleet.make(tmp_path, "mac-01").nodes[0]
    assert words in bare_cpu.daemon_of(node, "com.macfleet.engine", plist)


def test_only_launchd_tells_which_of_the_two_bare_engines_answers(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01")
    node, mac = fleet.nodes[0], fleet.macs.mac("mac-01")
    mac.home.joinpath("up.8081").touch()
    assert arms.is_running(node, "bare", mac)
    assert not arms.is_running(node, "bare-cpu", mac)
