"""Stage 5 on one node of this machine, with the real load client and golden engines, in a process to kill.

``python dying_loadtest.py ROOT RUN BARE_PORT CONTAINER_PORT [RESUMED]``
"""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from straight_line import CONTRACT, Fleet

from macfleet.analysis import validity
from macfleet.executors.vantage import VantageLoadGenerator
from macfleet.loadgen.local import InProcessClient
from macfleet.model.load import FixtureBody
from macfleet.model.ports import Completed
from macfleet.model.stage import StageName
from macfleet.rollout.load_profile import LoadProfile
from macfleet.sources.clock import SystemClock
from macfleet.store import FolderRuns, SqlState
from macfleet.testing.load import FakeLoadGenerator
from macfleet.testing.mac import PROGRAMS
from macfleet.testing.transport import LocalTransport

PROFILE = LoadProfile(4.0, segments=2, warmup=0.5)
DIGEST = "c" * 64
RUN = "from macfleet.loadgen.__main__ import main\nraise SystemExit(main())\n"
BODY = {"messages": [{"role": "user", "content": "Say it."}], "stream": True, "max_tokens": 8}


class StreamingTransport(LocalTransport):
    """Hands stdout over as it comes, as a connection does."""

    def run(self, script, *, deadline, stdin=None, sink=None):
        if sink is None:
            return super().run(script, deadline=deadline, stdin=stdin)
        child = subprocess.Popen(
            [*self.shell, "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "HOME": str(self.home)},
        )
        with child:
            child.stdin.write(script.encode())
            child.stdin.close()
            while piece := os.read(child.stdout.fileno(), 65536):
                sink(piece)
            said = child.stderr.read()
        return Completed(child.returncode, b"", said)


@dataclass(frozen=True)
class Packed:
    """An archive that is on the node already."""

    digest: str = DIGEST
    path: Path = Path("/nowhere")


# The bare engine is the site's: without it the node has drifted and is held.
ENGINE = """
    - name: engine
      command: {{run: ': >"$HOME/up.{port}"', unless: '[ -f "$HOME/up.{port}" ]'}}
"""


def fleet_of(root, bare, container):
    """Return a fleet of one node with one judged cell, whose state and runs lie below `root`."""
    fleet = Fleet.make(root, "mac-01")
    ports = {"bare_port": bare, "engine_port": container, "python": sys.executable}
    fleet.nodes = tuple(replace(n, variables={**n.variables, **ports}) for n in fleet.nodes)
    bucket = replace(CONTRACT.buckets[0], fixtures=(FixtureBody("a", BODY),))
    contract = replace(CONTRACT, concurrency=(4,), buckets=(bucket,))
    fleet.desired = replace(fleet.desired, contract=contract)
    mac = fleet.macs.mac("mac-01")
    mac.local, mac.canned = StreamingTransport(mac.home), {}
    mac.programs = {
        name: text.replace("8081", str(bare)).replace("8080", str(container))
        for name, text in PROGRAMS.items()
    }
    fleet.use(StageName.PROVISION, more=ENGINE.format(port=bare))
    state = SqlState(f"sqlite:///{root}/state.db")
    fleet.evidences = fleet.journal = state
    fleet.runs, fleet.clock = FolderRuns(root / "runs"), SystemClock()
    return fleet


def prepare(root, bare, container):
    """Bring the node through the stages before, and the load client onto it."""
    fleet = fleet_of(root, bare, container)
    fleet.load = FakeLoadGenerator()
    (fleet.home("mac-01") / f"up.{bare}").touch()
    fleet.upto(StageName.LOADTEST)
    program = fleet.home("mac-01") / "macfleet/loadgen" / DIGEST / "run.py"
    program.parent.mkdir(parents=True)
    program.write_text(RUN)


@contextlib.contextmanager
def client_never_late():
    """How late the client is on a busy machine must not decide how many attempts there are."""
    names = ("LOOP_LAG", "CLIENT_CPU", "WITHOUT_CPU")
    before = {name: getattr(validity, name) for name in names}
    for name in names:
        setattr(validity, name, 60.0)
    try:
        yield
    finally:
        for name in names:
            setattr(validity, name, before[name])


def carry_out(root, run, bare, container, resumes="", *, profile=PROFILE):
    """Measure, or go on with a run; return how the node ended."""
    fleet = fleet_of(root, bare, container)
    fleet.load = VantageLoadGenerator(fleet.macs, Packed, InProcessClient())
    origin = fleet.journal.origin(resumes) if resumes else ""
    with client_never_late():
        result = fleet.rollout(StageName.LOADTEST, run_id=run, resume=origin, load=profile)
    (node,) = result.results
    return str(node.outcome), [each.summary for each in node.diagnostics], node.verdicts


def begin(root, run, bare, container, resumes=""):
    """Do the same in a process of its own, which is the leader of a group with all it starts."""
    here = str(Path(__file__).parent)
    command = [sys.executable, __file__, str(root), run, str(bare), str(container), *filter(None, [resumes])]
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}, start_new_session=True
    )


def kill(child):
    """End it as nothing can be answered to; its client on the node is left to find out by itself."""
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL


if __name__ == "__main__":
    where, name, *rest = sys.argv[1:]
    print(carry_out(Path(where), name, int(rest[0]), int(rest[1]), *rest[2:]), flush=True)
