"""`macfleet loadtest watch`: a load test as it goes on, from any terminal of the fleet folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import BegunRunId
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.ports import Clock
    from macfleet.store.live_requests import LiveRequests
    from macfleet.store.sql_state import JournalHead
    from macfleet.views.loadtest_watch import Watched

_COMMAND = "rollout loadtest"
_EVERY = 1.0
_KILLED = "killed"


@click.command(
    epilog="Examples: macfleet loadtest watch · macfleet loadtest watch 20261123T0412 --output json"
)
@click.argument("run_id", metavar="[RUN]", type=BegunRunId(), required=False)
@fleet_command
def watch(fleet: FleetContext, run_id: str | None) -> int:
    """Show a run of stage 5 while it goes on: where each node is, and figures so far, which nobody judges.

    Without RUN the newest one. Reads the state database and the run's folder on this machine, and asks no
    node. Ends with the run, with the exit code that the run ended with; a run that was killed is said to be,
    and ends this with 130. With --output json a line of NDJSON whenever something changed.
    """
    from macfleet.sources.clock import SystemClock
    from macfleet.store.live_requests import LiveRequests

    head = _head(fleet, run_id)
    looking = _Looking(fleet, head.id, LiveRequests(fleet.runs, head.id), SystemClock())
    last = looking.follow()
    if last.state == _KILLED:
        raise MacfleetError(_killed(head))
    outcome = fleet.state.head(head.id).outcome
    return int(ExitCode.DONE) if outcome == "ok" else int(outcome or ExitCode.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks at one run again and again."""

    fleet: FleetContext
    run: str
    requests: LiveRequests
    clock: Clock

    def follow(self) -> Watched:
        """Show the run until it ends or turns out to have been killed; return what was seen last."""
        from macfleet.views.loadtest_watch import lines
        from macfleet.views.redacting_stream import nobody_reads
        from macfleet.views.terminal import drawable

        shown = [self.look()]
        live = self.fleet.output != "json" and drawable(sys.stderr) and shown[0].going
        told: Callable[[Watched], None] = (lambda _seen: None) if live else _Told(self.fleet.output == "json")
        with ExitStack() as drawing:
            if live:
                from macfleet.views.live import drawn

                drawing.enter_context(
                    drawn(lambda width, height: lines(shown[0], width)[: max(height - 2, 1)])
                )
            told(shown[0])
            while shown[0].going and not nobody_reads(sys.stdout):
                self.clock.sleep(_EVERY)
                shown[0] = self.look()
                told(shown[0])
        if live:
            _Told(as_json=False)(shown[0])
        return shown[0]

    def look(self) -> Watched:
        """Return the run as it stands; who holds its nodes is asked first, so that an end is not missed."""
        from macfleet.rollout.loadtest_watch import NodeProgress, begun_by
        from macfleet.store.run_locks import StoreLocks, this_process
        from macfleet.views.loadtest_watch import Watched

        state = self.fleet.state
        nodes = state.head(self.run).nodes
        locks = StoreLocks(state.locks, this_process(self.fleet.who))
        held = any(holder.run == self.run for holder in locks.others(nodes))
        head = state.head(self.run)
        found = begun_by((each.node, each.kind, each.detail, each.at) for each in state.entries(self.run))
        now = self.clock.now()
        going = held and head.finished is None
        words = "going on" if going else _KILLED
        if head.finished is not None:
            words = f"ended with {'ok' if head.outcome == 'ok' else f'exit {head.outcome}'}"
        progress = (self.requests.told(found.get(name, NodeProgress(name))) for name in head.nodes)
        spent = (head.finished or now) - head.started
        who = str(head.detail.get("who") or "nobody said who")
        return Watched(self.run, who, going, words, spent, now, tuple(progress))


class _Told:
    """Prints what was seen: as NDJSON whatever changed, else lines where a node came somewhere else."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._last: object = None

    def __call__(self, seen: Watched) -> None:
        from macfleet.views.loadtest_watch import document, lines
        from macfleet.views.terminal import show, show_json

        if self._as_json and seen.news != self._last:
            show_json(document(seen))
            self._last = seen.news
        elif not self._as_json and seen.places != self._last:
            show([*lines(seen), ""] if seen.going else lines(seen))
            self._last = seen.places
        sys.stdout.flush()


def _head(fleet: FleetContext, run_id: str | None) -> JournalHead:
    """Return the run that was named, or the newest load test (raises MacfleetError)."""
    if run_id:
        head = fleet.state.head(run_id)
        if head.command != _COMMAND:
            raise MacfleetError(_no_load_test(head))
        return head
    found = [deed.run for deed in fleet.state.history.since(0.0) if deed.what == _COMMAND]
    if not found:
        raise MacfleetError(Diagnostic("E0485", "no load test was begun yet", mend="macfleet rollout stage5"))
    return fleet.state.head(found[-1])


def _no_load_test(head: JournalHead) -> Diagnostic:
    return Diagnostic(
        "E0486",
        f"run {head.id} is no load test of stage 5",
        why=f"It is a run of {head.command}.",
        mend=f"macfleet run show {head.id}",
        exit_code=ExitCode.USAGE,
    )


def _killed(head: JournalHead) -> Diagnostic:
    return Diagnostic(
        "E0484",
        f"run {head.id} never ended, and its process is gone",
        why="Nobody holds its nodes for it any more; finished segments are kept.",
        mend=f"macfleet rollout stage5 --resume {head.id}",
        exit_code=ExitCode.INTERRUPTED,
    )
