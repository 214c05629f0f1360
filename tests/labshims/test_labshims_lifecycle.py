"""A lab comes and goes: what it makes it removes, and the engine it starts it stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from macfleet.lab import LabConfig, down, status, up
from macfleet.lab.state import state_file

pytestmark = pytest.mark.lab

ENGINE = """
import json
from macfleet.lab.engine import ensure_engine, stop_engine
docker = ensure_engine(print)
started = docker.answers()
stopped = stop_engine(docker, print)
print(json.dumps([started, stopped, docker.answers()]))
"""


def docker(*words):
    done = subprocess.run(["/usr/bin/docker", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def traces(name):
    found = docker("ps", "-aq", "--filter", f"name=^{name}-")
    found += docker("volume", "ls", "-q", "--filter", f"name={name}-")
    found += docker("network", "ls", "-q", "--filter", f"name=^{name}$")
    return found + [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/vm-{name}-*")]


def test_down_leaves_nothing_of_a_lab_with_a_running_vm(tmp_path):
    config = LabConfig(tmp_path / "state", nodes=1, name="macfleet-labgone", subnet="172.28.94.0/24")
    state = up(config, print)
    try:
        assert status(config).up
        start = "PATH=/opt/homebrew/bin:$PATH; brew install -q colima docker >/dev/null && colima start"
        login = [
            "ssh",
            "-i",
            state.key,
            "-o",
            f"UserKnownHostsFile={state.known_hosts}",
            "-o",
            "BatchMode=yes",
        ]
        subprocess.run([*login, f"ops@{state.nodes[0].address}", start], check=True, capture_output=True)
        assert any("vm-macfleet-labgone-mac-01" in trace for trace in traces(config.name))
    finally:
        down(config, print)
    assert traces(config.name) == []
    assert not state_file(config).exists()
    assert not config.state_dir.exists()
    down(config, print)  # and a second time


def test_an_engine_the_lab_starts_is_one_the_lab_stops():
    # In namespaces of its own: the machine's engine is not seen and not touched.
    hide = "for dir in /run /var/lib/docker /var/lib/containerd; do mkdir -p $dir; mount -t tmpfs none $dir; done"
    command = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        f'{hide}; exec "$@"',
        "-",
    ]
    done = subprocess.run(
        [*command, sys.executable, "-c", ENGINE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines()[-1] == "[true, true, false]", done.stderr
    assert not list(Path("/sys/fs/cgroup").glob("*/vm-none*"))
