"""One lab of one node for all tests of the node's programs; its own name and network."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass

import pytest

from macfleet.lab import LabConfig, LabState, down, up

_COLIMA = """\
runtime: docker
cpu: 2
memory: 2
disk: 20
vmType: vz
mountType: virtiofs
mounts: []
docker:
  insecure-registries: ["REGISTRY", "SUBNET"]
"""


@dataclass(frozen=True)
class Shell:
    """A login to the node, as the SSH transport has it: no terminal, no login shell."""

    config: LabConfig
    state: LabState

    def __call__(self, script, *, timeout=120, stdin=""):
        node = self.state.nodes[0]
        command = ["ssh", "-i", self.state.key, "-o", f"UserKnownHostsFile={self.state.known_hosts}"]
        command += [
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "BatchMode=yes",
            f"{node.user}@{node.address}",
            script,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, input=stdin
        )

    def brewed(self, script, **options):
        """Run with Homebrew's programs, as macfleet's own steps do."""
        socket = "unix:///Users/ops/.colima/default/docker.sock"
        head = f"export PATH=/opt/homebrew/bin:$PATH DOCKER_HOST={socket} LIMA_HOME=$HOME/.colima/_lima\n"
        return self(head + script, **options)

    def until(self, script, seconds=30.0):
        """Wait until a script succeeds; fail with its last words."""
        deadline = time.monotonic() + seconds
        done = self.brewed(script)
        while done.returncode and time.monotonic() < deadline:
            done = self.brewed(script)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    # A second lab beside this one: MACFLEET_TEST_LAB="other 172.28.97.0/24".
    name, subnet = os.environ.get("MACFLEET_TEST_LAB", "macfleet-labtest 172.28.93.0/24").split()
    config = LabConfig(tmp_path_factory.mktemp("lab"), nodes=1, name=name, subnet=subnet)
    state = up(config, print)
    try:
        yield Shell(config, state)
    finally:
        down(config, print)


@pytest.fixture(scope="session")
def colima(node):
    """The node with Homebrew's programs and a running VM."""
    installed = node.brewed("brew install colima docker docker-compose llama.cpp python@3.13")
    assert installed.returncode == 0, installed.stderr
    text = _COLIMA.replace("REGISTRY", node.state.registry).replace("SUBNET", node.config.subnet)
    assert (
        node("mkdir -p ~/.colima/default && cat > ~/.colima/default/colima.yaml", stdin=text).returncode == 0
    )
    started = node.brewed("colima start")
    assert started.returncode == 0, started.stderr
    return node
