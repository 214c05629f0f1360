"""What stops a run before its end: Ctrl-C once, or its deadline; Ctrl-C again leaves at once."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.quantity import show_seconds
from macfleet.views.terminal import drawable

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPING = "nothing new begins, what runs on the nodes is ended, detached steps go on."
_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def interrupts(fleet: FleetContext, resume: str) -> Iterator[Callable[[], bool]]:
    """Yield whether somebody asked to stop, for the time of a run; its deadline asks, too.

    The first signal ends the process groups of scripts that run on the nodes; connections stay, so that locks
    are given back. The second ends this process on the spot: the journal has what was done by then, and what
    runs on the nodes is theirs.

    Args:
        fleet: whose connections and clock stop, and whose settings say by when.
        resume: what to type to go on, empty when nothing is changed.
    """
    with _deadline(fleet):
        if threading.current_thread() is not threading.main_thread():
            yield fleet.stopped.is_set
            return

        def stop(_signal: int, _frame: FrameType | None) -> None:
            if fleet.stopped.is_set():
                _say(fleet, "run.abandoned", f"Left at once.{f' Go on with: {resume}' if resume else ''}")
                os._exit(ExitCode.INTERRUPTED)
            _stop(fleet, f"Stopping: {_STOPPING} Ctrl-C again leaves at once.")

        # What the caller ignores, as nohup(1) does with the end of the terminal, stays ignored.
        heeded = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        before = {each: signal.signal(each, stop) for each in heeded}
        try:
            yield fleet.stopped.is_set
        finally:
            for each, handler in before.items():
                signal.signal(each, handler or signal.SIG_DFL)


@contextmanager
def _deadline(fleet: FleetContext) -> Iterator[None]:
    """Stop the run when it has taken as long as one may: every step ends, a run of many might not."""
    limit = fleet.settings.run_deadline

    def late() -> None:
        if not fleet.stopped.is_set():
            words = f"The run has taken {show_seconds(limit)}, its deadline (run_deadline in macfleet.yml):"
            _stop(fleet, f"{words} {_STOPPING} Ctrl-C leaves at once.")

    timer = threading.Timer(limit, late)
    timer.name, timer.daemon = "macfleet-run-deadline", True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop(fleet: FleetContext, words: str) -> None:
    _say(fleet, "run.stopping", words)
    fleet.stopped.set()
    threading.Thread(target=fleet.transports.end_running, name="macfleet-stop", daemon=True).start()


def _say(fleet: FleetContext, kind: str, words: str) -> None:
    """Write past the buffers, which the interrupted code may be in the middle of."""
    if fleet.output == "json":
        from macfleet.views.event_kinds import document

        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        line = json.dumps(document(Event(kind, "", {"words": words}), at), ensure_ascii=False)
    else:
        line = f"{_SHOW_CURSOR if drawable(sys.stderr) else ''}\n{words}"
    # The terminal may be what ended: nobody reads it then, and the run is still to be tidied up.
    with suppress(OSError):
        os.write(1 if fleet.stream else 2, f"{line}\n".encode())
