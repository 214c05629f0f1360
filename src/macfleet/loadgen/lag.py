"""How late the client's own loop is: a client that lags measures itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from macfleet.loadgen.pacer import NANOSECONDS

PERIOD = 0.005


class LagProbe:
    """Sleeps 5 ms at a time and notes how late it wakes, inside the measured window.

    Attributes:
        lags: seconds of lateness.
        cpu_share: CPU seconds of the loop's thread per second of window so far.
    """

    def __init__(self, start: int, end: int, broken: Callable[[], bool]) -> None:
        self.lags: list[float] = []
        self.cpu_share = 0.0
        self._start = start
        self._end = end
        self._broken = broken

    async def run(self) -> None:
        """Probe until the records have nobody to take them, or until cancelled."""
        opened: tuple[int, float] | None = None
        while not self._broken():
            before = time.monotonic_ns()
            await asyncio.sleep(PERIOD)
            now = time.monotonic_ns()
            if not self._start <= now < self._end:
                continue
            if opened is None:
                # The thread's own clock: in process, other threads of the command do not count.
                opened = (now, time.thread_time())
                continue
            self.lags.append(max(0.0, (now - before) / NANOSECONDS - PERIOD))
            self.cpu_share = (time.thread_time() - opened[1]) * NANOSECONDS / (now - opened[0])
