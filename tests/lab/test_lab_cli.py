"""The lab's commands: help with examples, the state folder, machine-readable answers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import macfleet.lab
from macfleet.cli.lab import default_state_dir, lab
from macfleet.lab.state import LabConfig, LabImages, LabState, LabStatus, LabWeights, NodeStatus, write_state


@pytest.mark.parametrize("words", [[], ["up"], ["down"], ["status"]])
def test_every_help_ends_with_an_example(words):
    answer = CliRunner().invoke(lab, [*words, "--help"])
    assert answer.exit_code == 0
    assert "Example: macfleet lab" in answer.output


def test_the_state_folder_is_the_fleets_when_there_is_one(tmp_path):
    inside = tmp_path / "fleet" / "roles"
    inside.mkdir(parents=True)
    assert default_state_dir(inside) == inside / ".macfleet" / "lab"
    (tmp_path / "fleet" / "macfleet.yml").touch()
    assert default_state_dir(inside) == tmp_path / "fleet" / ".macfleet" / "lab"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (LabStatus(True, True, (NodeStatus("mac-01", "172.28.90.11", True, True),)), ["✓ mac-01", "running"]),
        (
            LabStatus(True, True, (NodeStatus("mac-01", "172.28.90.11", False, False),)),
            ["✗ mac-01", "stopped"],
        ),
        (LabStatus(False, False, ()), ["macfleet lab up"]),
    ],
)
def test_status_shows_every_node_with_its_state(monkeypatch, tmp_path, found, words):
    monkeypatch.setattr(macfleet.lab, "status", lambda _config: found)
    answer = CliRunner().invoke(lab, ["status", "--state-dir", str(tmp_path)])
    assert all(word in answer.output for word in words)


def test_json_is_one_document_with_a_schema(monkeypatch, tmp_path):
    found = LabStatus(True, True, (NodeStatus("mac-01", "172.28.90.11", True, True),))
    monkeypatch.setattr(macfleet.lab, "status", lambda _config: found)
    answer = CliRunner().invoke(lab, ["status", "--state-dir", str(tmp_path), "--output", "json"])
    document = json.loads(answer.output)
    assert document["schema"] == 1
    assert document["up"] is True
    assert document["nodes"][0]["name"] == "mac-01"


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ((), ("mine", "172.28.77.0/24")),
        (("--name", "other"), ("other", "172.28.77.0/24")),
        (("--subnet", "172.28.78.0/24"), ("mine", "172.28.78.0/24")),
    ],
)
@pytest.mark.parametrize("word", ["status", "down"])
def test_the_lab_of_a_state_folder_is_meant_without_saying_its_name_again(
    monkeypatch, tmp_path, word, options, made
):
    asked = []

    def looked(config, *_arguments, **_options):
        asked.append((config.name, config.subnet))
        return LabStatus(False, False, ())

    images, weights = LabImages("", "", "", ""), LabWeights("", 0, "")
    state = LabState("mine", "172.28.77.0/24", "linux/amd64", (), "", "", "", images, weights)
    write_state(LabConfig(tmp_path), state)
    monkeypatch.setattr(macfleet.lab, word, looked)
    CliRunner().invoke(lab, [word, "--state-dir", str(tmp_path), *options])
    assert asked == [made]


def test_without_a_lab_its_name_is_the_usual_one(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(macfleet.lab, "down", lambda config, *_rest, **_options: asked.append(config.name))
    answer = CliRunner().invoke(lab, ["down", "--state-dir", str(tmp_path)])
    assert answer.exit_code == 0
    assert asked == ["macfleet-lab"]
