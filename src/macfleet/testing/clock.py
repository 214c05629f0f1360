"""A clock that moves only when told."""

from __future__ import annotations

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
