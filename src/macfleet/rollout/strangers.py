"""Runs of controllers that share no store with this one: seen by the locks they left on the nodes."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.engine.lock import NodeLock, see_lock
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.rollout.ports import Ports
from macfleet.rollout.run_lock import Fence, pause

_PAUSE = 2.0
_SAY_EVERY = 5.0


def wait_for_strangers(nodes: Sequence[Node], ports: Ports, run: str, fence: Fence, until: float) -> None:
    """Wait until no other run holds a node's lock, at most until `until` of the monotonic clock.

    Nodes that are still locked then, or do not answer, are left to what happens to them next.
    """
    by_name = {node.name: node for node in nodes}
    said = ports.clock.monotonic() - _SAY_EVERY
    while True:
        found = ports.executor.each(tuple(by_name), lambda name: _look(by_name[name], ports))
        locks = {name: lock for name, lock in found.items() if isinstance(lock, NodeLock)}
        for trouble in found.values():
            if isinstance(trouble, Exception) and not isinstance(trouble, MacfleetError):
                raise trouble
        others = {name: lock for name, lock in locks.items() if _in_the_way(lock, run, fence)}
        now = ports.clock.monotonic()
        if not others or now >= until:
            return
        if now - said >= _SAY_EVERY:
            said = now
            for name, lock in others.items():
                ports.events.emit(Event("lock.waiting", name, _detail(lock, until - now)))
        pause(ports.clock, min(_PAUSE, until - now))


def _look(node: Node, ports: Ports) -> NodeLock | None:
    return see_lock(ports.transports.to(node), f"--{ports.nonce()}")


def _in_the_way(lock: NodeLock, run: str, fence: Fence) -> bool:
    """Whether this run would be refused now: by the rules of `macfleet.engine.lock.take_lock`."""
    holder = lock.holder
    earlier = bool(fence.store) and holder.store == fence.store and holder.token < fence.token
    if holder.run == run:
        return lock.running
    return lock.running or bool(lock.jobs) or not (earlier or lock.stale)


def _detail(lock: NodeLock, left: float) -> dict[str, Json]:
    holder = lock.holder
    words = f"{holder.who}: {holder.command}, run {holder.run}" if holder.command else holder.who
    return {"holder": words, "run": holder.run, "lapses": float(lock.left), "left": round(left, 1)}
