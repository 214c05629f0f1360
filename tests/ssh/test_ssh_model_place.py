"""`macfleet model place` over a real OpenSSH server, from a fleet folder."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay import Relay, relay
from sshd_server import Server

pytestmark = pytest.mark.sshd
MIB = 2**20


class Fleet:
    """A fleet folder with one node, and the weights it pins."""

    def __init__(self, root: Path, server: Server, port: int) -> None:
        self.root = root
        self.models = root / "models"
        self.models.mkdir()
        (root / "macfleet.yml").write_text("name: placing\n")
        (root / "inventory").mkdir()
        (root / "inventory" / "hosts.yml").write_text(
            "all:\n"
            f"  vars: {{ansible_user: {getpass.getuser()}, host_key: '{server.fingerprint()}', "
            f"ansible_ssh_private_key_file: {server.identity}}}\n"
            f"  hosts:\n    mac-01: {{ansible_host: 127.0.0.1, ansible_port: {port}}}\n"
        )

    def pin(self, name: str, content: bytes) -> Path:
        """Pin a file and lay it ready; return where it is to go."""
        (self.models / name).write_bytes(content)
        goal = self.root / "node" / name
        goal.parent.mkdir(exist_ok=True)
        with (self.root / "weights.lock").open("a") as lock:
            lock.write("" if lock.tell() else "files:\n")
            digest = hashlib.sha256(content).hexdigest()
            lock.write(f"  - {{path: {goal}, size: {len(content)}, sha256: {digest}}}\n")
        return goal

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "macfleet", "model", "place", "--from", str(self.models), *arguments]
        source = Path(__file__).parents[2] / "src"
        environment = {**os.environ, "PYTHONPATH": str(source), "HOME": str(self.root)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.root, env=environment, stdout=pipe, stderr=pipe, text=True)

    def place(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.begin(*arguments) as process:
            stdout, stderr = process.communicate(timeout=180)
        return subprocess.CompletedProcess((), process.returncode, stdout, stderr)


@pytest.fixture
def line(server: Server) -> Iterator[Relay]:
    with relay(server.port) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, server: Server, line: Relay) -> Fleet:
    root = tmp_path / "fleet"
    root.mkdir()
    return Fleet(root, server, line.port)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311  (the same bytes each time)


def test_files_are_placed_once_and_found_the_second_time(fleet: Fleet) -> None:
    goals = [fleet.pin(name, noise(size)) for name, size in (("a.gguf", 3 * MIB), ("b.gguf", 5))]
    first = fleet.place("-l", "mac-01", "--output", "json")
    assert first.returncode == 0, first.stderr
    rows = json.loads(first.stdout)["files"]
    assert [(row["path"], row["sent"]) for row in rows] == [(str(goals[0]), 3 * MIB), (str(goals[1]), 5)]
    assert [goal.read_bytes() for goal in goals] == [noise(3 * MIB), noise(5)]
    again = fleet.place("-l", "mac-01")
    assert (again.returncode, again.stdout.count("there already")) == (0, 2)


def test_a_connection_that_breaks_is_gone_on_with_by_itself(fleet: Fleet, line: Relay) -> None:
    goal = fleet.pin("a.gguf", noise(12 * MIB))
    line.cut_after(6 * MIB)
    done = fleet.place("-l", "mac-01", "--output", "json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["files"]
    assert row["found"] > 0
    assert row["sent"] + row["found"] == 12 * MIB
    assert goal.read_bytes() == noise(12 * MIB)
    assert line.connections == 2


def test_a_controller_that_is_killed_is_gone_on_with_by_the_next(fleet: Fleet, line: Relay) -> None:
    goal = fleet.pin("a.gguf", noise(12 * MIB))
    half = threading.Event()
    line.when(6 * MIB, half.set)
    with fleet.begin() as process:
        assert half.wait(60)
        process.kill()
        process.communicate()
    assert not goal.exists()
    done = fleet.place("--output", "json")
    (row,) = json.loads(done.stdout)["files"]
    assert row["found"] > 0
    assert row["sent"] + row["found"] == 12 * MIB
    assert goal.read_bytes() == noise(12 * MIB)


def test_only_what_is_pinned_is_placed_and_only_as_it_is_pinned(fleet: Fleet, line: Relay) -> None:
    goal = fleet.pin("a.gguf", noise(100))
    unknown = fleet.place("other.gguf")
    assert (unknown.returncode, "E0424" in unknown.stderr) == (2, True)
    (fleet.models / "a.gguf").write_bytes(b"another")
    changed = fleet.place()
    assert (changed.returncode, "E0426" in changed.stderr) == (2, True)
    (fleet.models / "a.gguf").unlink()
    missing = fleet.place()
    assert (missing.returncode, "E0425" in missing.stderr) == (2, True)
    assert not goal.exists()
    assert line.connections == 0
