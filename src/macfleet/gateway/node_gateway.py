"""A pool without an edge: rollouts take a node out by the same machine as the people on call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.gateway import Absence, Out
from macfleet.rollout.drain_state import Service, ServiceState

if TYPE_CHECKING:
    from macfleet.gateway.leases import KeptLeases
    from macfleet.model.node import Node
    from macfleet.model.ports import Events
    from macfleet.rollout.drain import Drained
    from macfleet.rollout.drain_ports import DrainPorts, Lease, Services


class NodeHalfGateway:
    """A `Gateway` without an edge: each node refuses new connections and is waited for.

    Containers are left running, for who takes a node out here works on them, and reaches them at the entry.
    The node's lease is held, and renewed, until the node is put back or left out.

    Args:
        services: where the states of nodes are kept.
        compose: makes the adapters when a node first leaves.
    """

    def __init__(self, services: Services, compose: Callable[[], DrainPorts]) -> None:
        self._services = services
        self._compose = compose
        self._composed: DrainPorts | None = None
        self._keeping: KeptLeases | None = None
        self._lock = threading.Lock()
        # A cordon that a person gave stands when the node comes back.
        self._cordoned: dict[str, Service] = {}

    def absence(self, node: Node) -> Absence | None:
        """Return why the node is out of service; None while it is in service."""
        known = self._services.service(node.name)
        if not known.closed:
            return None
        return Absence(known.words, known.reason, known.resumable, known.failure)

    def drain(self, node: Node, *, deadline: float, reason: str, run: str, events: Events) -> Out:
        """Take the node out of service for a run and hold it; raises what a drain raises."""
        from macfleet.rollout.drain import drain_held  # noqa: PLC0415  (a plan takes no node out)
        from macfleet.rollout.drain_admit import Wish  # noqa: PLC0415
        from macfleet.rollout.drain_lease import take_node  # noqa: PLC0415

        ports = replace(self._ports, events=events)
        lease = take_node(node, ports)
        before = ports.services.service(node.name)
        try:
            done = drain_held(node, Wish(reason, deadline, stop=False, run=run), ports, lease)
        except BaseException:
            ports.leases.release(lease)
            raise
        if before.state is ServiceState.CORDONED and not before.run:
            with self._lock:
                self._cordoned[node.name] = before
        self._kept.keep(lease, ports.leases)
        return Out(_words(done), ports.half.entry(node), done.seconds, done.in_flight)

    def undrain(self, node: Node, *, events: Events) -> str:
        """Start, warm up and prove the node behind its closed port, open it and let it go.

        Raises:
            MacfleetError: what bringing a node back raises; it then stays out.
        """
        from macfleet.model.quantity import show_seconds  # noqa: PLC0415  (a plan brings no node back)
        from macfleet.rollout.drain_back import bring_back  # noqa: PLC0415

        ports = replace(self._ports, events=events)
        lease = self._lease(node, ports)
        try:
            with self._lock:
                before = self._cordoned.pop(node.name, None)
            back = before or Service(node.name, since=ports.clock.now())
            began = ports.clock.monotonic()
            bring_back(node, back, ports, lease)
            spent = show_seconds(ports.clock.monotonic() - began)
        finally:
            self._let_go(lease)
        return f"back in service after {spent}" if before is None else f"cordoned again: {before.reason}"

    def leave_out(self, node: Node, *, why: str) -> str:
        """Keep the reason in store and on the node, and let the node go as it is."""
        from macfleet.rollout.drain_lease import NODE_TTL  # noqa: PLC0415  (a plan leaves no node out)

        lease = self._kept.held(f"node/{node.name}")
        if lease is None:
            return ""
        try:
            self._ports.leases.renew(lease, NODE_TTL)
            known = self._ports.services.service(node.name)
            left = replace(known, failure=why, token=lease.token)
            self._ports.services.keep_service(left)
            self._ports.half.enter(node, left)
        except MacfleetError as error:
            if error.diagnostics[0].code == "E0873":
                return "another controller took it over"
            # It does not answer; the store says why it is out, and the node that it is.
        finally:
            self._let_go(lease)
        return "stays out of service"

    @property
    def _ports(self) -> DrainPorts:
        with self._lock:
            if self._composed is None:
                self._composed = self._compose()
            return self._composed

    @property
    def _kept(self) -> KeptLeases:
        from macfleet.gateway.leases import KeptLeases  # noqa: PLC0415  (a plan keeps none)

        with self._lock:
            if self._keeping is None:
                self._keeping = KeptLeases()
            return self._keeping

    def _lease(self, node: Node, ports: DrainPorts) -> Lease:
        from macfleet.rollout.drain_lease import take_node  # noqa: PLC0415  (a plan takes none)

        kept = self._kept.held(f"node/{node.name}")
        return kept if kept is not None else take_node(node, ports)

    def _let_go(self, lease: Lease) -> None:
        if self._kept.held(lease.name) is not None:
            self._kept.let_go(lease.name)
        else:
            self._ports.leases.release(lease)


def _words(done: Drained) -> str:
    from macfleet.model.quantity import show_seconds  # noqa: PLC0415  (a plan takes no node out)

    if done.already:
        return "drained before"
    flight = f"{done.in_flight} in flight finished" if done.in_flight else "nothing in flight"
    return f"drained in {show_seconds(done.seconds)}, {flight}"
