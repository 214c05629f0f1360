"""The commands of on-call, as far as they can be tried without a node."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from macfleet.cli import drain as commands
from macfleet.cli import drain_follow
from macfleet.model.diagnostic import MacfleetError

FLEET = "all: {hosts: {mac-01: {ansible_host: 127.0.0.1, ansible_port: 1, hardware: h, ownership: owned}}}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "macfleet.yml").write_text("name: try\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        commands.drain,
        commands.undrain,
        commands.cordon,
        commands.uncordon,
        drain_follow.status,
        drain_follow.watch,
    ],
)
def test_every_help_has_an_example(command):
    name = command.name
    answer = CliRunner().invoke(command, ["--help"])
    assert answer.exit_code == 0
    assert f"Example: macfleet {name}" in " ".join(answer.output.split())


@pytest.mark.parametrize("deadline", ["none", "5 parsecs", "-3m"])
def test_a_drain_always_has_a_deadline(folder, deadline):
    answer = CliRunner().invoke(commands.drain, ["mac-01", f"--deadline={deadline}"])
    assert isinstance(answer.exception, MacfleetError)
    assert answer.exception.diagnostics[0].code == "E0115"
    assert int(answer.exception.exit_code) == 2


@pytest.mark.parametrize("command", [commands.drain, commands.undrain, commands.cordon, commands.uncordon])
def test_nodes_are_named_and_never_all_of_them_by_silence(folder, command):
    assert CliRunner().invoke(command, []).exit_code == 2


def test_force_needs_a_reason(folder):
    answer = CliRunner().invoke(commands.drain, ["mac-01", "--force"])
    assert isinstance(answer.exception, MacfleetError)
    assert answer.exception.diagnostics[0].code == "E0881"
    assert int(answer.exception.exit_code) == 2


def test_a_budget_is_a_number_of_nodes(folder):
    assert CliRunner().invoke(commands.drain, ["mac-01", "--budget", "0"]).exit_code == 2
