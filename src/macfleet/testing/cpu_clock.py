"""How much CPU a program and everything below it uses, second by second."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY = 0.25


class CpuClock:
    """Watches a process four times a second while it is entered; needs /proc with children (Linux)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: list[tuple[int, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def used(self, start: int, end: int) -> float | None:
        """Return CPU seconds between two monotonic moments (ns); None when they were not watched whole."""
        if not self._seen or self._seen[0][0] > start or self._seen[-1][0] < end:
            return None
        return self._at(end) - self._at(start)

    def _at(self, moment: int) -> float:
        before = max((each for each in self._seen if each[0] <= moment), key=lambda each: each[0])
        after = min((each for each in self._seen if each[0] >= moment), key=lambda each: each[0])
        if after[0] == before[0]:
            return before[1]
        share = (moment - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])

    def _watch(self) -> None:
        while True:
            used = cpu_below(self._pid)
            if used is not None:
                self._seen.append((time.monotonic_ns(), used))
            if self._stop.wait(_EVERY):
                return


def cpu_below(pid: int) -> float | None:
    """Return CPU seconds of a process, of its children that ended, and of all that live below it.

    None when the process is gone or the system has no such /proc.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        children = [file.read_text(encoding="utf-8") for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return None
    # utime, stime, and those of the children that were waited for: fields 14 to 17 of proc(5).
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_below(int(child)) or 0.0 for child in " ".join(children).split())
