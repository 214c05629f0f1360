"""Nodes in service and out of it: how they left, and the state of every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from macfleet.model.json import Json
from macfleet.model.quantity import iso, show_seconds
from macfleet.rollout.drain import Drained
from macfleet.rollout.drain_ports import Sight
from macfleet.rollout.drain_state import Service, ServiceState
from macfleet.views.diagnostics import clean
from macfleet.views.table import lines as table

SYMBOLS: Mapping[ServiceState, str] = {
    ServiceState.ACTIVE: "✓",
    ServiceState.CORDONED: "!",
    ServiceState.DRAINING: "⌛",
    ServiceState.DRAINED: "-",
}

_ENDS = "macfleet apply playbooks/site.yml"


def drained_line(node: str, done: Drained) -> str:
    """Return how a node left, as a result."""
    if done.already:
        return f"{node}   · drained before, {_when(done.service)}"
    cut = f"{done.cut} request{'' if done.cut == 1 else 's'} cut"
    return f"{node}   ✓ drained in {show_seconds(done.seconds)}, {cut}"


def drained_document(results: Mapping[str, Drained]) -> dict[str, Json]:
    """Return how nodes left as JSON."""
    rows: list[Json] = [
        {
            **service_row(done.service),
            "seconds": round(done.seconds, 3),
            "cut": done.cut,
            "already": done.already,
        }
        for done in results.values()
    ]
    return {"schema": 1, "kind": "drain", "nodes": rows}


def service_line(service: Service) -> str:
    """Return where a node stands after a command."""
    return f"{service.node}   {SYMBOLS[service.state]} {service.state}{_because(service)}"


def service_row(service: Service) -> dict[str, Json]:
    """Return where a node stands as JSON."""
    return {
        "node": service.node,
        "state": str(service.state),
        "reason": service.reason,
        "who": service.who,
        "since": iso(service.since) if service.since else None,
        "deadline": iso(service.deadline) if service.deadline else None,
        "failure": service.failure,
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """What store and node say of a node; `sight` is None when it did not answer.

    Attributes:
        left: whether launchd has an engine with the GPU off that a load test left there.
        abandoned: whether it drains and no controller works on it any more.
    """

    node: str
    pool: str
    kept: Service
    sight: Sight | None = None
    left: bool = False
    abandoned: bool = False

    @property
    def service(self) -> Service:
        """The node's own word counts: another controller may have moved it."""
        own = self.sight.service if self.sight else None
        if own is None or own.token < self.kept.token:
            return self.kept
        # One lease wrote both: the store says besides why a node that could not be told did not come back.
        return self.kept if (own.token, own.state) == (self.kept.token, self.kept.state) else own

    @property
    def disagrees(self) -> str:
        """Where what is kept and what is true part, in words; empty when they do not."""
        if self.sight is None:
            return ""
        if self.service.state is not self.kept.state:
            return f"this controller's store says {self.kept.state}"
        running = any((self.sight.containers or {}).values())
        if self.service.closed and running and not self.sight.closed:
            ports = [f"port {port}" for port, way in self.sight.ways.items() if not way.closed] or [
                "its port"
            ]
            still = "is" if len(ports) == 1 else "are"
            return f"{' and '.join(ports)} {still} open: it restarted, or somebody removed the rule"
        if self.service.state is ServiceState.DRAINED and running and not self.service.run:
            return "containers run all the same"
        return ""


def status_lines(standings: Sequence[Standing], now: float, width: int = 0) -> Iterator[str]:
    """Yield a table: node, pool, state and for how long, what it does, why it is out; 0 folds nothing."""
    heads = ("node", "pool", "state", "for", "serving", "in flight", "")
    yield from table(heads, [_cells(standing, now) for standing in standings], width, gap="  ")


def status_document(standings: Sequence[Standing]) -> dict[str, Json]:
    """Return the table as JSON with absolute times."""
    rows: list[Json] = [
        {
            **service_row(each.service),
            "pool": each.pool,
            "reachable": each.sight is not None,
            "serving": _serving(each),
            "in_flight": each.sight.in_flight.requests if each.sight else None,
            "connections": len(each.sight.in_flight.connections) if each.sight else None,
            "ports": _ports(each),
            "abandoned": each.abandoned,
            "disagrees": each.disagrees,
            "left_engine": each.left,
        }
        for each in standings
    ]
    return {"schema": 1, "kind": "status", "nodes": rows}


def _cells(standing: Standing, now: float) -> tuple[str, ...]:
    service, sight = standing.service, standing.sight
    since = _age(now - service.since) if service.since else "–"
    serving = "?" if sight is None else "yes" if _serving(standing) else "no"
    flight = "?" if sight is None else "–" if sight.in_flight.requests is None else str(sight.in_flight.count)
    notes = [f"! {standing.disagrees}"] if standing.disagrees else []
    notes += ["✗ does not answer"] if sight is None else []
    if standing.abandoned:
        notes.append(f"! no controller drains it any more; go on with: macfleet drain {standing.node}")
    if sight is not None and len(sight.ways) > 1 and sight.closed:
        notes.append(f"ports {' and '.join(map(str, sight.ways))} closed")
    if standing.left:
        notes.append(f"! a load test left an engine with the GPU off: {_ENDS} -l {standing.node}")
    notes += [part for part in (service.failure, service.reason, service.who and f"by {service.who}") if part]
    state = f"{SYMBOLS[service.state]} {service.state}"
    return standing.node, standing.pool or "–", state, since, serving, flight, " · ".join(notes)


def _ports(standing: Standing) -> list[Json]:
    ways = standing.sight.ways if standing.sight else {}
    return [
        {"port": port, "closed": way.closed, "connections": way.connections} for port, way in ways.items()
    ]


def _serving(standing: Standing) -> bool:
    return standing.sight is not None and standing.sight.healthy and not standing.service.closed


def _because(service: Service) -> str:
    parts = [part for part in (service.reason, service.failure) if part]
    return f" · {clean(' · '.join(parts))}" if parts else ""


def _when(service: Service) -> str:
    who = f" by {service.who}" if service.who else ""
    return f"at {iso(service.since)}{who}{_because(service)}"


def _age(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"
