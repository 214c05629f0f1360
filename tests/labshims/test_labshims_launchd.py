"""launchd's codes, real supervision, and what a restart of the node brings back."""

from __future__ import annotations

import plistlib
import subprocess

import pytest

from macfleet.lab import status, up

pytestmark = pytest.mark.lab

LABEL = "com.example.tick"
PATH = f"/Library/LaunchDaemons/{LABEL}.plist"


def plist(**changes):
    job = {
        "Label": LABEL,
        "UserName": "ops",
        "ProgramArguments": ["/bin/sh", "-c", "echo up; exec sleep 1000"],
    }
    job |= {
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 1,
        "StandardOutPath": "/tmp/tick.log",
        **changes,
    }
    return plistlib.dumps(job).decode()


@pytest.fixture
def daemon(node):
    install = f"cat > /tmp/tick.plist; sudo install -o root -g wheel -m 644 /tmp/tick.plist {PATH}"
    assert node(install, stdin=plist()).returncode == 0
    assert node(f"sudo launchctl bootstrap system {PATH}").returncode == 0
    yield node
    node(f"sudo launchctl bootout system/{LABEL}; sudo rm -f {PATH}")


def shown(node, key):
    for line in node(f"launchctl print system/{LABEL}").stdout.splitlines():
        name, _, value = line.strip().partition(" = ")
        if name == key:
            return value
    return None


def test_a_loaded_daemon_runs_as_its_user_and_says_so(daemon):
    daemon.until(f"launchctl print system/{LABEL} | grep -q 'state = running'")
    pid = shown(daemon, "pid")
    assert daemon(f"ps -o user= -p {pid}").stdout.strip() == "ops"
    assert shown(daemon, "path") == PATH


def test_error_codes_are_launchds(daemon):
    again = daemon(f"sudo launchctl bootstrap system {PATH}")
    assert (again.returncode, again.stderr) == (5, "Bootstrap failed: 5: Input/output error\n")
    absent = daemon("sudo launchctl bootout system/com.example.none")
    assert (absent.returncode, absent.stderr) == (3, "Boot-out failed: 3: No such process\n")
    unknown = daemon("launchctl print system/com.example.none")
    assert unknown.returncode == 113
    assert 'Could not find service "com.example.none"' in unknown.stderr
    assert daemon("launchctl bootstrap gui/501 /tmp/tick.plist").returncode == 125
    assert daemon(f"launchctl bootstrap system {PATH}").returncode == 5


def test_a_plist_that_others_may_write_is_refused(node):
    node(
        "cat > /tmp/loose.plist; sudo chown root /tmp/loose.plist; sudo chmod 666 /tmp/loose.plist",
        stdin=plist(Label="x.y"),
    )
    assert node("sudo launchctl bootstrap system /tmp/loose.plist").returncode == 5


def test_a_killed_daemon_comes_back(daemon):
    daemon.until(f"launchctl print system/{LABEL} | grep -q 'state = running'")
    before = shown(daemon, "pid")
    daemon(f"sudo kill -9 {before}")
    daemon.until(f"launchctl print system/{LABEL} | grep 'pid = ' | grep -vq '= {before}$'")
    assert shown(daemon, "last terminating signal") == "Killed: 9"
    assert shown(daemon, "runs") == "2"


def test_kickstart_k_replaces_the_process(daemon):
    daemon.until(f"launchctl print system/{LABEL} | grep -q 'state = running'")
    before = shown(daemon, "pid")
    assert daemon(f"sudo launchctl kickstart -k system/{LABEL}").returncode == 0
    daemon.until(f"launchctl print system/{LABEL} | grep 'pid = ' | grep -vq '= {before}$'")


def test_limits_are_read_by_all_and_set_by_root(node):
    assert node("launchctl limit maxfiles").stdout.split() == ["maxfiles", "256", "unlimited"]
    assert node("launchctl limit maxfiles 4096 8192").returncode == 1
    assert (
        node("sudo launchctl limit maxfiles 4096 8192; launchctl limit maxfiles").stdout.split()[1] == "4096"
    )


def test_a_restarted_node_keeps_its_key_and_disk_and_serves_again(colima, daemon):
    colima_job = {
        "Label": "com.example.colima",
        "UserName": "ops",
        "ProgramArguments": ["/opt/homebrew/bin/colima", "start", "--foreground"],
        "EnvironmentVariables": {
            "PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/Users/ops",
        },
        "RunAtLoad": True,
    }
    target = "/Library/LaunchDaemons/com.example.colima.plist"
    install = (
        f"cat > /tmp/c.plist; sudo install -o root -g wheel -m 644 /tmp/c.plist {target}; echo kept > ~/kept"
    )
    assert colima(install, stdin=plistlib.dumps(colima_job).decode()).returncode == 0
    container = colima.state.nodes[0].container
    subprocess.run(["/usr/bin/docker", "stop", container], check=True, capture_output=True)
    (stopped,) = status(colima.config).nodes
    assert (stopped.running, stopped.ssh) == (False, False)
    assert up(colima.config, print) == colima.state  # the same key, address and images
    assert colima("cat ~/kept").stdout == "kept\n"
    colima.until("docker ps && colima status --json", seconds=60)
    colima.until(f"launchctl print system/{LABEL} | grep -q 'state = running'")
    assert status(colima.config).up
    colima(f"sudo launchctl bootout system/com.example.colima; sudo rm {target}", timeout=60)
    assert colima.brewed("colima start").returncode == 0  # for the tests that follow


def test_a_second_up_changes_nothing(node):
    ids = ["/usr/bin/docker", "ps", "-q", "--filter", f"label=macfleet.lab={node.config.name}"]
    before = subprocess.run(ids, capture_output=True, text=True, check=True).stdout
    said = []
    assert up(node.config, said.append) == node.state
    assert said == []
    assert subprocess.run(ids, capture_output=True, text=True, check=True).stdout == before
