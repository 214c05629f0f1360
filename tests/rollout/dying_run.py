"""A rollout in a process of its own that ends itself with SIGKILL at its n-th entry of the journal."""

import json
import os
import signal
from dataclasses import dataclass, replace

from straight_line import Fleet

from macfleet.model.stage import StageName
from macfleet.sources.clock import SystemClock
from macfleet.store import FolderRuns, SqlState

# Three levels, a detached job amid short steps, and a file: every step leaves a line in ``steps``. The one
# whose number stands beside the home kills the controller, in the middle of its work.
STEP = (
    'echo {name} >>"$HOME/steps"; '
    '[ "$(($(wc -l <"$HOME/steps")))" != "$(cat {root}/at)" ] || kill -9 "$(cat {root}/controller)"; '
    'sleep {seconds}; : >"$HOME/{name}"'
)
TASK = """
    - name: {name}
      command: {{run: {run}, creates: "{{{{ home }}}}/{name}", limit: {limit}}}
      needs: {needs}
"""
FILE = """
    - name: settings
      file: {path: "{{ home }}/settings", content: "mode: bridge\\n", mode: "0600"}
"""


def layout(root):
    """Return the tasks of stage 3 as text."""
    shape = (
        ("first", 0, "20s", []),
        ("second", 0.2, "20s", []),
        ("heavy", 0.3, "10m", ["command.first"]),
        ("beside", 0, "20s", ["command.second"]),
        ("last", 0, "20s", ["command.heavy", "command.beside"]),
    )
    tasks = [
        TASK.format(
            name=name,
            run=json.dumps(STEP.format(name=name, root=root, seconds=seconds)),
            limit=limit,
            needs=json.dumps(needs),
        )
        for name, seconds, limit, needs in shape
    ]
    return "".join(tasks) + FILE


@dataclass
class DyingJournal:
    """Ends the process before an entry is written; `left` counts down to it, 0 never comes."""

    state: SqlState
    left: int

    def __getattr__(self, name):
        found = getattr(self.state, name)
        return found if name in ("unsettled", "last", "head", "origin") else self.dying(found)

    def dying(self, write):
        def entry(*given):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*given)

        return entry


def fleet_of(root, journal=None):
    """Return a fleet of one node whose state and runs lie below `root`."""
    (root / "at").touch()
    fleet = Fleet.make(root, "mac-01")
    state = SqlState(f"sqlite:///{root}/state.db")
    home = str(fleet.home("mac-01"))
    nodes = tuple(replace(n, variables={**n.variables, "home": home}) for n in fleet.nodes)
    fleet.nodes = nodes
    fleet.use(StageName.LAYOUT, more=layout(root))
    fleet.evidences, fleet.journal, fleet.runs = state, journal or state, FolderRuns(root / "runs")
    fleet.clock = SystemClock()
    return fleet


def carry_out(root, run, resume="", at=0):
    """Carry stage 3 out, or go on with a run of it, and return how each node ended."""
    state = SqlState(f"sqlite:///{root}/state.db")
    fleet = fleet_of(root, DyingJournal(state, at))
    origin = state.origin(resume) if resume else ""
    chosen = state.unsettled(origin) if origin else ()
    result = fleet.rollout(StageName.LAYOUT, *chosen, run_id=run, resume=origin)
    state.close()
    return {r.node: (str(r.outcome), [d.code for d in r.diagnostics]) for r in result.results}


def killed(root, run, resume="", at=0, step=0):
    """Do the same in a process of its own; return whether it was killed at entry `at`, or by step `step`."""
    (root / "at").write_text(f"{step}\n")
    child = os.fork()
    if child == 0:
        (root / "controller").write_text(f"{os.getpid()}\n")
        # Nothing of the parent's is cleaned up here, whatever happens.
        status = 1
        try:
            carry_out(root, run, resume, at)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    assert ended in (0, -signal.SIGKILL), "the run failed before it could be killed"
    return ended == -signal.SIGKILL
