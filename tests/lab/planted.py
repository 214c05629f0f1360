"""What the planted scenarios share: a fault on a lab node, real traffic through stage 5, and what is judged."""

from __future__ import annotations

import contextlib
import re
import shlex

import pytest

HEALTH = "curl -sf --max-time 3 http://127.0.0.1:8080/health"
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
    nodes.fault(name, "disk-slow")
    try:
        nodes.until(name, HEALTH)
        yield
    finally:
        nodes.fault(name, "disk-slow", "--off")
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
