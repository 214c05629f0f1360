"""An accelerator planted in the bare arm: stage 5 adds bare-cpu, and the gap is split in two.

There is no GPU in a lab: the golden engine stands where llama-server was, twice as fast in the arm bare, and
the inventory says ``metal``. All that is said of it says that it is simulated.
"""

from __future__ import annotations

import os
import re

import pytest
from golden_llama import program
from planted import HEALTH, as_root_in_vm, judged, measured

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        os.environ.get("MACFLEET_SCENARIOS") != "all",
        reason="two minutes more; run them with: make scenarios",
    ),
]

BINARY = "/opt/homebrew/Cellar/llama.cpp/*/bin/llama-server"
IMAGE = (
    "/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/app/llama-server"
)
MARK = "/opt/lab/planted/accelerator"
PYTHONS = {"node": "/opt/homebrew/bin/python3", "container": "/usr/bin/python3"}
# Fewer segments leave the intervals too wide to prove that mounts are not to blame.
LENGTH = ("--duration", "4s", "--segments", "4")
# What is put in a program's place is a new file: what runs goes on with the old one.
SWAP = "for f in {path}; do cp {new} $f.new && chmod 755 $f.new && mv $f $f.real && mv $f.new $f; done"
BACK = "for f in {path}; do [ ! -e $f.real ] || mv $f.real $f; done"


@pytest.fixture(scope="module")
def apart(serving, tmp_path_factory):
    """A twin of the serving fleet whose first node is said to have Metal."""
    twin = serving.twin(tmp_path_factory.mktemp("accelerator") / "fleet")
    twin.for_node("mac-01", accelerator="metal")
    twin.commit("The first node computes on Metal")
    return twin


@pytest.fixture(scope="module")
def accelerated(apart, nodes, tmp_path_factory):
    """The golden engine in all arms of the first node, twice as fast in the bare one."""
    folder = tmp_path_factory.mktemp("golden")
    outer = nodes.container("mac-01")
    for where, python in PYTHONS.items():
        file = folder / where
        file.write_bytes(program(python, container=where == "container"))
        nodes.docker("cp", str(file), f"{outer}:/opt/lab/golden-{where}")
    nodes.docker("exec", outer, "sh", "-c", f"mkdir -p {MARK.rpartition('/')[0]} && : >{MARK}")
    nodes.docker("exec", outer, "sh", "-c", SWAP.format(path=BINARY, new="/opt/lab/golden-node"))
    as_root_in_vm(nodes, "mac-01", SWAP.format(path=IMAGE, new="/opt/lab/golden-container"))
    try:
        yield apart
    finally:
        nodes.docker("exec", outer, "sh", "-c", f"rm -f {MARK}; {BACK.format(path=BINARY)}")
        as_root_in_vm(nodes, "mac-01", BACK.format(path=IMAGE))
        # A restart keeps the container's file system as it is mounted; a stop and a start do not.
        again = "docker stop chat-engine-1; docker start chat-engine-1"
        nodes.brewed("mac-01", f"sudo -n launchctl kickstart -k system/com.macfleet.engine; {again}")
        nodes.until("mac-01", HEALTH)
        nodes.until("mac-01", HEALTH.replace("8080", "8081"))


@pytest.fixture(scope="module")
def column(accelerated):
    """The node's column of the comparison, from real traffic through the whole of stage 5."""
    return measured(accelerated, *LENGTH)


def test_the_gap_is_split_into_what_the_gpu_is_worth_and_what_virtualisation_costs(column):
    arms = {(cell["arm"], cell["accelerator"]) for cell in column["cells"]}
    assert arms == {("bare", "metal"), ("bare-cpu", "cpu"), ("container", "cpu")}
    gaps = {(gap["arm"], gap["base"], gap["cell"]): gap["ratio"] for gap in column["gaps"]}
    assert set(gaps) == {
        (arm, "bare-cpu", cell) for arm in ("bare", "container") for cell in ("short×1", "short×4")
    }
    for (arm, _, _), ratio in gaps.items():
        low, high = (1.7, 2.3) if arm == "bare" else (0.85, 1.15)
        assert low < ratio["value"] < high, gaps
        assert ratio["pairs"] == int(LENGTH[-1])


def test_mounts_are_not_blamed_for_what_the_gpu_is_worth(column, accelerated):
    found = judged(column, "mounts-first")
    assert found["outcome"] == "pass", found
    assert all("against bare:" not in reason for reason in found["reasons"])
    for said in (accelerated("decide", exits=None), accelerated("diagnose", exits=None)):
        assert not re.search(r"fix mounts|bind-mount weights", said.text), said.text


def test_what_was_measured_says_that_it_is_simulated_and_how_the_gpu_was_off(column, accelerated):
    said = accelerated("compare", column["run"]).text
    assert "the accelerator is planted, simulated" in said
    assert "bare-cpu is the bare engine with --device none -ngl 0" in said
    assert re.search(r"GPU worth 2\.\d×|GPU worth 1\.[789]\d?×", said), said


def test_no_engine_without_a_gpu_is_left_behind(column, nodes):
    assert column["run"]
    left = nodes.login("mac-01", "launchctl print system/com.macfleet.engine.cpu; ls /var/run/*.cpu.plist")
    assert "Could not find service" in left.stderr
    assert not left.stdout
