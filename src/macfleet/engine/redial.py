"""A connection that broke is opened again, a bounded number of times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.model.ports import Transport

_LONGEST = 20.0


@dataclass(frozen=True, slots=True)
class Redial:
    """How a node is reached again.

    Attributes:
        dial: opens a connection (raises NodeUnreachable).
        pause: waits seconds.
        attempts: dials before it is given up; all waits together stay under a minute.
    """

    dial: Callable[[], Transport]
    pause: Callable[[float], None]
    attempts: int = 6

    def again(self, seed: Callable[[], str], stop: Callable[[], bool]) -> Transport:
        """Dial until the node answers, with growing waits that differ from node to node.

        Args:
            seed: yields an unpredictable text for each wait, so that a fleet does not come back in step.
            stop: gives up between two seconds of waiting when it holds.

        Raises:
            NodeUnreachable: as the last dial did.
        """
        for attempt in range(self.attempts):
            self._wait(min(2.0**attempt, _LONGEST) * _share(seed()), stop)
            try:
                return self.dial()
            except NodeUnreachable:
                if attempt + 1 == self.attempts or stop():
                    raise
        raise ValueError("attempts must be at least 1")

    def _wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        left = seconds
        while left > 0 and not stop():
            self.pause(min(left, 1.0))
            left -= 1.0


def _share(text: str) -> float:
    """Return a number from a half to one."""
    return 0.5 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**33
