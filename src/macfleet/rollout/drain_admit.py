"""Whether a node may leave: the pool is looked at and decided upon under the pool's lease."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.node import Node
from macfleet.rollout.drain_guard import Capacity, out_already, refusal
from macfleet.rollout.drain_lease import pool_lease
from macfleet.rollout.drain_ports import DrainPorts, Lease, Sight
from macfleet.rollout.drain_state import OnDeadline, Service, ServiceState

DEADLINE = 1800.0
_ANNOUNCED = 300.0
"""Seconds another controller is to believe that a node is about to be closed."""


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


@dataclass(frozen=True, slots=True)
class Admitted:
    """A node that may leave: as it was known, as it is kept now, and which nodes of its pool served then.

    Attributes:
        serving: none where the node leaves whatever the others do.
    """

    known: Service
    service: Service
    serving: tuple[str, ...] = ()


def admit(node: Node, wish: Wish, ports: DrainPorts, lease: Lease) -> Admitted:
    """Let the guard decide under the pool's lease and keep what it decided: a draining service.

    A node that is draining or drained already was admitted before.

    Raises:
        MacfleetError: E0871 too few would serve, E0877 a rollout meets a node that a person took out,
            E0880 the budget is spent (all exit 7).
    """
    known = ports.services.service(node.name)
    if known.closed:
        if wish.run and not known.resumable:
            raise MacfleetError(out_already(node, known.words))
        return Admitted(known, _again(known, wish, ports, lease.token))
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
    serving = tuple(name for name, serves in seen.capacity.serving.items() if serves)
    return Admitted(known, draining, () if wish.force or node.name not in serving else serving)


def announce(node: Node, admitted: Admitted, ports: DrainPorts) -> None:
    """Write on the node that it is about to leave, its port open still, and look at the pool once more.

    Controllers that share no store meet on the nodes alone. Each writes before it looks, so of two that were
    admitted at once one at least sees the other, and puts its own node back as it was known.

    Raises:
        MacfleetError: E0871 too few would serve (exit 7), or what the node's half raises.
    """
    if not {*admitted.serving} - {node.name}:
        return
    until = ports.clock.now() + _ANNOUNCED
    ports.half.enter(node, replace(admitted.service, state=ServiceState.CORDONED, deadline=until))
    refused = refusal(node, observe_pool(node, ports, admitted.serving).capacity)
    if refused is None:
        return
    back = replace(admitted.known, token=admitted.service.token)
    ports.half.enter(node, back)
    ports.services.keep_service(back)
    raise MacfleetError(refused)


def observe_pool(node: Node, ports: DrainPorts, among: Collection[str] = ()) -> PoolSeen:
    """See every node of the pool at once, or those `among` it; one that does not answer does not serve."""
    pool = {each.name: each for each in ports.pool_of(node)} or {node.name: node}
    asked = tuple(name for name in pool if not among or name in among)
    answers = ports.executor.each(asked, lambda name: ports.half.look(pool[name]))
    serving = dict.fromkeys(pool, False)
    sights: dict[str, Sight] = {}
    # The node itself is asked for what it takes away: it serves until its port is closed.
    out = {name for name in pool if name != node.name and ports.services.service(name).closed}
    for name, answer in answers.items():
        if isinstance(answer, Exception):
            if not isinstance(answer, MacfleetError):
                raise answer
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
