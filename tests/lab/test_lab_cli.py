"""The lab's commands: help with examples, the state folder, machine-readable answers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import macfleet.lab
from macfleet.cli.lab import default_state_dir, lab
from macfleet.lab.state import LabStatus, NodeStatus


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
