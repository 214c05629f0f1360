"""Node states and leases in the state database; each call is one transaction, whoever else writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.rollout.drain_ports import Lease
from macfleet.rollout.drain_state import OnDeadline, Service, ServiceState
from macfleet.store.database import Database, RowTakenError, Value, insertion

_STATE = ("state", "reason", "who", "since", "deadline", "on_deadline", "failure", "token", "run")
_SERVICE = f"SELECT node, {', '.join(_STATE)} FROM service_states WHERE node = :node"  # noqa: S608  (our own names)
_KEEP = (
    f"UPDATE service_states SET {', '.join(f'{name} = :{name}' for name in _STATE)} "  # noqa: S608  (our own names)
    "WHERE node = :node AND token <= :token"
)
_KEEP_FIRST = insertion("service_states", ("node", *_STATE))
_TAKE = (
    "UPDATE leases SET holder = :holder, expires = :expires, "
    "token = CASE WHEN token >= :stamp THEN token + 1 ELSE :stamp END WHERE name = :name"
)
_FREE = " AND (expires <= :now OR holder = :holder)"
_NEW = insertion("leases", ("name", "holder", "token", "expires"))
_EXPIRE = "UPDATE leases SET expires = :expires WHERE name = :name AND token = :token"
_LEASE = "SELECT name, holder, token, expires FROM leases WHERE name = :name AND expires > :now"


class SqlServices:
    """The newest state of every node; a holder whose lease has passed on writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def service(self, node: str) -> Service:
        """Return a node's state; active when nothing is known."""
        rows = self._database.read(_SERVICE, {"node": node})
        if not rows:
            return Service(node)
        name, state, reason, who, since, deadline, on_deadline, failure, token, run = rows[0]
        return Service(
            node=name,
            state=ServiceState(state),
            reason=reason,
            who=who,
            since=since,
            deadline=deadline,
            on_deadline=OnDeadline(on_deadline),
            failure=failure,
            token=token,
            run=run,
        )

    def keep_service(self, service: Service) -> None:
        """Keep a state (raises MacfleetError E0873, exit 6, when one of a newer lease is kept)."""
        row: dict[str, Value] = {
            "node": service.node,
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
        try:
            with self._database.transaction() as rows:
                if rows.change(_KEEP, row) != 1:
                    rows.change(_KEEP_FIRST, row)
        except RowTakenError as taken:
            raise MacfleetError(_passed_on(service.node)) from taken


class SqlLeases:
    """Leases with a token that grows with each holder.

    A token is a time in milliseconds unless that would not be more than the one before: controllers that
    share no store then still agree, on a node, who came last.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def take(self, name: str, holder: str, ttl: float, *, force: bool = False) -> Lease | None:
        """Take a lease for `ttl` seconds; None while somebody else holds it."""
        now = self._clock()
        self._known(name)
        wanted: dict[str, Value] = {
            "name": name,
            "holder": holder,
            "stamp": int(now * 1000),
            "expires": now + ttl,
            "now": now,
        }
        with self._database.transaction() as rows:
            if rows.change(_TAKE if force else _TAKE + _FREE, wanted) != 1:
                return None
            token = rows.read("SELECT token FROM leases WHERE name = :name", {"name": name})[0][0]
        return Lease(name, holder, int(token), now + ttl)

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Make it last `ttl` seconds from now (raises MacfleetError E0873 when another holds it)."""
        expires = self._clock() + ttl
        if not self._expire(lease, expires):
            raise MacfleetError(_passed_on(lease.name.partition("/")[2]))
        return Lease(lease.name, lease.holder, lease.token, expires)

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when another holds it."""
        self._expire(lease, 0.0)

    def lease(self, name: str) -> Lease | None:
        """Return who holds a name now."""
        rows = self._database.read(_LEASE, {"name": name, "now": self._clock()})
        return Lease(*rows[0]) if rows else None

    def _expire(self, lease: Lease, expires: float) -> bool:
        with self._database.transaction() as rows:
            values: dict[str, Value] = {"name": lease.name, "token": lease.token, "expires": expires}
            return rows.change(_EXPIRE, values) == 1

    def _known(self, name: str) -> None:
        """Make the name's row; another controller may do so at the same moment."""
        if self._database.read("SELECT name FROM leases WHERE name = :name", {"name": name}):
            return
        with suppress(RowTakenError), self._database.transaction() as rows:
            rows.change(_NEW, {"name": name, "holder": "", "token": 0, "expires": 0.0})


def _passed_on(name: str) -> Diagnostic:
    return Diagnostic(
        "E0873",
        "another controller took this over",
        why="Its lease is newer than the one this command holds; nothing more was done here.",
        mend=f"See where it stands: macfleet status -l {name}",
        node=name,
        exit_code=ExitCode.LOCKED,
    )
