"""Whether a node may leave: the pool is looked at and decided upon under the pool's lease."""

from __future__ import annotations

from dataclasses import dataclass, replace

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.node import Node
from macfleet.rollout.drain_guard import Capacity, out_already, refusal
from macfleet.rollout.drain_lease import pool_lease
from macfleet.rollout.drain_ports import DrainPorts, Lease, Sight
from macfleet.rollout.drain_state import OnDeadline, Service, ServiceState

DEADLINE = 1800.0
_OTHERS = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """How a node is to leave.

    Attributes:
        deadline: seconds until `on_deadline` decides; None is half an hour, or what a drain that is gone on
            with was given.
        once: give up at once when something is in flight.
        stop: stop the containers in the end.
        run: the rollout that takes it out, which leaves a node alone that a person took out; empty for one.
        force: leave although the guard refuses; `reason` says why, and it is recorded.
        budget: how many nodes of the pool may be out at once; None leaves that to `min_ready`.
    """

    reason: str = ""
    deadline: float | None = None
    on_deadline: OnDeadline | None = None
    once: bool = False
    stop: bool = True
    run: str = ""
    force: bool = False
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """A pool as one look finds it, and the node's own sight; None for one that did not answer."""

    capacity: Capacity
    own: Sight | None


def admit(node: Node, wish: Wish, ports: DrainPorts, lease: Lease) -> Service:
    """Let the guard decide under the pool's lease and keep what it decided; returns a draining service.

    A node that is draining or drained already was admitted before.

    Raises:
        MacfleetError: E0871 too few would serve, E0877 a rollout meets a node that a person took out,
            E0880 the budget is spent (all exit 7).
    """
    known = ports.services.service(node.name)
    if known.closed:
        if wish.run and not known.resumable:
            raise MacfleetError(out_already(node, known.words))
        return _again(known, wish, ports, lease.token)
    with pool_lease(node, ports):
        seen = observe_pool(node, ports)
        own = seen.own.service if seen.own else None
        if wish.run and own is not None and own.closed:
            raise MacfleetError(out_already(node, f"{own.words}, as its own file says"))
        refused = refusal(node, seen.capacity, wish.budget)
        if refused is not None and not wish.force:
            raise MacfleetError(refused)
        draining = _draining(known, wish, ports, lease.token)
        ports.services.keep_service(draining)
    words = seen.capacity.words(node.name)
    if refused is not None:
        ports.events.emit(Event("drain.forced", node.name, {"words": refused.summary}))
        detail = {"who": ports.who, "reason": wish.reason, "refusal": refused.summary}
        ports.record(node.name, "drain.forced", detail)
    ports.events.emit(Event("drain.admitted", node.name, {"words": words}))
    return draining


def announce(node: Node, known: Service, service: Service, ports: DrainPorts) -> None:
    """Write on the node that it is about to leave, its port open still, and look at the pool once more.

    Controllers that share no store meet on the nodes alone. Each writes before it looks, so of two that were
    admitted at once one at least sees the other, and puts its own node back as it was known.

    Raises:
        MacfleetError: E0871 too few would serve (exit 7), or what the node's half raises.
    """
    if len(ports.pool_of(node)) < _OTHERS:
        return
    ports.half.enter(node, replace(service, state=ServiceState.CORDONED))
    refused = refusal(node, observe_pool(node, ports).capacity)
    if refused is None:
        return
    back = replace(known, token=service.token)
    ports.half.enter(node, back)
    ports.services.keep_service(back)
    raise MacfleetError(refused)


def observe_pool(node: Node, ports: DrainPorts) -> PoolSeen:
    """See every node of the pool at once; one that does not answer does not serve."""
    pool = {each.name: each for each in ports.pool_of(node)} or {node.name: node}
    answers = ports.executor.each(tuple(pool), lambda name: ports.half.look(pool[name]))
    serving: dict[str, bool] = {}
    sights: dict[str, Sight] = {}
    # The node itself is asked for what it takes away: it serves until its port is closed.
    out = {name for name in pool if name != node.name and ports.services.service(name).closed}
    for name, answer in answers.items():
        if isinstance(answer, Exception):
            if not isinstance(answer, MacfleetError):
                raise answer
            serving[name] = False
            continue
        sights[name] = answer
        own = answer.service
        if own is not None and (own.closed or (name != node.name and own.announced(ports.clock.now()))):
            out.add(name)
        serving[name] = answer.healthy and name not in out
    least = max(each.min_ready for each in pool.values())
    return PoolSeen(Capacity(node.pool, serving, least, frozenset(out)), sights.get(node.name))


def _draining(known: Service, wish: Wish, ports: DrainPorts, token: int) -> Service:
    now = ports.clock.now()
    cordoned = known.moved(ServiceState.CORDONED, now, token)
    cordoned = replace(cordoned, reason=wish.reason or known.reason, who=ports.who, failure="", run=wish.run)
    return replace(
        cordoned.moved(ServiceState.DRAINING, now, token),
        deadline=now + (DEADLINE if wish.deadline is None else wish.deadline),
        on_deadline=wish.on_deadline or OnDeadline.FAIL,
    )


def _again(known: Service, wish: Wish, ports: DrainPorts, token: int) -> Service:
    """Return the service of a drain that is gone on with: its deadline stands unless another was named.

    A node that a rollout left out belongs to the person who drains it, and then no rollout touches it.
    """
    deadline = known.deadline
    if wish.deadline is not None or not deadline:
        deadline = ports.clock.now() + (DEADLINE if wish.deadline is None else wish.deadline)
    return replace(
        known,
        deadline=deadline,
        on_deadline=wish.on_deadline or known.on_deadline,
        reason=wish.reason or known.reason,
        who=known.who if known.run == wish.run else ports.who,
        failure="",
        run=wish.run,
        token=token,
    )
