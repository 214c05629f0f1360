"""The fleet lock's rows: one a node, taken all or none, each call one transaction."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    and_,
    extract,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from macfleet.rollout.run_lock import Fence, LockHolder
from macfleet.store.lock_tables import IDENTITY, LOCKS


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

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._identity = ""

    @property
    def identity(self) -> str:
        """A name of this store, made with it: nodes compare tokens of one store only."""
        if not self._identity:
            with self._engine.connect() as connection:
                found = connection.scalar(select(IDENTITY.c.name))
            if found is None:
                _insert(self._engine, IDENTITY, {"only": 1, "name": secrets.token_hex(8)})
                with self._engine.connect() as connection:
                    found = connection.scalar(select(IDENTITY.c.name))
            self._identity = str(found)
        return self._identity

    def take(
        self, nodes: Sequence[str], owner: Owner, run: str, command: str, ttl: float, dead: Collection[str]
    ) -> Fence | tuple[LockHolder, ...]:
        """Take all nodes for `ttl` seconds or none; `dead` are owners known to have ended.

        The token is larger than any before: a time in milliseconds unless that would not be.
        """
        names = sorted(set(nodes))
        store = self.identity
        self._know(names)
        wanted = LOCKS.c.node.in_(names)
        with self._engine.begin() as connection:
            now = self._now(connection)
            if connection.dialect.name != "sqlite":
                # In one order, so that two controllers that want the same nodes do not wait for each other.
                connection.execute(
                    select(LOCKS.c.node).where(wanted).order_by(LOCKS.c.node).with_for_update()
                )
            free = or_(LOCKS.c.expires <= now, LOCKS.c.owner.in_(["", owner.id, *dead]))
            values = {"owner": owner.id, "who": owner.who, "host": owner.host, "pid": owner.pid}
            values |= {"run": run, "command": command, "since": now, "expires": now + ttl}
            done = connection.execute(update(LOCKS).where(and_(wanted, free)).values(values))
            if done.rowcount != len(names):
                others = _holders(connection, and_(wanted, LOCKS.c.owner != owner.id), now)
                connection.rollback()
                return others
            newest = connection.scalar(select(func.max(LOCKS.c.token)).where(wanted))
            token = max(int(now * 1000), int(newest or 0) + 1)
            connection.execute(update(LOCKS).where(wanted).values(token=token))
        return Fence(store, token)

    def renew(self, fence: Fence, owner: Owner, ttl: float) -> frozenset[str]:
        """Make what is still held last `ttl` seconds from now; return those nodes."""
        mine = and_(LOCKS.c.owner == owner.id, LOCKS.c.token == fence.token)
        with self._engine.begin() as connection:
            now = self._now(connection)
            connection.execute(update(LOCKS).where(mine).values(expires=now + ttl))
            return frozenset(connection.scalars(select(LOCKS.c.node).where(mine)))

    def at(self, fence: Fence, owner: Owner, run: str) -> None:
        """Note the run that a holder is at now."""
        mine = and_(LOCKS.c.owner == owner.id, LOCKS.c.token == fence.token)
        with self._engine.begin() as connection:
            connection.execute(update(LOCKS).where(mine).values(run=run))

    def release(self, fence: Fence, owner: Owner) -> None:
        """Give back what is still held."""
        mine = and_(LOCKS.c.owner == owner.id, LOCKS.c.token == fence.token)
        with self._engine.begin() as connection:
            connection.execute(update(LOCKS).where(mine).values(owner="", expires=0.0))

    def clear(self, nodes: Sequence[str]) -> None:
        """Take nodes from whoever holds them; the holder finds out when it renews."""
        with self._engine.begin() as connection:
            held = update(LOCKS).where(LOCKS.c.node.in_(sorted(nodes)))
            connection.execute(held.values(owner="", expires=0.0))

    def holders(self, nodes: Sequence[str]) -> tuple[LockHolder, ...]:
        """Return who holds any of the nodes, lapsed ones included, by their first node."""
        held = and_(LOCKS.c.owner != "", LOCKS.c.node.in_(sorted(nodes)))
        with self._engine.connect() as connection:
            return _holders(connection, held, self._now(connection))

    def owners(self, nodes: Sequence[str], host: str) -> tuple[Owner, ...]:
        """Return the owners of any of the nodes whose processes are this machine's."""
        query = select(LOCKS).where(
            LOCKS.c.owner != "", LOCKS.c.host == host, LOCKS.c.node.in_(sorted(nodes))
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return tuple({Owner(row.owner, row.who, row.host, row.pid) for row in rows})

    def _know(self, names: Sequence[str]) -> None:
        """Make rows that are missing; another controller may do so at the same moment."""
        with self._engine.connect() as connection:
            known = set(connection.scalars(select(LOCKS.c.node).where(LOCKS.c.node.in_(names))))
        blank = {"owner": "", "token": 0, "since": 0.0, "expires": 0.0}
        blank |= {"who": "", "host": "", "pid": 0, "run": "", "command": ""}
        missing = [{"node": name, **blank} for name in names if name not in known]
        if not missing:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(LOCKS), missing)
        except IntegrityError:
            for row in missing:
                _insert(self._engine, LOCKS, row)

    def _now(self, connection: Connection) -> float:
        if connection.dialect.name != "postgresql":
            return self._clock()
        return float(connection.scalar(select(extract("epoch", func.clock_timestamp()))) or 0.0)


def _insert(engine: Engine, table: Table, row: dict[str, Any]) -> None:
    """Insert a row unless somebody was faster."""
    try:
        with engine.begin() as connection:
            connection.execute(insert(table).values(row))
    except IntegrityError:
        return


def _holders(connection: Connection, which: ColumnElement[bool], now: float) -> tuple[LockHolder, ...]:
    grouped: dict[tuple[str, int], list[Row[Any]]] = {}
    for row in connection.execute(select(LOCKS).where(which).order_by(LOCKS.c.node)):
        grouped.setdefault((row.owner, row.token), []).append(row)
    return tuple(_holder(rows, now) for rows in grouped.values())


def _holder(rows: Sequence[Row[Any]], now: float) -> LockHolder:
    first = rows[0]
    return LockHolder(
        nodes=tuple(row.node for row in rows),
        who=first.who,
        host=first.host,
        pid=first.pid,
        run=first.run,
        command=first.command,
        since=first.since,
        left=first.expires - now,
        token=first.token,
    )
