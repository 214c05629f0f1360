"""What tests of the lab hold: its nodes, a fleet folder, and the real command as a person runs it."""

from __future__ import annotations

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

import yaml

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("macfleet"))
DOCKER = "/usr/bin/docker"
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

    def fault(self, name, kind, *words):
        """Plant a fault on a node as a person does, or end it with ``--off``; what was said."""
        said = self.lab("fault", name, kind, *words)
        assert said.exit == 0, said.stderr
        return said.stdout

    def lab(self, *words):
        """Run `macfleet lab` on this lab."""
        folder = str(Path(self.state["key"]).parent)
        return run_macfleet(ROOT, "lab", *words, "--state-dir", folder)

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
