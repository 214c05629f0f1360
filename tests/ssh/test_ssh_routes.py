"""From endpoints and ssh_config to hops."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.ssh.route import Hop, Routes

CONFIG = """
Host mac-*
  User fleet
  IdentityFile /keys/fleet
Host mac-01
  HostName 10.0.0.1
  Port 2201
  ConnectTimeout 3
Host mac-02
  HostName 10.0.0.2
  ProxyJump gate
Host mac-03
  ProxyJump gate,second:2222
Host mac-04
  ProxyCommand nc %h %p
Host gate
  HostName gate.example
  User jumper
Host circle-a
  ProxyJump circle-b
Host circle-b
  ProxyJump circle-a
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ssh_config"
    path.write_text(CONFIG)
    return path


def route(config: Path, **endpoint: object) -> tuple[Hop, ...]:
    return Routes(config).to(Node(name="n", endpoint=Endpoint(**endpoint)))


def places(config: Path, **endpoint: object) -> list[tuple[str, str, int]]:
    return [(hop.user, hop.host, hop.port) for hop in route(config, **endpoint)]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ({"host": "mac-01"}, [("fleet", "10.0.0.1", 2201)]),
        ({"host": "mac-01", "user": "me", "port": 2299}, [("me", "10.0.0.1", 2299)]),
        ({"host": "mac-02"}, [("jumper", "gate.example", 22), ("fleet", "10.0.0.2", 22)]),
        ({"host": "mac-02", "jump": "none"}, [("fleet", "10.0.0.2", 22)]),
        ({"host": "mac-02", "jump": "me@other:2200"}, [("me", "other", 2200), ("fleet", "10.0.0.2", 22)]),
        ({"host": "mac-02", "jump": "mac-01, gate"}, [
            ("fleet", "10.0.0.1", 2201),
            ("jumper", "gate.example", 22),
            ("fleet", "10.0.0.2", 22),
        ]),
        ({"host": "10.9.9.9", "user": "me", "jump": "mac-02"}, [
            ("jumper", "gate.example", 22),
            ("fleet", "10.0.0.2", 22),
            ("me", "10.9.9.9", 22),
        ]),
    ],
)  # fmt: skip
def test_hops_come_in_the_order_of_travel(config, endpoint, expected) -> None:
    assert places(config, **endpoint) == expected


def test_a_named_identity_is_the_only_one_and_stops_the_search(config) -> None:
    (hop,) = route(config, host="mac-01", identity_file="~/keys/one")
    assert (hop.identities, hop.search) == ((str(Path.home() / "keys/one"),), False)


def test_identities_of_ssh_config_are_used_when_the_inventory_names_none(config) -> None:
    (hop,) = route(config, host="mac-01")
    assert (hop.identities, hop.search, hop.connect_timeout) == (("/keys/fleet",), False, 3.0)


def test_without_any_identity_the_usual_keys_are_looked_for(config) -> None:
    (hop,) = route(config, host="elsewhere", user="me")
    assert (hop.identities, hop.search) == ((), True)


def test_a_pin_belongs_to_the_node_and_not_to_its_jump_host(config) -> None:
    assert [hop.pin for hop in route(config, host="mac-02", host_key="SHA256:x")] == ["", "SHA256:x"]


def test_a_proxy_command_is_kept_for_the_first_hop(config) -> None:
    assert route(config, host="mac-04")[0].proxy_command == "nc mac-04 22"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh: apt-get install openssh-client")
@pytest.mark.parametrize("host", ["mac-02", "mac-04"])
def test_a_jump_of_none_rules_out_proxy_jump_and_no_proxy_command_as_with_ssh(config, host) -> None:
    command = ["ssh", "-G", "-F", config, "-o", "ProxyJump=none", host]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (hop,) = route(config, host=host, jump="none")
    theirs = [line.removeprefix("proxycommand ") for line in said.splitlines() if "proxycommand" in line]
    filled = [each.replace("%h", hop.host).replace("%p", str(hop.port)) for each in theirs]
    assert ([hop.proxy_command] if hop.proxy_command else []) == filled
    assert "proxyjump" not in said


@pytest.mark.parametrize("jump", ["circle-a", "host:not-a-port"])
def test_a_jump_that_leads_nowhere_is_refused(config, jump) -> None:
    with pytest.raises(MacfleetError) as caught:
        route(config, host="mac-01", jump=jump)
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].node) == ("E0413", "n")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh: apt-get install openssh-client")
@pytest.mark.parametrize("host", ["mac-01", "mac-02", "mac-03", "gate", "elsewhere"])
def test_user_host_and_port_are_those_of_openssh(config, host) -> None:
    printed = subprocess.run(["ssh", "-G", "-F", config, host], check=True, capture_output=True, text=True)
    said = dict(line.split(" ", 1) for line in printed.stdout.splitlines())
    assert places(config, host=host)[-1] == (said["user"], said["hostname"], int(said["port"]))
