"""The leases of a drain: one a node for as long as somebody works on it, one a pool to admit a node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.rollout.drain_ports import DrainPorts, Lease

NODE_TTL = 15.0
"""Seconds a node's lease lasts between two polls: how long a killed controller blocks its successor."""
DEAF_TTL = 90.0
"""Seconds it lasts while the node does not answer, for a look at it takes long then."""
STEP_TTL = 240.0
"""Seconds it lasts while containers are started or stopped, which is one exec without a pause."""
_POOL_TTL = 60.0
_PAUSE = 0.5
_PATIENCE = 300.0


@contextmanager
def held(node: Node, ports: DrainPorts, *, force: bool = False) -> Iterator[Lease]:
    """Hold a node's lease; a dead controller's ends by itself and is waited for.

    Raises:
        MacfleetError: E0873 (exit 6) somebody else keeps renewing it.
    """
    lease = take_node(node, ports, force=force)
    try:
        yield lease
    finally:
        ports.leases.release(lease)


def take_node(node: Node, ports: DrainPorts, *, force: bool = False) -> Lease:
    """Take a node's lease for who renews and releases it; raises what `held` raises."""
    return _take(f"node/{node.name}", node, ports, NODE_TTL, force=force)


@contextmanager
def pool_lease(node: Node, ports: DrainPorts) -> Iterator[None]:
    """Hold the lease of a node's pool: two nodes are never admitted at once (raises MacfleetError)."""
    if not node.pool:
        yield
        return
    # One process takes several nodes out at once, and a holder is never kept from what it holds.
    holder = f"{ports.holder} for {node.name}"
    lease = _take(f"pool/{node.pool}", node, replace(ports, holder=holder), _POOL_TTL)
    try:
        yield
    finally:
        ports.leases.release(lease)


def _take(name: str, node: Node, ports: DrainPorts, ttl: float, *, force: bool = False) -> Lease:
    first: Lease | None = None
    until = ports.clock.monotonic() + _PATIENCE
    while True:
        lease = ports.leases.take(name, ports.holder, ttl, force=force)
        if lease is not None:
            return lease
        other = ports.leases.lease(name)
        if other is not None and first is None:
            first = other
            ports.events.emit(Event("drain.queued", node.name, {"holder": other.holder, "lease": name}))
        # A living holder renews a node's lease; a pool's is soon given back, to the next in line perhaps.
        if other is not None and first is not None:
            renewed = name.startswith("node/") and other.expires > first.expires
            if renewed or ports.clock.monotonic() >= until:
                raise MacfleetError(_taken(node, other))
        ports.clock.sleep(_PAUSE)


def _taken(node: Node, other: Lease) -> Diagnostic:
    return Diagnostic(
        "E0873",
        "another controller works on this node",
        why=f"{other.holder} keeps renewing its lease.",
        mend=f"Follow it: macfleet watch {node.name}\nor give it up: macfleet uncordon {node.name} --cancel",
        node=node.name,
        exit_code=ExitCode.LOCKED,
    )
