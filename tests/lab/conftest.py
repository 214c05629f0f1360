"""One lab of two nodes for all acceptance tests, and the real command in a fleet folder of its own."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("macfleet"))
DOCKER = "/usr/bin/docker"
# A second lab beside this one: MACFLEET_TEST_LAB="other 172.28.97.0/24".
NAME, SUBNET = os.environ.get("MACFLEET_TEST_LAB", "mftest 172.28.92.0/24").split()
STATE = ROOT / ".macfleet" / ("test-lab" if NAME == "mftest" else NAME)
LAB = ("--name", NAME, "--subnet", SUBNET, "--state-dir", str(STATE))
DURATION = "4s"
BREW = """\
export PATH=/opt/homebrew/bin:$PATH LIMA_HOME=$HOME/.colima/_lima
export DOCKER_HOST=unix://$HOME/.colima/default/docker.sock
"""
# What of a node a refused command must leave as it is. Logs, sockets and what belongs to the VM live on.
SNAPSHOT = """\
find /Users/ops /Library/LaunchDaemons \\( -name .colima -o -name logs -o -name .macfleet -o -name loadgen \\) \\
  -prune -o -print | sort | while read -r each; do stat -f '%N %p %Su %z' "$each"; done
find /Users/ops/macfleet /Library/LaunchDaemons -name loadgen -prune -o -type f -exec shasum -a 256 {} +
docker ps -a --no-trunc --format '{{.ID}} {{.State}}' | sort
docker images --no-trunc --format '{{.ID}} {{.Repository}} {{.Tag}}' | sort
"""


@dataclass(frozen=True)
class Said:
    """One finished command."""

    words: tuple[str, ...]
    exit: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def text(self):
        """Both streams with folded lines joined, so that words can be looked for."""
        return re.sub(r"\s+", " ", self.stdout + self.stderr)

    @property
    def documents(self):
        """Every JSON document of stdout."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]

    @property
    def document(self):
        """The one JSON document of stdout."""
        return json.loads(self.stdout)

    def nodes(self):
        """The nodes of a rollout's document, by name."""
        return {node["node"]: node for node in self.document["nodes"]}


