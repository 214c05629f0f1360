"""Each fault breaks what it says, shows in the status, and is gone without a trace when it is ended."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

pytestmark = pytest.mark.lab

HEALTH = "curl -sf --max-time 3 http://127.0.0.1:8080/health"
NAME = "mac-01"
HELD = "grep -lx 'State:.T (stopped)' /proc/[0-9]*/status | xargs -r grep -lx 'Name:.llama-server'"


@contextlib.contextmanager
def broken(nodes, kind):
    """A fault for the length of a test; asked for twice, and seen by the status while it is there."""
    assert "End it: macfleet lab fault" in nodes.fault(NAME, kind)
    try:
        assert "is there already" in nodes.fault(NAME, kind)
        assert planted(nodes) == [kind]
        yield
    finally:
        ended = nodes.fault(NAME, kind, "--off")
    assert "ended" in ended
    assert "is not there" in nodes.fault(NAME, kind, "--off")
    assert planted(nodes) == []


def planted(nodes):
    document = json.loads(nodes.lab("status", "--output", "json").stdout)
    (row,) = [row for row in document["nodes"] if row["name"] == NAME]
    return row["faults"]


def behind(nodes):
    """Seconds that the clock of the node's VM is behind the node's."""
    inside = int(nodes.in_vm(NAME, "date +%s").stdout)
    return int(nodes.login(NAME, "date +%s").stdout) - inside


def test_the_vms_clock_is_behind_and_right_again(serving, nodes):
    assert serving
    with broken(nodes, "clock-skew"):
        assert 295 <= behind(nodes) <= 400
        assert nodes.login(NAME, "ls /opt/lab/planted").stdout == "clock-skew\n"
    assert -60 <= behind(nodes) <= 60
    assert nodes.login(NAME, "ls /opt/lab/planted").stdout == ""


def test_engines_are_held_and_let_go(serving, nodes):
    assert serving
    look = ("exec", nodes.container(NAME), "/opt/linux-real/bin/dash", "-c", f"{HELD} || true")
    with broken(nodes, "engine-slow"):
        until = time.monotonic() + 60
        while not nodes.docker(*look):
            assert time.monotonic() < until, "no engine is ever held"
        nodes.until(NAME, HEALTH)
    assert nodes.docker(*look) == ""


def test_a_cable_that_is_out_leaves_the_node_running_and_serving_when_it_is_back(serving, nodes):
    assert serving
    with broken(nodes, "unreachable"):
        assert nodes.login(NAME, "true").returncode == 255
        assert nodes.docker("inspect", "-f", "{{.State.Running}}", nodes.container(NAME)) == "true\n"
    nodes.until(NAME, HEALTH)
    nodes.until(NAME, "docker info")


def test_a_vm_that_is_gone_comes_back_with_what_it_served(serving, nodes):
    assert serving
    nodes.until(NAME, HEALTH)
    with broken(nodes, "vm-stopped"):
        assert nodes.login(NAME, HEALTH).returncode == 7
    nodes.until(NAME, HEALTH)


def test_what_there_is_not_is_refused_with_what_there_is(nodes):
    unknown = nodes.lab("fault", NAME, "disk-slo")
    assert (unknown.exit, 'Did you mean "disk-slow"?' in unknown.text) == (2, True)
    nobody = nodes.lab("fault", "mac-09", "disk-slow")
    assert (nobody.exit, "the lab has no node mac-09" in nobody.text) == (2, True)
