"""Thin nodes: real SSH servers with homes of their own; a look at unchanged ones costs next to nothing."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from macfleet.lab.delay import DelayProxy
from macfleet.lab.thin import answering, read_thin, thin_down, thin_inventory, thin_up
from macfleet.lab.thin_servers import PortTakenError, end_servers, make_node, start_servers
from macfleet.model.diagnostic import MacfleetError

MACFLEET = str(Path(sys.executable).with_name("macfleet"))
RTT = 1.0
"""Long enough that a client on a busy machine still sends before the answer it need not wait for is there."""
SITE = Path(__file__).parents[2] / "bench" / "fleet" / "site.yml"
pytestmark = [
    pytest.mark.sshd,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount namespace needs root"
    ),
]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thin")
    thin_up(folder, 3, lambda _: None)
    yield folder
    thin_down(folder, lambda _: None)


@pytest.fixture(scope="module")
def lab(state_dir):
    return read_thin(state_dir)


@pytest.fixture(scope="module")
def fleet(lab, tmp_path_factory):
    """A fleet folder of the three nodes, on which the benchmark's site.yml has been applied."""
    folder = tmp_path_factory.mktemp("fleet") / "fleet"
    macfleet(folder.parent, "init", str(folder))
    shutil.copy(SITE, folder / "playbooks" / "site.yml")
    (folder / "images.yml").write_text("images: {}\n")
    (folder / "weights.lock").unlink()
    macfleet(folder, "contract", "freeze")
    for node in lab.nodes:
        (Path(node.home) / "cache").mkdir()
    inventory(folder / "thin.yml", lab, [node.port for node in lab.nodes])
    macfleet(folder, "apply", "playbooks/site.yml", "-i", "thin.yml")
    return folder


def macfleet(folder, *words):
    done = subprocess.run([MACFLEET, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def inventory(path, lab, ports):
    document = yaml.safe_load(thin_inventory(lab))
    for node, port in zip(lab.nodes, ports, strict=True):
        document["all"]["children"]["serving"]["hosts"][node.name]["ansible_port"] = port
    path.write_text(yaml.safe_dump(document))


def ssh(lab, node, command):
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    words = ["ssh", "-i", lab.key, "-p", str(node.port), *options, f"{lab.user}@127.0.0.1", command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_every_node_answers_with_a_home_and_a_host_key_of_its_own(lab):
    assert answering(lab) == ("thin-01", "thin-02", "thin-03")
    assert len({node.host_key for node in lab.nodes}) == 3
    for node in lab.nodes:
        assert ssh(lab, node, "echo $HOME").strip() == node.home


def test_a_macs_programs_lie_in_homebrews_folder_and_nowhere_on_this_machine(lab):
    assert ssh(lab, lab.nodes[0], "/opt/homebrew/bin/stat -f '%Mp%Lp %Su:%Sg' /").startswith("0755 root:")
    assert not Path("/opt/homebrew/bin/sw_vers").exists()


def test_what_runs_is_left_as_it_is(state_dir, lab):
    assert thin_up(state_dir, 3, lambda _: None) == lab


def test_an_impossible_number_is_refused(tmp_path):
    with pytest.raises(MacfleetError) as refused:
        thin_up(tmp_path, 0, lambda _: None)
    assert refused.value.diagnostics[0].code == "E0560"


def test_an_unchanged_node_costs_one_connection_one_exec_and_at_most_four_round_trips(lab, fleet):
    files = [Path(node.home) / "cache" / f"part-{part}.conf" for node in lab.nodes for part in range(1, 10)]
    before = [file.stat().st_mtime_ns for file in files]
    with DelayProxy([node.port for node in lab.nodes], RTT) as far:
        inventory(fleet / "far.yml", lab, far.ports)
        said = macfleet(fleet, "plan", "playbooks/site.yml", "-i", "far.yml")
        passages = far.passages()
    assert "nothing to change" in said
    assert [passage.connections for passage in passages] == [1, 1, 1]
    assert max(passage.round_trips for passage in passages) <= 4
    # A script for nine files and the answer: neither a file's content nor a second script went up.
    assert max(passage.up for passage in passages) < 12_000
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_changed_node_costs_one_exec_more_and_at_most_six_round_trips(lab, fleet):
    def change():
        playbook = fleet / "playbooks" / "site.yml"
        wanted = "another"
        playbook.write_text(SITE.read_text().replace('revision: "1"', f'revision: "{wanted}"'))
        with DelayProxy([node.port for node in lab.nodes], RTT) as far:
            inventory(fleet / "far.yml", lab, far.ports)
            macfleet(fleet, "apply", "playbooks/site.yml", "-i", "far.yml")
            return far.passages(), f", revision {wanted}.\n"

    try:
        passages, line = change()
        files = [
            Path(node.home) / "cache" / f"part-{part}.conf" for node in lab.nodes for part in range(1, 10)
        ]
        assert all(line in file.read_text() for file in files)
        assert not any((Path(node.home) / ".macfleet" / "lock").exists() for node in lab.nodes)
    finally:
        shutil.copy(SITE, fleet / "playbooks" / "site.yml")
        macfleet(fleet, "apply", "playbooks/site.yml", "-i", "thin.yml")
    assert [passage.connections for passage in passages] == [1, 1, 1]
    # SYN, first line, keys, login with the first script, and two for the second: its session, itself.
    assert max(passage.round_trips for passage in passages) <= 6


def test_down_leaves_neither_server_nor_key_behind(tmp_path):
    lab = thin_up(tmp_path, 1, lambda _: None)
    pid = (tmp_path / "thin" / "nodes" / "thin-01" / "sshd.pid").read_text().strip()
    assert thin_down(tmp_path, lambda _: None)
    assert answering(lab) == ()
    assert not re.match(r"^sshd", _command(pid))
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_somebody_else_took_is_told_from_servers_that_fail(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        node = make_node(tmp_path / "nodes" / "thin-01", somebody.getsockname()[1], "ssh-ed25519 AAAA")
        with pytest.raises(PortTakenError):
            start_servers(tmp_path, [node])
    (tmp_path / "nodes" / "thin-01" / "sshd_config").write_text("Prot 22\n")
    with pytest.raises(MacfleetError) as failed:
        start_servers(tmp_path, [node])
    (problem,) = failed.value.diagnostics
    assert (problem.code, "Prot" in problem.why) == ("E0562", True)
    assert end_servers(tmp_path) == 0


def test_down_ends_what_still_runs_in_a_nodes_home(tmp_path):
    lab = thin_up(tmp_path, 1, lambda _: None)
    (node,) = lab.nodes
    with subprocess.Popen(["sleep", "600"], env={"HOME": node.home}) as left:
        thin_down(tmp_path, lambda _: None)
        assert left.wait(20) == -signal.SIGTERM


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""
