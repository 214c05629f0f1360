"""The fleet lock's rows: one a node, taken all or none, each call one transaction."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from macfleet.rollout.run_lock import Fence, LockHolder
from macfleet.store.database import Database, Reads, RowTakenError, Value, Values, insertion


class _Lock(NamedTuple):
    """One row."""

    node: str
    owner: str
    token: int
    who: str
    host: str
    pid: int
    run: str
    command: str
    since: float
    expires: float


_NEW = insertion("locks", _Lock._fields)
_OF = f"SELECT {', '.join(_Lock._fields)} FROM locks WHERE node IN :nodes ORDER BY node"  # noqa: S608  (our own names)
_TAKE = (
    "UPDATE locks SET owner = :owner, token = :token, who = :who, host = :host, pid = :pid, run = :run, "
    "command = :command, since = :since, expires = :expires WHERE node IN :nodes"
)
_RENEW = "UPDATE locks SET expires = :expires WHERE owner = :owner AND token = :token"
_MINE = "SELECT node FROM locks WHERE owner = :owner AND token = :token"
_AT = "UPDATE locks SET run = :run WHERE owner = :owner AND token = :token"
_RELEASE = "UPDATE locks SET owner = '', expires = 0.0 WHERE owner = :owner AND token = :token"
_CLEAR = "UPDATE locks SET owner = '', expires = 0.0 WHERE node IN :nodes"
_IDENTITY = insertion("identity", ("only", "name"))
_RENAMED = "UPDATE identity SET name = :name WHERE name = :before"


@dataclass(frozen=True, slots=True)
class Owner:
    """One controller: `id` is unlike every other process's; `host` names the machine that has `pid`."""

    id: str
    who: str
    host: str
    pid: int


class SqlLocks:
    """Locks of nodes in the state database.

    Times are the database's own on PostgreSQL, so that controllers whose clocks differ agree; beside SQLite
    they are the machine's.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._identity = ""

    @property
    def identity(self) -> str:
        """A name of this store, made with it: nodes compare tokens of one store only.

        A copy of a store's file is another store, which knows nothing of what the first lets in: it gets a
        name of its own.
        """
        if not self._identity:
            place = f".{self._database.place}" if self._database.place else ""
            fresh = f"{secrets.token_hex(8)}{place}"
            found = self._named()
            if not found:
                self._insert(_IDENTITY, {"only": 1, "name": fresh})
            elif not found.endswith(place):
                with self._database.transaction() as rows:
                    rows.change(_RENAMED, {"name": fresh, "before": found})
            self._identity = self._named()
        return self._identity

    def _named(self) -> str:
        rows = self._database.read("SELECT name FROM identity")
        return str(rows[0][0]) if rows else ""

    def take(
        self, nodes: Sequence[str], owner: Owner, run: str, command: str, ttl: float, dead: Collection[str]
    ) -> Fence | tuple[LockHolder, ...]:
        """Take all nodes for `ttl` seconds or none; `dead` are owners known to have ended.

        The token is larger than any before: a time in milliseconds unless that would not be.
        """
        names = tuple(sorted(set(nodes)))
        store = self.identity
        self._know(names)
        free = {"", owner.id, *dead}
        # In one order, so that two controllers that want the same nodes do not wait for each other.
        query = f"{_OF} FOR UPDATE" if self._database.keeps_time else _OF
        with self._database.transaction() as rows:
            now = self._now(rows)
            locks = [_Lock(*row) for row in rows.read(query, {"nodes": names})]
            if others := [lock for lock in locks if lock.owner not in free and lock.expires > now]:
                return _holders(others, now)
            token = max(int(now * 1000), max((lock.token for lock in locks), default=0) + 1)
            taken: Values = {
                "nodes": names,
                "owner": owner.id,
                "token": token,
                "who": owner.who,
                "host": owner.host,
                "pid": owner.pid,
                "run": run,
                "command": command,
                "since": now,
                "expires": now + ttl,
            }
            rows.change(_TAKE, taken)
        return Fence(store, token)

    def renew(self, fence: Fence, owner: Owner, ttl: float) -> frozenset[str]:
        """Make what is still held last `ttl` seconds from now; return those nodes."""
        mine = _mine(fence, owner)
        with self._database.transaction() as rows:
            rows.change(_RENEW, {**mine, "expires": self._now(rows) + ttl})
            return frozenset(str(node) for (node,) in rows.read(_MINE, mine))

    def at(self, fence: Fence, owner: Owner, run: str) -> None:
        """Note the run that a holder is at now."""
        with self._database.transaction() as rows:
            rows.change(_AT, {**_mine(fence, owner), "run": run})

    def release(self, fence: Fence, owner: Owner) -> None:
        """Give back what is still held."""
        with self._database.transaction() as rows:
            rows.change(_RELEASE, _mine(fence, owner))

    def clear(self, nodes: Sequence[str]) -> None:
        """Take nodes from whoever holds them; the holder finds out when it renews."""
        with self._database.transaction() as rows:
            rows.change(_CLEAR, {"nodes": tuple(sorted(nodes))})

    def holders(self, nodes: Sequence[str]) -> tuple[LockHolder, ...]:
        """Return who holds any of the nodes, lapsed ones included, by their first node."""
        return _holders(self._held(nodes), self._now(self._database))

    def owners(self, nodes: Sequence[str], host: str) -> tuple[Owner, ...]:
        """Return the owners of any of the nodes whose processes are this machine's."""
        held = [lock for lock in self._held(nodes) if lock.host == host]
        return tuple({Owner(lock.owner, lock.who, lock.host, lock.pid) for lock in held})

    def _held(self, nodes: Sequence[str]) -> list[_Lock]:
        found = self._database.read(_OF, {"nodes": tuple(sorted(nodes))})
        return [lock for lock in (_Lock(*row) for row in found) if lock.owner]

    def _know(self, names: tuple[str, ...]) -> None:
        """Make rows that are missing; another controller may do so at the same moment."""
        known = {
            node
            for (node,) in self._database.read(
                "SELECT node FROM locks WHERE node IN :nodes", {"nodes": names}
            )
        }
        blank = _Lock("", "", 0, "", "", 0, "", "", 0.0, 0.0)._asdict()
        missing: list[Values] = [{**blank, "node": name} for name in names if name not in known]
        if not missing:
            return
        try:
            with self._database.transaction() as rows:
                rows.change_each(_NEW, missing)
        except RowTakenError:
            for row in missing:
                self._insert(_NEW, row)

    def _insert(self, sql: str, row: Values) -> None:
        """Insert a row unless somebody was faster."""
        with suppress(RowTakenError), self._database.transaction() as rows:
            rows.change(sql, row)

    def _now(self, source: Reads) -> float:
        if not self._database.keeps_time:
            return self._clock()
        return float(source.read("SELECT extract(epoch FROM clock_timestamp())")[0][0])


def _mine(fence: Fence, owner: Owner) -> dict[str, Value]:
    return {"owner": owner.id, "token": fence.token}


def _holders(locks: Sequence[_Lock], now: float) -> tuple[LockHolder, ...]:
    grouped: dict[tuple[str, int], list[_Lock]] = {}
    for lock in locks:
        grouped.setdefault((lock.owner, lock.token), []).append(lock)
    return tuple(_holder(each, now) for each in grouped.values())


def _holder(locks: Sequence[_Lock], now: float) -> LockHolder:
    first = locks[0]
    return LockHolder(
        nodes=tuple(lock.node for lock in locks),
        who=first.who,
        host=first.host,
        pid=first.pid,
        run=first.run,
        command=first.command,
        since=first.since,
        left=first.expires - now,
        token=first.token,
    )
