"""`enrol`, `ping` and `exec` over real OpenSSH servers, from a fleet folder."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
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
    document = json.loads(pinged.stdout)
    rows = document["nodes"]
    assert [(each["code"], each["node"]) for each in document["diagnostics"]] == [("E0401", "mac-02")]
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


@pytest.mark.parametrize("deadline", ["0", "-1", "nan", "inf", "1e9"])
def test_a_deadline_that_never_comes_is_refused(fleet: Fleet, deadline: str) -> None:
    done = fleet.run("exec", "--deadline", deadline, "--", "true")
    assert (done.returncode, "--deadline must be more than 0" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["/usr/sbin/nologin", "true", "echo welcome; exit 0"])
def test_an_account_that_runs_something_else_is_not_reachable(fleet: Fleet, command: str) -> None:
    fleet.run("enrol", "mac-01")
    keys = fleet.root / "identity.pub"
    keys.write_text(f'command="{command}" {keys.read_text()}')
    pinged = fleet.run("ping", "-l", "mac-01")
    assert (pinged.returncode, pinged.stdout.splitlines()[1].split()[1]) == (5, "unreachable")
    assert "E0427" in pinged.stderr


def test_on_a_terminal_the_nodes_that_are_waited_for_are_seen(fleet: Fleet) -> None:
    fleet.run("enrol", "mac-01")
    wait = f"while [ ! -f {fleet.root}/go ]; do sleep 0.1; done; echo done"
    ours, theirs = os.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "macfleet", "exec", "-l", "mac-01", "--", wait],
        cwd=fleet.root,
        env={**os.environ, "HOME": str(fleet.root), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = ""
    while "asking" not in seen:
        # It fails with an error of input when the command ended without showing anything.
        seen += os.read(ours, 4096).decode("utf-8", "replace")
    (fleet.root / "go").touch()
    # What it goes on drawing must not fill the terminal's buffer.
    drawing = threading.Thread(target=drained, args=(ours,))
    drawing.start()
    out, _ = running.communicate(timeout=60)
    drawing.join(60)
    os.close(ours)
    assert "Exec · 0 of 1 nodes done" in seen
    assert (running.returncode, out) == (0, "mac-01 │ done\n")


def drained(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass


def fingerprint(public: Path) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", public], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def test_a_changed_host_key_exits_5_with_both_fingerprints_until_it_is_replaced(fleet: Fleet) -> None:
    fleet.run("enrol", "mac-01")
    known = fleet.root / ".macfleet" / "known_hosts"
    name = known.read_text().split()[0]
    kind, old = (fleet.root / "identity.pub").read_text().split()[:2]
    known.write_text(f"{name} {kind} {old}\n")
    both = [fingerprint(fleet.root / each) for each in ("identity.pub", "host_key.pub")]
    for arguments in (("ping", "-l", "mac-01"), ("enrol", "mac-01")):
        done = fleet.run(*arguments)
        assert (done.returncode, "E0403" in done.stderr) == (5, True)
        assert all(each in "".join(done.stderr.split()) for each in both)
        assert "macfleet enrol mac-01 --replace" in done.stderr
    assert old in known.read_text()
    assert fleet.run("enrol", "mac-01", "--replace").stdout.rstrip().endswith(f"replaced, was {both[0]}")
    assert fleet.run("ping", "-l", "mac-01").returncode == 0
    assert old not in known.read_text()


def test_what_ssh_config_says_and_nobody_follows_is_shown(fleet: Fleet) -> None:
    (fleet.root / ".ssh").mkdir()
    config = fleet.root / ".ssh" / "config"
    config.write_text("Host *\n  StrictHostKeyChecking no\n")
    done = fleet.run("enrol", "mac-01")
    assert (done.returncode, done.stderr.count("E0416")) == (0, 1)
    assert f"{config}:2" in "".join(done.stderr.split())
    config.write_text("Host *\n  CanonicalizeHostname yes\n")
    done = fleet.run("ping", "-l", "mac-01")
    assert (done.returncode, "E0415" in done.stderr) == (2, True)
    config.write_text("Host *\n  StrictHostKeyChecking\n")
    done = fleet.run("ping", "-l", "mac-01")
    assert (done.returncode, "E0414" in done.stderr) == (2, True)


def test_the_passphrase_of_the_key_comes_from_a_reference_and_is_nowhere_shown(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame 42", "-f", str(fleet.root / "identity")]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    fleet.run("enrol", "mac-01")
    locked = fleet.run("ping", "-l", "mac-01")
    assert (locked.returncode, "MACFLEET_SSH_PASSPHRASE" in locked.stderr) == (5, True)
    monkeypatch.setenv("MACFLEET_SSH_PASSPHRASE", "env:PHRASE")
    monkeypatch.setenv("PHRASE", "open sesame 42")
    done = fleet.run("exec", "-l", "mac-01", "--", "env; echo in")
    assert done.returncode == 0
    assert "open sesame 42" not in done.stdout + done.stderr
    monkeypatch.setenv("PHRASE", "another phrase")
    wrong = fleet.run("ping", "-l", "mac-01")
    assert (wrong.returncode, "not the right one" in " ".join(wrong.stderr.split())) == (5, True)
    assert "another phrase" not in wrong.stderr
