"""`enrol`, `ping` and `exec` over real OpenSSH servers, from a fleet folder."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SSHD = "/usr/sbin/sshd"
pytestmark = pytest.mark.sshd


class Fleet:
    """A fleet folder with one node that answers and one that does not."""

    def __init__(self, root: Path, port: int, dead_port: int) -> None:
        self.root = root
        (root / "macfleet.yml").write_text("name: reach\n")
        inventory = root / "inventory"
        inventory.mkdir()
        node = "{{ansible_host: 127.0.0.1, ansible_port: {port}, hardware: h, ownership: owned}}"
        inventory.joinpath("hosts.yml").write_text(
            "all:\n"
            f"  vars: {{ansible_user: {getpass.getuser()}, "
            f"ansible_ssh_private_key_file: {root}/identity}}\n"
            "  hosts:\n"
            f"    mac-01: {node.format(port=port)}\n"
            f"    mac-02: {node.format(port=dead_port)}\n"
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        source = Path(__file__).parents[2] / "src"
        return subprocess.run(
            [sys.executable, "-m", "macfleet", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(source), "HOME": str(self.root)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    if not Path(SSHD).exists() or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server here: apt-get install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for key in ("host_key", "identity"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    port = _free_port()
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/identity.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
    )
    # -D writes "Server listening" to the log once it does.
    server = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", config], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert server.stderr is not None
    assert any("Server listening" in line for line in iter(server.stderr.readline, ""))
    yield Fleet(tmp_path, port, _free_port())
    server.terminate()
    server.wait(10)
    server.stderr.close()


def test_a_node_is_refused_enrolled_pinged_and_commanded(fleet: Fleet) -> None:
    refused = fleet.run("ping", "-l", "mac-01")
    assert refused.returncode == 5
    assert "E0402" in refused.stderr
    assert "macfleet enrol mac-01" in refused.stderr

    enrolled = fleet.run("enrol", "mac-01")
    assert (enrolled.returncode, enrolled.stderr) == (0, "")
    assert "SHA256:" in enrolled.stdout
    assert enrolled.stdout.rstrip().endswith("new")

    pinged = fleet.run("ping", "-l", "mac-01")
    assert pinged.returncode == 0
    assert pinged.stdout.splitlines()[1].split()[:2] == ["mac-01", "ok"]

    done = fleet.run("exec", "-l", "mac-01", "--", "printf", "%s\\n", "a b", "$HOME")
    assert (done.returncode, done.stdout) == (0, "mac-01 │ a b\nmac-01 │ $HOME\n")


def test_a_single_word_is_shell_text_and_a_failed_command_exits_4(fleet: Fleet) -> None:
    fleet.run("enrol", "mac-01")
    done = fleet.run("exec", "-l", "mac-01", "--output", "json", "--", "echo a | tr a b; exit 9")
    assert done.returncode == 4
    document = json.loads(done.stdout)
    assert (document["schema"], document["kind"]) == (1, "exec")
    (row,) = document["nodes"]
    assert (row["node"], row["exit"], row["stdout"]) == ("mac-01", 9, "b\n")


def test_one_dead_node_is_named_while_the_other_answers(fleet: Fleet) -> None:
    enrolled = fleet.run("enrol", "-l", "all")
    assert enrolled.returncode == 5
    pinged = fleet.run("ping", "--output", "json")
    assert pinged.returncode == 5
    rows = json.loads(pinged.stdout)["nodes"]
    assert [(row["node"], row["reachable"]) for row in rows] == [("mac-01", True), ("mac-02", False)]
    assert "E0401" in pinged.stderr


def test_enrol_wants_to_know_whom(fleet: Fleet) -> None:
    assert fleet.run("enrol").returncode == 2


def test_control_characters_of_a_node_do_not_reach_the_terminal(fleet: Fleet) -> None:
    fleet.run("enrol", "mac-01")
    done = fleet.run("exec", "-l", "mac-01", "--", "printf '\\033[2Jx'")
    assert done.stdout == "mac-01 │ \\x1b[2Jx\n"


def test_a_command_that_hangs_is_ended_at_its_deadline(fleet: Fleet) -> None:
    fleet.run("enrol", "mac-01")
    done = fleet.run("exec", "-l", "mac-01", "--deadline", "1", "--", "sleep 600")
    assert done.returncode == 4
    assert "E0410" in done.stderr
