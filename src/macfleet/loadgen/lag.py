"""Whether the client gets the processor it asks for: one that lags or waits measures itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from macfleet.loadgen.pacer import NANOSECONDS

PERIOD = 0.005

# CPU seconds of one question, long against a scheduler's slice (3 to 10 ms): shorter ones are given at once
# even where every core is taken. Questions are repeated: what others do for a moment is no hog.
_QUESTION, _QUESTIONS, _PAUSE = 0.04, 3, 0.1
ENOUGH = 0.1
"""A share of waiting under which no further question is needed."""


def share_without_cpu() -> float:
    """Ask for a CPU for a moment; return the share of the time in which none was given, the best of three.

    To be asked before a segment's first request, while the engine is idle: its own threads, for which the
    client may wait as well, do not count, only other work of the machine.
    """
    best = 1.0
    for question in range(_QUESTIONS):
        if question:
            time.sleep(_PAUSE)
        best = min(best, _without_cpu(_QUESTION))
        if best <= ENOUGH:
            break
    return best


def _without_cpu(seconds: float) -> float:
    began, used = time.monotonic(), time.thread_time()
    while (spent := time.thread_time() - used) < seconds:
        pass
    return max(0.0, 1 - spent / (time.monotonic() - began))


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
        self._opened: tuple[int, float] | None = None

    async def run(self) -> None:
        """Probe until the records have nobody to take them, or until cancelled."""
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()

        def wake(before: int) -> None:
            if gone.done():
                return
            if self._broken():
                gone.set_result(None)
                return
            self._note(before, time.monotonic_ns())
            loop.call_later(PERIOD, wake, time.monotonic_ns())

        # A plain timer: a sleeping task would cost the loop another round each time.
        loop.call_later(PERIOD, wake, time.monotonic_ns())
        await gone

    def _note(self, before: int, now: int) -> None:
        if not self._start <= now < self._end:
            return
        if self._opened is None:
            # The thread's own clock: in process, other threads of the command do not count.
            self._opened = (now, time.thread_time())
            return
        self.lags.append(max(0.0, (now - before) / NANOSECONDS - PERIOD))
        began, used = self._opened
        self.cpu_share = (time.thread_time() - used) * NANOSECONDS / (now - began)
