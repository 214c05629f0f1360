"""Node states and leases in the state database; each call is one transaction, whoever else writes."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, and_, case, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.rollout.drain_ports import Lease
from macfleet.rollout.drain_state import OnDeadline, Service, ServiceState
from macfleet.store.service_tables import LEASES, SERVICES


class SqlServices:
    """The newest state of every node; a holder whose lease has passed on writes nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def service(self, node: str) -> Service:
        """Return a node's state; active when nothing is known."""
        with self._engine.connect() as connection:
            row = connection.execute(select(SERVICES).where(SERVICES.c.node == node)).one_or_none()
        if row is None:
            return Service(node)
        return Service(
            node=row.node,
            state=ServiceState(row.state),
            reason=row.reason,
            who=row.who,
            since=row.since,
            deadline=row.deadline,
            on_deadline=OnDeadline(row.on_deadline),
            failure=row.failure,
            token=row.token,
            run=row.run,
        )

    def keep_service(self, service: Service) -> None:
        """Keep a state (raises MacfleetError E0873, exit 6, when one of a newer lease is kept)."""
        row = {
            "state": service.state.value,
            "reason": service.reason,
            "who": service.who,
            "since": service.since,
            "deadline": service.deadline,
            "on_deadline": service.on_deadline.value,
            "failure": service.failure,
            "token": service.token,
            "run": service.run,
        }
        with self._engine.begin() as connection:
            if _updated(connection, service, row):
                return
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(SERVICES).values(node=service.node, **row))
        except IntegrityError as taken:
            raise MacfleetError(_passed_on(service.node)) from taken


class SqlLeases:
    """Leases with a token that grows with each holder.

    A token is a time in milliseconds unless that would not be more than the one before: controllers that
    share no store then still agree, on a node, who came last.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def take(self, name: str, holder: str, ttl: float, *, force: bool = False) -> Lease | None:
        """Take a lease for `ttl` seconds; None while somebody else holds it."""
        now = self._clock()
        self._known(name)
        stamp = int(now * 1000)
        free = or_(LEASES.c.expires <= now, LEASES.c.holder == holder)
        token = case((LEASES.c.token >= stamp, LEASES.c.token + 1), else_=stamp)
        change = update(LEASES).where(and_(LEASES.c.name == name, *([] if force else [free])))
        with self._engine.begin() as connection:
            done = connection.execute(change.values(holder=holder, token=token, expires=now + ttl))
            if done.rowcount != 1:
                return None
            found = connection.scalar(select(LEASES.c.token).where(LEASES.c.name == name))
        return Lease(name, holder, int(found or 0), now + ttl)

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Make it last `ttl` seconds from now (raises MacfleetError E0873 when another holds it)."""
        expires = self._clock() + ttl
        mine = and_(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
        with self._engine.begin() as connection:
            if connection.execute(update(LEASES).where(mine).values(expires=expires)).rowcount != 1:
                raise MacfleetError(_passed_on(lease.name.partition("/")[2]))
        return Lease(lease.name, lease.holder, lease.token, expires)

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when another holds it."""
        mine = and_(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
        with self._engine.begin() as connection:
            connection.execute(update(LEASES).where(mine).values(expires=0.0))

    def lease(self, name: str) -> Lease | None:
        """Return who holds a name now."""
        query = select(LEASES).where(and_(LEASES.c.name == name, LEASES.c.expires > self._clock()))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Lease(row.name, row.holder, row.token, row.expires)

    def _known(self, name: str) -> None:
        """Make the name's row; another controller may do so at the same moment."""
        with self._engine.connect() as connection:
            if connection.scalar(select(LEASES.c.name).where(LEASES.c.name == name)) is not None:
                return
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(LEASES).values(name=name, holder="", token=0, expires=0.0))
        except IntegrityError:
            return


def _updated(connection: Connection, service: Service, row: dict[str, str | float | int]) -> bool:
    mine = and_(SERVICES.c.node == service.node, SERVICES.c.token <= service.token)
    return connection.execute(update(SERVICES).where(mine).values(row)).rowcount == 1


def _passed_on(name: str) -> Diagnostic:
    return Diagnostic(
        "E0873",
        "another controller took this over",
        why="Its lease is newer than the one this command holds; nothing more was done here.",
        mend=f"See where it stands: macfleet status -l {name}",
        node=name,
        exit_code=ExitCode.LOCKED,
    )
