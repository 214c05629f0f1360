"""A node's own lock for the time it is measured: who shares no store with us must not change it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from macfleet.engine.lock import Holder, refuse_if_locked, release_lock, take_lock
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Node
from macfleet.rollout.ports import Ports

_DEADLINE = 30.0


@contextmanager
def to_itself(node: Node, holder: Holder, ports: Ports, seconds: float) -> Iterator[None]:
    """Hold a node's lock for a block of about `seconds`; one exec before and one after it.

    Raises:
        MacfleetError: E0510 (exit 6) another run holds it.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    transport = ports.transports.to(node)
    mark = f"--{ports.nonce()}"
    done = transport.run(take_lock(holder, mark, seconds), deadline=_DEADLINE)
    refuse_if_locked(node.name, done.stdout.decode("utf-8", "replace"), mark)
    try:
        yield
    finally:
        # A connection that is gone leaves the lock to its end, or to the run that goes on with this one.
        with suppress(MacfleetError):
            ports.transports.to(node).run(release_lock(holder), deadline=_DEADLINE)
