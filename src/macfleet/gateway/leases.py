"""Leases kept while something long is done: a thread renews them, so that they end with this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from macfleet.rollout.drain_lease import NODE_TTL
from macfleet.rollout.drain_ports import Lease, Leases

_EVERY = NODE_TTL / 3


class KeptLeases:
    """Node leases that are renewed until they are let go.

    `wait` waits so many seconds for an event to be set, and says whether it was.
    """

    def __init__(self, wait: Callable[[threading.Event, float], bool] = threading.Event.wait) -> None:
        self._wait = wait
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Lease, Leases]] = {}
        self._stop: threading.Event | None = None

    def keep(self, lease: Lease, leases: Leases) -> None:
        """Renew a lease from now on, where it is kept."""
        with self._lock:
            self._kept[lease.name] = lease, leases
            if self._stop is None:
                self._stop = threading.Event()
                threading.Thread(target=self._renew, args=(self._stop,), daemon=True).start()

    def held(self, name: str) -> Lease | None:
        """Return a lease that is kept, None when it is not."""
        with self._lock:
            found = self._kept.get(name)
        return found[0] if found else None

    def let_go(self, name: str) -> None:
        """Renew a lease no more and give it back."""
        with self._lock:
            found = self._kept.pop(name, None)
            if not self._kept and self._stop is not None:
                self._stop.set()
                self._stop = None
        if found is not None:
            lease, leases = found
            leases.release(lease)

    def _renew(self, stop: threading.Event) -> None:
        while not self._wait(stop, _EVERY):
            with self._lock:
                kept = list(self._kept.values())
            for lease, leases in kept:
                # Taken over, or a store that does not answer for a moment: whoever uses it next is told so.
                with suppress(Exception):
                    leases.renew(lease, NODE_TTL)
