"""The system's clock, and one whose pauses end when somebody asks to stop."""

from __future__ import annotations

import threading
import time

from macfleet.engine.refusals import interrupted


class SystemClock:
    """A `Clock` that is the machine's."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class StoppableClock(SystemClock):
    """A `Clock` that waits no longer once `stopped` is set: whoever waits then raises E0572 (exit 130)."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def sleep(self, seconds: float) -> None:
        """Wait (raises MacfleetError E0572 when the command is to stop)."""
        if self._stopped.wait(seconds):
            raise interrupted("", (), {})
