"""The commands of on-call, as far as they can be tried without a node."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from macfleet.cli import drain as commands
from macfleet.cli import drain_follow
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.rollout.drain_state import Service, ServiceState
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeClock, LocalTransports

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


@pytest.mark.parametrize("command", [commands.drain, commands.undrain, commands.cordon, commands.uncordon])
@pytest.mark.parametrize("names", [[""], ["mac-01", ""], [" , "]], ids=["alone", "beside another", "commas"])
def test_an_empty_name_does_not_stand_for_all_of_them(folder, command, names):
    answer = CliRunner().invoke(command, names)
    assert isinstance(answer.exception, MacfleetError)
    assert answer.exception.diagnostics[0].code == "E0882"
    assert int(answer.exception.exit_code) == 2


def test_force_needs_a_reason(folder):
    answer = CliRunner().invoke(commands.drain, ["mac-01", "--force"])
    assert isinstance(answer.exception, MacfleetError)
    assert answer.exception.diagnostics[0].code == "E0881"
    assert int(answer.exception.exit_code) == 2


def test_a_budget_is_a_number_of_nodes(folder):
    assert CliRunner().invoke(commands.drain, ["mac-01", "--budget", "0"]).exit_code == 2


class Followed:
    """What following asks of a fleet: one node of this machine, and what the store says of it."""

    output, forks = "text", 1
    node = Node("mac-01", Endpoint("mac-01"), pool="chat", variables={"engine_port": 1})

    def __init__(self, home, clock):
        self.transports = LocalTransports(home)
        self.state = SqlState(f"sqlite:///{home}/state.db", clock.now)
        self.state.services.keep_service(Service("mac-01", ServiceState.DRAINING, "fan noise", "ana"))


def test_a_drain_is_followed_until_its_controller_is_gone(tmp_path, capsys):
    clock = FakeClock()
    fleet = Followed(tmp_path, clock)
    fleet.state.leases.take("node/mac-01", "ana process 1", 15.0)
    began = clock.now()
    assert drain_follow.follow(fleet, [fleet.node], until_settled=True, clock=clock) == 7
    fleet.state.close()
    assert clock.now() - began > 15.0
    first, second = capsys.readouterr().out.strip().split("\n\n")
    assert "no controller drains it any more" not in first
    assert "no controller drains it any more; go on with: macfleet drain mac-01" in second