@dataclass
class Nodes:
    """The lab's nodes, reached as an administrator reaches them: ssh, and the machine's docker."""

    state: dict
    names: tuple[str, ...] = field(default=("mac-01", "mac-02"))

    def address(self, name):
        return self._node(name)["address"]

    def container(self, name):
        return self._node(name)["container"]

    def login(self, name, script, *, stdin="", timeout=120):
        """Run a script in a login as the SSH transport has it."""
        node = self._node(name)
        command = ["ssh", "-i", self.state["key"], "-o", f"UserKnownHostsFile={self.state['known_hosts']}"]
        command += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=3"]
        return subprocess.run(
            [*command, f"{node['user']}@{node['address']}", script],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def brewed(self, name, script, **options):
        """Run with Homebrew's programs; return stdout, fail when the script fails."""
        done = self.login(name, BREW + script, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def in_vm(self, name, script):
        """Run inside the node's VM."""
        return self.login(name, f"{BREW}limactl shell colima sh -c {shlex.quote(script)}")

    def until(self, name, script, seconds=90.0):
        """Wait until a script succeeds on a node; fail with its last words."""
        deadline = time.monotonic() + seconds
        done = self.login(name, BREW + script)
        while done.returncode and time.monotonic() < deadline:
            done = self.login(name, BREW + script)
        assert done.returncode == 0, f"{name}: {done.stderr}"

    def snapshot(self):
        """What every node holds and runs, as text."""
        return {name: self.brewed(name, SNAPSHOT) for name in self.names}

    def docker(self, *words):
        """Run the machine's docker on the outer containers."""
        done = subprocess.run([DOCKER, *words], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def _node(self, name):
        return next(node for node in self.state["nodes"] if node["name"] == name)


@dataclass
class Fleet:
    """A fleet folder and the `macfleet` command in it; keeps all that was said."""

    folder: Path
    transcript: list

    def __call__(self, *words, exits=0, timeout=900):
        said = run_macfleet(self.folder, *words, timeout=timeout)
        self.transcript.append(said)
        if exits is not None:
            assert said.exit == exits, f"{shlex.join(words)}: exit {said.exit}\n{said.stdout}\n{said.stderr}"
        return said

    def twin(self, folder):
        """A copy of the folder to spoil, with its own locks, evidence and host keys."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("runs"))
        return Fleet(folder, self.transcript)

    def read(self, path):
        return (self.folder / path).read_text(encoding="utf-8")

    def write(self, path, text):
        (self.folder / path).write_text(text, encoding="utf-8")

    def edit(self, path, old, new):
        """Replace text that must be there, once."""
        text = self.read(path)
        assert old in text
        self.write(path, text.replace(old, new, 1))

    def for_node(self, name, **values):
        """Give one node values of its own in the inventory."""
        document = yaml.safe_load(self.read("inventory/lab/hosts.yml"))
        serving = document["all"]["children"]["serving"]
        serving["hosts"][name] |= values
        self.write("inventory/lab/hosts.yml", yaml.safe_dump(document, sort_keys=False))

    def shared(self):
        """The values all nodes share."""
        return yaml.safe_load(self.read("inventory/lab/hosts.yml"))["all"]["children"]["serving"]["vars"]

    def commit(self, why):
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run([*git, "add", "-A"], cwd=self.folder, check=True)
        subprocess.run([*git, "commit", "-qm", why], cwd=self.folder, check=True)


def run_macfleet(folder, *words, timeout=900):
    """Run the real command as a person would, without a terminal."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MACFLEET", "PYTHON"))}
    began = time.monotonic()
    done = subprocess.run(
        [COMMAND, *words],
        cwd=folder,
        env={**kept, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Said(words, done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@pytest.fixture(scope="session")
def nodes():
    """The lab with blank nodes, gone at the end; MACFLEET_KEEP_LAB=1 takes the one that is there and leaves it."""
    keep = os.environ.get("MACFLEET_KEEP_LAB") == "1"
    STATE.parent.mkdir(exist_ok=True)
    with (STATE.parent / f"{NAME}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # another test session in this checkout waits its turn
        yield from _lab(keep=keep)


def _lab(*, keep):
    if not keep:
        run_macfleet(ROOT, "lab", "down", *LAB)
    up = run_macfleet(ROOT, "lab", "up", "--nodes", "2", *LAB)
    try:
        assert up.exit == 0, up.stderr
        found = Nodes(json.loads((STATE / "lab.json").read_text(encoding="utf-8")))
        for name in found.names:
            # In the node's own layer, as on a disk: a folder of the image below is copied by a rename.
            found.brewed(
                name,
                "[ -d ~/.colima ] || { cp -Rp ~/models ~/fresh && rm -rf ~/models && mv ~/fresh ~/models; }",
            )
        yield found
    finally:
        if not keep:
            run_macfleet(ROOT, "lab", "down", *LAB)


@pytest.fixture(scope="session")
def fleet(nodes, tmp_path_factory):
    """A fleet folder for the lab: enrolled, frozen, pinned, committed."""
    assert nodes.names
    folder = tmp_path_factory.mktemp("acceptance") / "fleet"
    made = run_macfleet(ROOT, "lab", "fleet", str(folder), *LAB)
    assert made.exit == 0, made.stderr
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    fleet = Fleet(folder, [])
    fleet("enrol", "-l", "all")
    fleet("contract", "freeze")
    fleet("image", "pin")
    fleet.commit("The lab's fleet")
    return fleet


@pytest.fixture(scope="session")
def rolled_out(fleet):
    """`rollout all` on nodes as they came up; what it said, whatever it ended with."""
    return fleet(
        "rollout", "all", "--yes", "--duration", DURATION, "--output", "json", exits=None, timeout=1500
    )


@pytest.fixture(scope="session")
def serving(fleet, rolled_out):
    """The fleet whose nodes serve: stages 1 to 4 done."""
    assert rolled_out.exit in (0, 7), rolled_out.stdout + rolled_out.stderr
    return fleet


@pytest.fixture
def spoilt(serving, tmp_path):
    """A twin of the serving fleet's folder, to be given wrong input."""
    return serving.twin(tmp_path / "fleet")


def pytest_collection_modifyitems(items):
    """Put the acceptance tests back into the order they are written in: they share two nodes."""
    places = [place for place, item in enumerate(items) if item.path.name.startswith("test_acceptance_")]
    ordered = sorted((items[place] for place in places), key=_written)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _written(item):
    indices = getattr(item, "callspec", None)
    return item.path.name, item.location[1], tuple(indices.indices.values()) if indices else ()
