"""How many scripts run at once on one connection."""

from __future__ import annotations

import threading
import time

import paramiko


class Slots:
    """Places for sessions of one connection; fewer once the server refused one.

    Args:
        limit: places at first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._opens = False
        self._changed = threading.Condition()

    def take(self, until: float) -> bool:
        """Wait for a place until a time of the monotonic clock; return whether there is one."""
        with self._changed:
            free = self._changed.wait_for(
                lambda: self._taken < self._limit, timeout=max(0.0, until - time.monotonic())
            )
            self._taken += free
            return free

    def give_back(self) -> None:
        """Give a place back."""
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def opened(self) -> None:
        """Note that the server opened a session: it does so in principle."""
        self._opens = True

    def give_back_refused(self) -> bool:
        """Give back a place for which the server opened no session; return whether to wait for another.

        That the sessions it does open are taken is no reason to fail. One place fewer than those is kept
        from then on: ending a script takes a session too.
        """
        with self._changed:
            self._taken -= 1
            others = self._taken
            if others:
                self._limit = max(1, min(self._limit, others - 1))
            self._changed.notify()
            return others > 0 or self._opens


def is_refusal(error: BaseException, transport: paramiko.Transport) -> bool:
    """Whether a channel was not opened because the server refused it.

    paramiko keeps one reason for all threads (`Transport.saved_exception`, 5.1): when two channels are
    refused at once, one of the threads finds none and is told only that it was not opened.
    """
    if isinstance(error, paramiko.ChannelException):
        return True
    return transport.is_active() and str(error) == "Unable to open channel."
