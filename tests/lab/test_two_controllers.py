"""Two commands at once on a real node: one works, the others are refused, wait, or follow a broken lock."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from lab_fleet import COMMAND

pytestmark = pytest.mark.lab

STEPS = "~/hunted-steps"
STEP = """\
    - name: step {name}
      needs: [{needs}]
      command:
        run: 'echo begins {name} >>{steps}; n=0; while [ -e ~/hold-{name} ] && [ $n -lt 280 ]; do sleep 0.1;
          n=$((n + 1)); done; echo ends {name} >>{steps}; : >~/done-{name}'
        unless: '[ -f ~/done-{name} ]'
        limit: 30s
"""
PLAYBOOK = """\
- name: Three steps in a row
  stage: provision
  hosts: serving
  gates: [converged: {}]
  tasks:
"""
DONE = [f"{verb} {name}" for name in "abc" for verb in ("begins", "ends")]


@pytest.fixture
def stepping(spoilt, nodes):
    """A twin whose site playbook takes three steps; one whose `hold` file lies on the node waits there."""
    steps = [("a", ""), ("b", "command.step a"), ("c", "command.step b")]
    tasks = "".join(STEP.format(name=name, needs=needs, steps=STEPS) for name, needs in steps)
    spoilt.write("playbooks/site.yml", PLAYBOOK + tasks)
    forget(nodes)
    yield spoilt
    forget(nodes)


def forget(nodes):
    # No patterns: zsh does nothing at all when one of them matches nothing.
    marks = " ".join(f"~/{kind}-{name}" for kind in ("done", "hold") for name in "abc")
    nodes.login("mac-01", f"rm -rf {STEPS} ~/.macfleet/lock {marks}")


def start(fleet, *words):
    """Start `apply` in the background."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MACFLEET", "PYTHON"))}
    return subprocess.Popen(
        [COMMAND, "apply", "playbooks/site.yml", "-l", "mac-01", "--output", "json", *words],
        cwd=fleet.folder,
        env={**kept, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def apply(fleet, *words, exits):
    return fleet("apply", "playbooks/site.yml", "-l", "mac-01", *words, exits=exits).text


def steps(nodes):
    return nodes.login("mac-01", f"cat {STEPS}").stdout.splitlines()


def holder(fleet):
    (found,) = fleet("lock", "status", "-l", "mac-01", "--output", "json").document["store"]
    return found


def test_of_two_at_once_the_second_exits_6_or_waits_and_no_step_is_taken_twice(stepping, nodes, tmp_path):
    stranger = stepping.twin(tmp_path / "stranger")
    nodes.login("mac-01", "touch ~/hold-b")
    first = start(stepping)
    waiting = []
    try:
        nodes.until("mac-01", f"grep -q 'begins b' {STEPS}")
        found = holder(stepping)
        assert (found["pid"], found["nodes"], found["command"]) == (
            first.pid,
            ["mac-01"],
            "rollout provision",
        )
        refused = apply(stepping, exits=6)
        assert "E0590" in refused
        assert found["run"] in refused
        refused = apply(stranger, exits=6)
        assert "E0510" in refused
        assert "A script of it runs on the node at this moment." in refused
        waiting = [start(stepping, "--wait", "90s"), start(stranger, "--wait", "90s")]
        assert all('"lock.waiting"' in process.stderr.readline() for process in waiting)
    finally:
        nodes.login("mac-01", "rm ~/hold-b")
        code, said = ended(first)
    assert code == 0, said
    for process in waiting:
        code, said = ended(process)
        assert code == 0, said
    assert steps(nodes) == DONE


def test_a_stopped_command_whose_lock_was_broken_takes_no_further_step(stepping, nodes):
    nodes.login("mac-01", "touch ~/hold-b")
    first = start(stepping)
    try:
        nodes.until("mac-01", f"grep -q 'begins b' {STEPS}")
        run = holder(stepping)["run"]
        first.send_signal(signal.SIGSTOP)
        broken = stepping("lock", "break", "--run", run, "--reason", "its laptop went to sleep", "--yes")
        assert "a script of it runs now" in broken.stderr
        nodes.login("mac-01", "rm ~/hold-b")
        apply(stepping, exits=0)
        first.send_signal(signal.SIGCONT)
        code, said = ended(first)
    finally:
        if first.poll() is None:
            first.kill()
            first.communicate()
    # What ran under the lock was ended with it, so the step was begun anew, by the second alone.
    assert steps(nodes) == ["begins a", "ends a", "begins b", *DONE[2:]]
    assert code == 6, said
    assert "E0591" in said or "E0592" in said
    assert "no run holds" in stepping("lock", "break", "mac-01", "--reason", "x", exits=8).stderr


def test_a_killed_command_is_followed_by_its_own_run_at_once(stepping, nodes):
    nodes.login("mac-01", "touch ~/hold-b")
    first = start(stepping)
    nodes.until("mac-01", f"grep -q 'begins b' {STEPS}")
    run = holder(stepping)["run"]
    first.kill()
    first.communicate()
    nodes.login("mac-01", "rm ~/hold-b")
    began = time.monotonic()
    apply(stepping, "--resume", run, exits=0)
    assert time.monotonic() - began < 60
    assert steps(nodes) == DONE
