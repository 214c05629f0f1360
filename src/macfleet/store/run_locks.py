"""The locks one controller holds: taken, renewed by a thread of their own, given back."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from macfleet.model.diagnostic import MacfleetError
from macfleet.rollout.run_lock import Fence, LockHolder, lost
from macfleet.store.database import StoreFailedError
from macfleet.store.sql_locks import Owner, SqlLocks

TTL = 60.0
"""Seconds a lock lasts without being renewed: how long a controller that vanished blocks others."""
_TAKEN = "Another controller took it over, or somebody broke the lock"


@dataclass(frozen=True, slots=True)
class _Holding:
    """What this process holds.

    Attributes:
        depth: how often it was taken; renewed: second of `clock` at which it was last known to last.
    """

    fence: Fence
    nodes: frozenset[str]
    depth: int
    renewed: float


class StoreLocks:
    """`Locks` over the state database.

    A lock that is not renewed lapses after `ttl` seconds; one whose process is known to have ended, since it
    ran on this machine, may be taken at once. A controller that could not renew for that long takes its nodes
    for lost: another may have them.

    Args:
        clock: seconds since the epoch; it must go on while the machine sleeps.
    """

    def __init__(
        self, rows: SqlLocks, owner: Owner, *, ttl: float = TTL, clock: Callable[[], float] = time.time
    ) -> None:
        self._rows = rows
        self._ttl = ttl
        self._clock = clock
        self._owner = owner
        self._guard = threading.RLock()
        self._held: _Holding | None = None
        self._ended = threading.Event()

    def take(self, nodes: Sequence[str], run: str, command: str) -> Fence | tuple[LockHolder, ...]:
        """Take all the nodes or none; return who has them when it is none.

        A command that takes nodes again takes some of those it has (raises MacfleetError E0591 otherwise).
        """
        with self._guard:
            held = self._held
            if held is not None and held.nodes.issuperset(nodes):
                self._held = replace(held, depth=held.depth + 1)
                self._rows.at(held.fence, self._owner, run)
                return held.fence
            if held is not None:
                raise MacfleetError(lost(node, _TAKEN) for node in nodes if node not in held.nodes)
            now = self._clock()
            found = self._rows.take(nodes, self._owner, run, command, self._ttl, self._dead(nodes))
            if isinstance(found, Fence):
                self._held = _Holding(found, frozenset(nodes), 1, now)
                self._ended = threading.Event()
                threading.Thread(target=self._beat, args=(self._ended,), daemon=True).start()
            return found

    def confirm(self, fence: Fence, node: str, *, afresh: bool = False) -> None:
        """Return while the node is still held.

        Raises:
            MacfleetError: E0591 (exit 6) another holds it, somebody broke the lock, or the store could not
                be asked for so long that another may hold it.
        """
        with self._guard:
            held = self._held
            if held is None or held.fence != fence:
                raise MacfleetError(lost(node, "It was given back"))
            # After a pause of the whole process nothing says what happened meanwhile.
            if afresh or not 0 <= self._clock() - held.renewed < self._ttl / 2:
                self._renew()
                held = self._held or held
        if node not in held.nodes:
            raise MacfleetError(lost(node, _TAKEN))
        if not 0 <= self._clock() - held.renewed < self._ttl:
            raise MacfleetError(lost(node, f"The store gave no answer for {self._ttl:g} s"))

    def release(self, fence: Fence) -> None:
        """Give back what was taken last; a store that does not answer lets it lapse."""
        with self._guard:
            held = self._held
            if held is None or held.fence != fence:
                return
            if held.depth > 1:
                self._held = replace(held, depth=held.depth - 1)
                return
            self._ended.set()
            self._held = None
        with suppress(StoreFailedError):
            self._rows.release(fence, self._owner)

    def others(self, nodes: Sequence[str]) -> tuple[LockHolder, ...]:
        """Return who else holds any of the nodes now; takes nothing."""
        found = self._rows.holders(nodes)
        return tuple(each for each in found if each.left > 0 and not self._is_over(each))

    def _is_over(self, holder: LockHolder) -> bool:
        """Whether it is this process, or one of this machine that has ended."""
        return holder.host == self._owner.host and (holder.pid == self._owner.pid or not _runs(holder.pid))

    def close(self) -> None:
        """Give back whatever is held, however often it was taken."""
        with self._guard:
            if self._held is not None:
                self._held = replace(self._held, depth=1)
                self.release(self._held.fence)

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(self._ttl / 4):
            with self._guard:
                if not ended.is_set():
                    self._renew()

    def _renew(self) -> None:
        held, now = self._held, self._clock()
        if held is None:
            return
        with suppress(StoreFailedError):
            nodes = self._rows.renew(held.fence, self._owner, self._ttl)
            self._held = replace(held, nodes=held.nodes & nodes, renewed=now)

    def _dead(self, nodes: Sequence[str]) -> Collection[str]:
        return [
            owner.id
            for owner in self._rows.owners(nodes, self._owner.host)
            if owner.pid != self._owner.pid and not _runs(owner.pid)
        ]


def this_process(who: str) -> Owner:
    """Return this process as an owner of locks, unlike every other."""
    return Owner(secrets.token_hex(8), who, machine(), os.getpid())


def machine() -> str:
    """Return a name of what this process's id counts in: the host, and its process namespace on Linux."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
