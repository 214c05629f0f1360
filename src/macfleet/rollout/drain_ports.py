"""What a drain asks of the world: the store's states and leases, and the node's half."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from macfleet.model.json import JsonObject
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Clock, Events, Executor
from macfleet.rollout.drain_state import InFlight, Service


@dataclass(frozen=True, slots=True)
class Lease:
    """A right that ends by itself; `token` grows with each new holder of the name."""

    name: str
    holder: str
    token: int
    expires: float


@dataclass(frozen=True, slots=True)
class WayIn:
    """A port where requests enter a node: whether its reject rule stands, and how many are connected."""

    closed: bool
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """A node as one look finds it.

    Attributes:
        healthy: its containers are healthy and each published port of a project that is there answers.
        service: what the node's own file says; None without one.
        containers: id by id whether each of its containers runs, the front's too.
        engine: ``ok``, ``absent`` (no VM) or ``silent`` (there, without an answer).
        closed: whether the reject rules stand and no port answers.
        ways: each port where requests enter, the front's first.
    """

    healthy: bool
    in_flight: InFlight
    service: Service | None = None
    containers: Mapping[str, bool] | None = None
    engine: str = "ok"
    closed: bool = False
    ways: Mapping[int, WayIn] = field(default_factory=dict)


class Services(Protocol):
    """The state of every node, kept by the store."""

    def service(self, node: str) -> Service:
        """Return a node's state; active when nothing is known."""

    def keep_service(self, service: Service) -> None:
        """Keep a state (raises MacfleetError E0873, exit 6, when one of a newer lease is kept)."""


class Leases(Protocol):
    """Rights that end by themselves."""

    def take(self, name: str, holder: str, ttl: float, *, force: bool = False) -> Lease | None:
        """Take a lease for `ttl` seconds; None while somebody else holds it."""

    def renew(self, lease: Lease, ttl: float) -> Lease:
        """Make it last `ttl` seconds from now (raises MacfleetError E0873 when another holds it)."""

    def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when another holds it."""

    def lease(self, name: str) -> Lease | None:
        """Return who holds a name now."""


class NodeHalf(Protocol):
    """What is done on the node itself; each method is one exec."""

    def look(self, node: Node) -> Sight:
        """See the node (raises NodeUnreachable)."""

    def enter(self, node: Node, service: Service) -> None:
        """Write the state down on the node and close or open its ports accordingly (raises MacfleetError)."""

    def stop(self, node: Node) -> tuple[InFlight, Mapping[str, bool]]:
        """Stop the containers, the front's first; return what was in flight, and by id which still run."""

    def start(self, node: Node) -> tuple[Arm, ...]:
        """Start the containers, wait until they are healthy and warm up; return the arms that are there."""

    def entry(self, node: Node) -> int:
        """Return the port of the node's loopback that leads to its engine while its own port is closed."""


@dataclass(frozen=True, slots=True)
class DrainPorts:
    """Adapters of a drain.

    Attributes:
        pool_of: the nodes of a node's pool, itself included; empty without a pool.
        prove: asks each arm of the node it is given for the routes the contract promises, at its entry where
            the node is closed; returns what is broken.
        holder: who this controller is, unlike every other process.
        who: the person, for the record.
        record: keeps what was done to a node, by its kind, for the history.
    """

    services: Services
    leases: Leases
    half: NodeHalf
    executor: Executor
    clock: Clock
    events: Events
    pool_of: Callable[[Node], Sequence[Node]]
    prove: Callable[[Node], Sequence[str]]
    holder: str
    who: str
    record: Callable[[str, str, JsonObject], None] = field(default=lambda _node, _kind, _detail: None)
