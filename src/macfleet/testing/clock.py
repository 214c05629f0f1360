"""Clocks that move only when told."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class FakeClock:
    """A `Clock` at `time` seconds; `sleep` moves it at once."""

    time: float = 1_700_000_000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.time

    def monotonic(self) -> float:
        """The same seconds; they never go back."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self.time += seconds


class PatientClock(FakeClock):
    """A `FakeClock` for threads that wait for one another: who sleeps lets the others go on first.

    With the plain one a waiting thread runs through its whole patience before the thread it waits for gets
    a processor.
    """

    def sleep(self, seconds: float) -> None:
        """Wait a hundredth of a second for real, then move the clock forward."""
        threading.Event().wait(0.01)
        FakeClock.sleep(self, seconds)
