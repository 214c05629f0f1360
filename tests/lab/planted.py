"""What the planted scenarios share: a fault on a lab node, real traffic through stage 5, and what is judged."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

SLOW_DISK = Path(__file__).with_name("slow_disk.py")
WEIGHTS = "/Users/ops/models"
HEALTH = "curl -sf --max-time 3 http://127.0.0.1:8080/health"
# Each read through the VM's mount takes 3.5 ms more, and twice a second the page cache is gone, as it is where
# the weights are larger than the container's memory: the engine waits for its weights about 40 % of the time.
DELAY, FORGET = "0.0035", "0.5"
# What a machine that is busy with other work does to the load client; it says nothing about the fault.
BUSY = re.compile(r"the client's own loop was|the client used|the client waited|other work held the machine")


def as_root_in_vm(nodes, name, script):
    """Run a script in the node's VM as its root."""
    inside = f"PATH=/usr/sbin:/usr/bin:/sbin:/bin; {script}"
    entered = "/opt/linux-real/bin/nsenter -t $(cat /run/vm/pid) -m -n -p -u -- /usr/bin/dash -c "
    return nodes.docker("exec", nodes.container(name), "sh", "-c", entered + shlex.quote(inside))


@contextlib.contextmanager
def slow_disk(nodes, name):
    """The node's VM reads the weights from a slow disk; the node itself does not."""
    nodes.until(name, HEALTH)
    nodes.docker("cp", str(SLOW_DISK), f"{nodes.container(name)}:/opt/lab/slow_disk.py")
    started = (
        f"setsid python3 /opt/lab/slow_disk.py {WEIGHTS} {DELAY} {FORGET} </dev/null >/tmp/slow.log 2>&1 &"
    )
    mounted = f"until grep -q '^slow {WEIGHTS} fuse' /proc/mounts; do sleep 0.1; done"
    as_root_in_vm(nodes, name, f"{started} timeout 30 dash -c {shlex.quote(mounted)}")
    try:
        yield
    finally:
        as_root_in_vm(nodes, name, f"umount -l {WEIGHTS}")
        nodes.brewed(name, "docker restart chat-engine-1")
        nodes.until(name, HEALTH)


@contextlib.contextmanager
def planted(nodes, name, *words):
    """A figure of the node is made up by the lab, and facts name it."""
    plant = ("exec", nodes.container(name), "/opt/lab/plant")
    nodes.docker(*plant, *words)
    try:
        yield
    finally:
        nodes.docker(*plant, "nothing")


def measured(fleet, *options):
    """Measure the first node and return its column of the comparison; a machine that is busy proves nothing."""
    said = fleet(
        "rollout", "stage5", "--yes", "--again", "-l", "mac-01", *options, "--output", "json", exits=None
    )
    assert said.exit in (0, 7), said.stdout + said.stderr
    (column,) = fleet("compare", said.document["run"], "--output", "json").document["columns"]
    invalid = [why for cell in column["cells"] for why in cell["invalid"]]
    if invalid:
        assert any(BUSY.search(why) for why in invalid), invalid
        pytest.skip("this machine is too busy for its load client to be on time")
    return column


def judged(column, threshold):
    """Return what one threshold said."""
    (found,) = [each for each in column["judgements"] if each["threshold"] == threshold]
    return found
