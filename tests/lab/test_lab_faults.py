"""Faults without a lab: what is listed, what is refused, and that both sides know the same kinds."""

from __future__ import annotations

import ast
import json
import sys

import pytest
from click.testing import CliRunner

import macfleet.lab.faults
from macfleet.cli.lab import lab
from macfleet.lab.docker import Docker
from macfleet.lab.faults import FAULTS, UNPLUGGED, UNREACHABLE, end, plant, planted
from macfleet.lab.nodeimage import NODE_FILES
from macfleet.lab.state import LabConfig, LabImages, LabNode, LabState, LabWeights, write_state
from macfleet.model.diagnostic import MacfleetError

# Stands for the machine's docker: it knows one node, keeps what was asked, and answers from files.
DOCKER = """#!{python}
import json, pathlib, sys
here = pathlib.Path({here!r})
words = sys.argv[1:]
with (here / "asked").open("a") as asked:
    print(json.dumps(words), file=asked)
if words[0] == "ps":
    print(json.dumps({{"Names": "fake-mac-01", "State": (here / "state").read_text(), "Image": "x"}}))
elif words[0] == "inspect":
    print((here / "network").read_text())
elif words[0] in ("stop", "start"):
    (here / "state").write_text("running" if words[0] == "start" else "exited")
elif words[0] == "network":
    (here / "network").write_text("null" if words[1] == "disconnect" else "{{}}")
elif words[0] == "exec" and "/run/lab-faults/fault" in words:
    print((here / "said").read_text(), end="")
    sys.stderr.write((here / "why").read_text())
    sys.exit(int((here / "exit").read_text()))
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose lab has one node; its folder, with what docker answers and was asked."""
    program = tmp_path / "docker"
    program.write_text(DOCKER.format(python=sys.executable, here=str(tmp_path)))
    program.chmod(0o755)
    answers = {"state": "running", "network": "{}", "said": "", "why": "", "exit": "0", "asked": ""}
    for name, text in answers.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(macfleet.lab.faults, "find_docker", lambda: Docker(str(program)))
    state = LabState(
        name="fake",
        subnet="172.28.99.0/24",
        platform="linux/amd64",
        nodes=(LabNode("mac-01", "172.28.99.11", 22, "ops", "fake-mac-01"),),
        key=str(tmp_path / "id_ed25519"),
        known_hosts=str(tmp_path / "known_hosts"),
        registry="172.28.99.5:5000",
        images=LabImages("a", "b", "c", "d"),
        weights=LabWeights("/Users/ops/models/small-chat.gguf", 1, "00"),
    )
    write_state(config(tmp_path), state)
    return tmp_path, state


def config(folder):
    return LabConfig(state_dir=folder, nodes=1, name="fake", subnet="172.28.99.0/24")


def asked(folder, verb):
    rows = [json.loads(line) for line in (folder / "asked").read_text().splitlines()]
    return [row for row in rows if row[0] == verb]


def test_the_nodes_program_knows_every_kind_but_those_of_cable_and_power():
    tree = ast.parse((NODE_FILES / "faults" / "fault").read_text())
    (kinds,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "KINDS"
    ]
    assert {key.value for key in kinds.keys} | {UNPLUGGED, UNREACHABLE} == set(FAULTS)


def test_without_a_lab_the_kinds_are_listed_all_the_same(tmp_path):
    for words in ([], ["list"]):
        answer = CliRunner().invoke(lab, ["fault", *words, "--state-dir", str(tmp_path)])
        assert answer.exit_code == 0
        assert all(kind in answer.output for kind in FAULTS)
    document = json.loads(
        CliRunner().invoke(lab, ["fault", "--state-dir", str(tmp_path), "--output", "json"]).output
    )
    assert {row["fault"] for row in document["faults"]} == set(FAULTS)
    assert document["planted"] == {}


def test_without_a_lab_nothing_is_broken(tmp_path):
    with pytest.raises(MacfleetError) as caught:
        plant(config(tmp_path), "mac-01", "disk-slow")
    assert [each.code for each in caught.value.diagnostics] == ["E0483"]


@pytest.mark.parametrize(
    ("node", "kind", "code", "words"),
    [
        ("mac-01", "disk-slo", "E0480", 'Did you mean "disk-slow"?'),
        ("mac-01", "zzz", "E0480", "There are clock-skew"),
        ("mac-02", "disk-slow", "E0481", 'Did you mean "mac-01"?'),
    ],
)
def test_what_there_is_not_is_refused_and_nothing_was_asked_of_the_node(machine, node, kind, code, words):
    folder, _ = machine
    with pytest.raises(MacfleetError) as caught:
        plant(config(folder), node, kind)
    (found,) = caught.value.diagnostics
    assert (found.code, words in found.why, int(found.exit_code)) == (code, True, 2)
    assert asked(folder, "exec") == []


def test_power_and_cable_are_taken_once_and_given_back_with_the_same_address(machine):
    folder, _ = machine
    where = config(folder)
    assert (plant(where, "mac-01", UNREACHABLE), plant(where, "mac-01", UNREACHABLE)) == (True, False)
    assert (end(where, "mac-01", UNREACHABLE), end(where, "mac-01", UNREACHABLE)) == (True, False)
    assert asked(folder, "network") == [
        ["network", "disconnect", "fake", "fake-mac-01"],
        ["network", "connect", "--ip", "172.28.99.11", "fake", "fake-mac-01"],
    ]
    assert (plant(where, "mac-01", UNPLUGGED), plant(where, "mac-01", UNPLUGGED)) == (True, False)
    assert (end(where, "mac-01", UNPLUGGED), end(where, "mac-01", UNPLUGGED)) == (True, False)


@pytest.mark.parametrize(("said", "changed"), [("planted\n", True), ("there already\n", False)])
def test_the_node_says_whether_anything_changed(machine, said, changed):
    folder, _ = machine
    (folder / "said").write_text(said)
    assert plant(config(folder), "mac-01", "clock-skew") is changed
    assert asked(folder, "exec")[-1][-2:] == ["on", "clock-skew"]


def test_why_it_cannot_be_planted_is_what_the_node_says(machine):
    folder, _ = machine
    (folder / "why").write_text("its VM does not run\n")
    (folder / "exit").write_text("3")
    with pytest.raises(MacfleetError) as caught:
        plant(config(folder), "mac-01", "disk-slow")
    (found,) = caught.value.diagnostics
    assert (found.code, found.node, found.why) == ("E0482", "mac-01", "Its VM does not run.")


def test_a_node_without_power_has_no_other_fault_and_takes_none(machine):
    folder, state = machine
    (folder / "state").write_text("exited")
    docker = macfleet.lab.faults.find_docker()
    assert planted(docker, config(folder), state) == {"mac-01": (UNPLUGGED,)}
    with pytest.raises(MacfleetError, match="as it is now"):
        plant(config(folder), "mac-01", "disk-slow")


def test_what_is_there_is_told_from_cable_and_node_together(machine):
    folder, state = machine
    docker = macfleet.lab.faults.find_docker()
    assert planted(docker, config(folder), state) == {}
    (folder / "network").write_text("null")
    (folder / "said").write_text("engine-slow\n")
    assert planted(docker, config(folder), state) == {"mac-01": ("engine-slow", UNREACHABLE)}
