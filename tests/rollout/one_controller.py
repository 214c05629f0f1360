"""One controller as a process of its own: three steps on each node of a folder, and how that ended, as JSON.

    python one_controller.py ROOT NAME STATE.DB [--wait S] [--ttl S] [--pause answered|sent] [--resume RUN]

Nodes are folders below ROOT, so several controllers can share them. Steps write to ``log`` in a node's home.
With --pause it stops between the first step and the second until ROOT/go is there, and says so in ROOT/paused:
``sent`` is after it has asked the store whether the nodes are still its own.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

from straight_line import Fleet, outcomes
from straight_line import playbook as made

from macfleet.model.stage import StageName
from macfleet.rollout.run import Options, rollout
from macfleet.sources.clock import SystemClock
from macfleet.store.run_locks import StoreLocks, this_process
from macfleet.store.sql_state import SqlState

STEPS = "".join(
    f"""
    - name: step {name}
      needs: [{needs}]
      command:
        run: 'echo "$CONTROLLER begins {name}" >>"$HOME/log"; sleep 0.1; : >"$HOME/{name}";
          echo "$CONTROLLER ends {name}" >>"$HOME/log"'
        unless: '[ -f "$HOME/{name}" ]'
"""
    for name, needs in (("a", ""), ("b", "command.step a"), ("c", "command.step b"))
)


class Pausing:
    """A node that keeps its controller waiting: after it ran a step first, or before it runs the second."""

    def __init__(self, mac, root, where):
        self._mac, self._root, self._where, self._ran = mac, root, where, False
        self.tunnel, self.close = mac.tunnel, mac.close

    def run(self, script, **options):
        if self._where == "sent" and "begins b" in script:
            self._wait()
        done = self._mac.run(script, **options)
        if self._where == "answered" and "begins " in script and not self._ran:
            self._ran = True
            self._wait()
        return done

    def _wait(self):
        (self._root / "paused").touch()
        while not (self._root / "go").exists():
            time.sleep(0.01)


class Nodes:
    """A `Transports` of nodes that keep their controller waiting."""

    def __init__(self, macs, root, where):
        self._macs, self._root, self._where = macs, root, where

    def to(self, node):
        return Pausing(self._macs.to(node), self._root, self._where)


def main():
    given = argparse.ArgumentParser()
    given.add_argument("root", type=Path)
    given.add_argument("name")
    given.add_argument("state")
    given.add_argument("--nodes", default="mac-01,mac-02")
    given.add_argument("--wait", type=float, default=0.0)
    given.add_argument("--ttl", type=float, default=60.0)
    given.add_argument("--resume", default="")
    given.add_argument("--pause", choices=["answered", "sent"])
    wanted = given.parse_args()
    os.environ["CONTROLLER"] = wanted.name
    fleet = Fleet.make(wanted.root, *wanted.nodes.split(","))
    playbooks = {
        **fleet.desired.playbooks,
        StageName.PROVISION: made(StageName.PROVISION, "gates: [converged: {}]", STEPS),
    }
    state = SqlState(f"sqlite:///{wanted.state}")
    locks = StoreLocks(state.locks, this_process(f"{wanted.name}@desk"), ttl=wanted.ttl)
    ports = replace(fleet.ports(), clock=SystemClock(), locks=locks, journal=state)
    if wanted.pause:
        ports = replace(ports, transports=Nodes(fleet.macs, wanted.root, wanted.pause))
    options = Options(
        f"20261123T041200Z-{wanted.name}", f"{wanted.name}@desk", wait=wanted.wait, resume=wanted.resume
    )
    try:
        result = rollout(
            StageName.PROVISION, fleet.nodes, replace(fleet.desired, playbooks=playbooks), ports, options
        )
        found = [problem for each in result.results for problem in each.diagnostics]
        document = {"exit": int(result.exit_code), "outcomes": outcomes(result)}
    except Exception as error:
        if not hasattr(error, "diagnostics"):
            raise
        found, document = error.diagnostics, {"exit": int(error.exit_code), "outcomes": {}}
    document["problems"] = [[each.code, each.summary, each.why, each.mend] for each in found]
    document["waited"] = sorted({e.data["holder"] for e in fleet.events.seen if e.kind == "lock.waiting"})
    print(json.dumps(document))
    locks.close()
    state.close()


if __name__ == "__main__":
    main()
