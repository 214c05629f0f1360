"""kill -9 of the controller at every boundary of stage 3 on a node: same end, and no step runs twice."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_fleet import Fleet, Nodes

from macfleet.store import SqlState

pytestmark = pytest.mark.lab

HOME = "/Users/ops"
RESOURCES = (
    f"directory.{HOME}/logs/engine",
    f"file.{HOME}/macfleet/compose.yaml",
    f"file.{HOME}/macfleet/engine.env",
    "compose_project.chat",
)
LOGS, PROJECT = RESOURCES[0], RESOURCES[-1]
MOMENTS = (
    "after run.begun",
    f"after change.sent {LOGS}",
    f"amid {LOGS}",
    *(f"before change.done {address}" for address in RESOURCES),
    f"before change.sent {PROJECT}",
    f"after change.sent {PROJECT}",
    f"amid {PROJECT}",
    f"after change.done {PROJECT}",
    "before node.settled",
)
"""Where the controller dies: what is in the air differs at each of them."""
DYING = str(Path(__file__).with_name("dying_controller.py"))
STEPS = "~/steps"
BIN = "/opt/homebrew/bin"
WRAPPED = {"mkdir": "/usr/bin/mkdir", "mv": "/usr/bin/mv", "docker": f"{BIN}/docker.before"}
# Each step of the stage leaves a line, by whoever and however often it is run.
WRAPPER = """\
#!/bin/sh
case "NAME $*" in
'mkdir -p /Users/ops/logs/engine') echo 'logs/engine' ;;
'mv '*' /Users/ops/macfleet/compose.yaml') echo 'compose.yaml' ;;
'mv '*' /Users/ops/macfleet/engine.env') echo 'engine.env' ;;
'mv '*' /Users/ops/macfleet/.macfleet-chat.yaml') echo 'labels' ;;
'docker compose '*' up '*) echo 'up' ;;
esac >>/Users/ops/steps
exec REAL "$@"
"""
ONCE = ["compose.yaml", "engine.env", "labels", "logs/engine", "up"]
PERTURB = f"""\
docker rm -f $(docker ps -aq --filter label=com.docker.compose.project=chat) >/dev/null
rm -rf ~/logs/engine ~/macfleet/compose.yaml ~/macfleet/engine.env ~/macfleet/.macfleet-chat.yaml {STEPS}
"""
# Bytes and modes of what macfleet keeps and lays out; logs grow, and the load client is stage 5's.
FILES = """\
find ~/macfleet ~/logs ~/.macfleet ! -name '*.log' ! -name service.json -print | grep -v /loadgen | sort | while read -r each; do
  stat -f '%N %p' "$each"; [ ! -f "$each" ] || base64 <"$each"
done
"""
CONTAINERS = "docker inspect $(docker ps -aq --filter label=com.docker.compose.project=chat)"


@dataclass
class Killed:
    """A fleet folder and its node, brought back to where stage 3 has everything to do."""

    fleet: Fleet
    nodes: Nodes
    node: str

    def wrap(self):
        """Put programs before the node's own that keep a log of this stage's steps."""
        script = f"cd {BIN} && mv docker docker.before\n"
        for name, real in WRAPPED.items():
            text = WRAPPER.replace("NAME", name).replace("REAL", real)
            script += f"printf '%s' {shlex.quote(text)} > {name} && chmod 755 {name}\n"
        self.nodes.brewed(self.node, script)

    def unwrap(self):
        """Put the node's own programs back."""
        self.nodes.brewed(
            self.node, f"cd {BIN} && rm -f mkdir mv && mv -f docker.before docker; rm -f {STEPS}"
        )

    def give_back(self, serving):
        """Leave the node as the tests after this one expect it."""
        self.unwrap()
        serving("rollout", "stage3", "-l", self.node)

    def perturb(self):
        self.nodes.brewed(self.node, PERTURB)

    def die(self, moment):
        """Roll stage 3 out with a controller that is killed; return the run it began."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MACFLEET", "PYTHON"))}
        done = subprocess.run(
            [sys.executable, DYING, moment, "rollout", "stage3", "-l", self.node],
            cwd=self.fleet.folder,
            env={**kept, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, f"it never came to {moment}\n{done.stdout}\n{done.stderr}"
        with self.state() as state:
            return state.last()

    def roll_out(self, *words):
        said = self.fleet("rollout", "stage3", "-l", self.node, *words, "--output", "json")
        return said.nodes()[self.node]

    def unsettled(self, run):
        with self.state() as state:
            return state.unsettled(run)

    def state(self):
        return closing(SqlState(f"sqlite:///{self.fleet.folder}/.macfleet/state.db"))

    def steps(self):
        return sorted(self.nodes.login(self.node, f"cat {STEPS}").stdout.splitlines())

    def end(self):
        """What the node holds and runs, as lines, without what differs between any two runs."""
        service = json.loads(self.nodes.login(self.node, "cat ~/.macfleet/service.json").stdout)
        files = self.nodes.login(self.node, FILES).stdout
        said = [*files.splitlines(), f"service {service['state']} {service['failure']}"]
        for each in json.loads(self.nodes.brewed(self.node, CONTAINERS)):
            config, host, state = each["Config"], each["HostConfig"], each["State"]
            del config["Hostname"]  # the container's id
            # What the client reads as maps it passes on in any order.
            config["Env"].sort()
            host["Mounts"].sort(key=str)
            said += [f"{name}: {value}" for part in (config, host) for name, value in part.items()]
            said.append(
                f"{each['Image']} {state['Status']} {state['Health']['Status']} {each['RestartCount']}"
            )
        return said


@pytest.fixture
def killed(serving, nodes, tmp_path):
    """A fleet folder for each node, healthy sooner than the example's, and programs that keep a log of steps."""
    places = [Killed(serving.twin(tmp_path / name), nodes, name) for name in nodes.names]
    for place in places:
        template = "roles/compose/templates/compose.yaml.j2"
        place.fleet.edit(template, "interval: 5s", "interval: 1s")
        place.wrap()
    yield places
    with ThreadPoolExecutor(len(places)) as workers:
        list(workers.map(lambda place: place.give_back(serving), places))


def test_a_rollout_killed_at_any_boundary_of_stage_3_is_gone_on_with_and_no_step_runs_twice(killed):
    """Half of the moments on each of two nodes at once, each compared with that node's undisturbed run."""
    with ThreadPoolExecutor(len(killed)) as workers:
        halves = [MOMENTS[at :: len(killed)] for at in range(len(killed))]
        for problems in workers.map(each_of, killed, halves):
            assert problems == []


def each_of(place, moments):
    """Return what ended otherwise than undisturbed, as the lines of a difference a moment."""
    place.perturb()
    assert place.roll_out()["outcome"] == "changed"
    assert place.steps() == ONCE
    undisturbed = place.end()
    problems = []
    for moment in moments:
        place.perturb()
        run = place.die(moment)
        outcome = place.roll_out("--resume", run)["outcome"]
        found = [f"{outcome} {place.unsettled(run)} {place.steps()}", *place.end()]
        wanted = [f"{outcome} () {ONCE}", *undisturbed]
        different = difflib.unified_diff(wanted, found, "undisturbed", moment, lineterm="", n=0)
        problems += different
        if outcome not in ("changed", "unchanged", "current"):
            problems.append(f"{moment}: {outcome}")
    return problems
