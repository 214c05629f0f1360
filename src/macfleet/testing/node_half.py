"""Nodes that take requests, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm, Node
from macfleet.rollout.drain_ports import Sight
from macfleet.rollout.drain_state import InFlight, Service

_CONTAINER = "c0ffee"
ENTRY = 18080


@dataclass(slots=True)
class FakeHalf:
    """A `NodeHalf` of nodes whose one container runs until it is stopped.

    Attributes:
        services: what each node's own file says.
        stopped: nodes whose container does not run; empty: nodes that have none.
        flights: what each poll of a node finds, the last one stays; nothing unless given.
        sick: nodes whose container is not healthy; gone: nodes that do not answer.
        stubborn: whether a container that is stopped runs all the same.
        calls: node and what was done to it, looks left out; looks: nodes that were looked at.
        before_look: called with each node before it is looked at.
    """

    services: dict[str, Service] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    flights: dict[str, list[InFlight]] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    stubborn: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    before_look: Callable[[Node], None] = lambda _node: None

    def runs(self, name: str) -> bool:
        """Return whether the node's container runs."""
        return name not in self.stopped and name not in self.empty

    def look(self, node: Node) -> Sight:
        """See the node."""
        self.before_look(node)
        self._reach(node)
        self.looks.append(node.name)
        queue = self.flights.get(node.name, [InFlight(0)])
        found = queue.pop(0) if len(queue) > 1 else queue[0]
        service = self.services.get(node.name)
        closed = bool(service and service.closed)
        runs = self.runs(node.name)
        return Sight(
            runs and not closed and node.name not in self.sick,
            found if runs else InFlight(0, running=False),
            service,
            {} if node.name in self.empty else {_CONTAINER: runs},
            closed=closed,
        )

    def enter(self, node: Node, service: Service) -> None:
        """Write the state down."""
        self._reach(node)
        self.calls.append((node.name, str(service.state)))
        self.services[node.name] = service

    def stop(self, node: Node) -> tuple[InFlight, Mapping[str, bool]]:
        """Stop the container."""
        self._reach(node)
        self.calls.append((node.name, "stop"))
        if not self.stubborn:
            self.stopped.add(node.name)
        return self.flights.get(node.name, [InFlight(0)])[-1], {_CONTAINER: self.stubborn}

    def start(self, node: Node) -> tuple[Arm, ...]:
        """Start the container, if there is one."""
        self._reach(node)
        self.calls.append((node.name, "start"))
        self.stopped.discard(node.name)
        return () if node.name in self.empty else (Arm.CONTAINER,)

    def entry(self, node: Node) -> int:
        """Return one port for every node."""
        _ = node
        return ENTRY

    def _reach(self, node: Node) -> None:
        if node.name in self.gone:
            raise NodeUnreachable(Diagnostic("E0401", "gone", exit_code=ExitCode.UNREACHABLE))
