"""The real command, ending itself with SIGKILL at one moment of a rollout.

    python dying_controller.py 'before change.done file./Users/ops/x' rollout stage3 …

A moment is ``before`` or ``after`` an entry of the journal (its kind, and its address where it has one), or
``amid`` the steps of an address, when the node says that they began.
"""

from __future__ import annotations

import os
import signal
import sys

from macfleet.cli.main import main
from macfleet.store import sql_state
from macfleet.views import progress


def kill_at(moment):
    """Let this process die when it comes to `moment`."""
    when, _, what = moment.partition(" ")
    journal_class = sql_state.SqlJournal
    begin, note_all, emit = journal_class.begin, journal_class.note_all, progress.EventLines.emit

    def die(now, kind, address):
        if (now, what) == (when, f"{kind} {address}".rstrip()):
            os.kill(os.getpid(), signal.SIGKILL)

    def beginning(journal, *details):
        die("before", "run.begun", "")
        begin(journal, *details)
        die("after", "run.begun", "")

    def noting(journal, run, node, notes):
        for now in ("before", "after"):
            for kind, detail in notes:
                die(now, kind, detail.get("address", ""))
            if now == "before":
                note_all(journal, run, node, notes)

    def emitting(lines, event):
        if event.kind == "change.started":
            die("amid", event.data["address"], "")
        emit(lines, event)

    journal_class.begin = beginning
    journal_class.note_all = noting
    progress.EventLines.emit = emitting


if __name__ == "__main__":
    kill_at(sys.argv[1])
    main(sys.argv[2:])
