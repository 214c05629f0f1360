"""One node's way out of service and back: admitted by the guard, waited for, stopped, proven.

Every step may be repeated: a controller that was killed is followed by another that goes on from the state
the store keeps. The pool's lease is held to admit a node and never while waiting for requests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.rollout.drain_guard import Capacity, refusal
from macfleet.rollout.drain_lease import NODE_TTL, STEP_TTL, held, pool_lease
from macfleet.rollout.drain_ports import DrainPorts, Lease, Sight
from macfleet.rollout.drain_state import POLL, InFlight, OnDeadline, Progress, Service, ServiceState

DEADLINE = 1800.0
_SAY_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Wish:
    """How a node is to leave.

    Attributes:
        deadline: seconds until `on_deadline` decides; None is half an hour, or what a drain that is gone on
            with was given.
        once: give up at once when something is in flight.
        stop: stop the containers in the end.
    """

    reason: str = ""
    deadline: float | None = None
    on_deadline: OnDeadline | None = None
    once: bool = False
    stop: bool = True


@dataclass(frozen=True, slots=True)
class Drained:
    """How a node left.

    Attributes:
        seconds: from the command to the end; cut: requests and connections that were cut.
        already: it had left before.
    """

    service: Service
    seconds: float = 0.0
    cut: int = 0
    already: bool = False


def drain(node: Node, wish: Wish, ports: DrainPorts) -> Drained:
    """Take a node out of service.

    Raises:
        MacfleetError: E0871 the guard refuses, E0872 the deadline came (both exit 7, the second leaves the
            node cordoned), E0873 another controller has it (exit 6), E0874 its containers still run, or
            what the node's half raises.
    """
    began = ports.clock.monotonic()
    with held(node, ports) as lease:
        service = admit(node, wish, ports, lease)
        if service.state is ServiceState.DRAINED and _is_out(ports.half.look(node)):
            return Drained(service, already=True)
        try:
            ports.half.enter(node, service)
            _wait(node, service, wish, ports, lease)
            cut = _stop(node, ports, lease) if wish.stop else 0
        except MacfleetError as error:
            _fail(node, service, ports, lease, error)
            raise
        done = service.moved(ServiceState.DRAINED, ports.clock.now(), lease.token)
        ports.half.enter(node, done)
        ports.services.keep_service(done)
    return Drained(done, ports.clock.monotonic() - began, cut)


def admit(node: Node, wish: Wish, ports: DrainPorts, lease: Lease) -> Service:
    """Let the guard decide under the pool's lease and keep what it decided; returns a draining service.

    A node that is draining or drained already was admitted before.

    Raises:
        MacfleetError: E0871 (exit 7).
    """
    known = ports.services.service(node.name)
    if known.closed:
        return _again(known, wish, ports.clock.now(), lease.token)
    with pool_lease(node, ports):
        capacity = observe_pool(node, ports)
        now = ports.clock.now()
        if not capacity.allows(node.name):
            raise MacfleetError(refusal(node, capacity))
        cordoned = known.moved(ServiceState.CORDONED, now, lease.token)
        cordoned = replace(cordoned, reason=wish.reason or known.reason, who=ports.who, failure="")
        draining = replace(
            cordoned.moved(ServiceState.DRAINING, now, lease.token),
            deadline=now + (DEADLINE if wish.deadline is None else wish.deadline),
            on_deadline=wish.on_deadline or OnDeadline.FAIL,
        )
        ports.services.keep_service(draining)
    _say(ports, "drain.admitted", node, {"words": capacity.words(node.name)})
    return draining


def _again(known: Service, wish: Wish, now: float, token: int) -> Service:
    """Return the service of a drain that is gone on with: its deadline stands unless another was named."""
    deadline = known.deadline
    if wish.deadline is not None or not deadline:
        deadline = now + (DEADLINE if wish.deadline is None else wish.deadline)
    policy = wish.on_deadline or known.on_deadline
    return replace(
        known, deadline=deadline, on_deadline=policy, reason=wish.reason or known.reason, token=token
    )


def observe_pool(node: Node, ports: DrainPorts) -> Capacity:
    """See every node of the pool at once; one that does not answer does not serve."""
    pool = {each.name: each for each in ports.pool_of(node)} or {node.name: node}
    sights = ports.executor.each(tuple(pool), lambda name: ports.half.look(pool[name]))
    serving: dict[str, bool] = {}
    for name, sight in sights.items():
        if isinstance(sight, Exception):
            if not isinstance(sight, MacfleetError):
                raise sight
            serving[name] = False
            continue
        own = sight.service is not None and sight.service.closed
        serving[name] = sight.healthy and not own and not ports.services.service(name).closed
    return Capacity(node.pool, serving, max(each.min_ready for each in pool.values()))


def _is_out(sight: Sight) -> bool:
    """Whether a node said to be drained really is; a restart takes the rule away, nothing else."""
    own = sight.service is not None and sight.service.state is ServiceState.DRAINED
    return own and sight.engine != "silent" and not any((sight.containers or {}).values())


def _wait(node: Node, service: Service, wish: Wish, ports: DrainPorts, lease: Lease) -> None:
    """Poll until nothing is in flight, or until the deadline lets the drain go on all the same."""
    progress, said = Progress(), -_SAY_EVERY
    while True:
        ports.leases.renew(lease, NODE_TTL)
        progress = progress.after(_poll(node, ports), ports.clock.monotonic())
        left = service.deadline - ports.clock.now()
        if progress.quiet:
            _say(ports, "drain.quiet", node, {"words": progress.words, "polls": progress.zeros})
            return
        if ports.clock.monotonic() - said >= _SAY_EVERY:
            said = ports.clock.monotonic()
            _say(ports, "drain.waiting", node, {"words": progress.words, "left": left})
        if wish.once and not progress.zeros:
            raise MacfleetError(_overdue(node, progress, "it was to be tried once"))
        if left <= 0 and service.on_deadline is OnDeadline.FAIL:
            raise MacfleetError(_overdue(node, progress, "the deadline came"))
        if left <= 0 and service.on_deadline is OnDeadline.CANCEL:
            _say(ports, "drain.cancelled", node, {"words": progress.words})
            return
        ports.clock.sleep(POLL)


def _poll(node: Node, ports: DrainPorts) -> InFlight:
    """Look once; a node that does not answer is not known to be quiet."""
    try:
        return ports.half.look(node).in_flight
    except NodeUnreachable:
        return InFlight(None)


def _stop(node: Node, ports: DrainPorts, lease: Lease) -> int:
    """Stop the project, prove by id that nothing of it runs, and return how much was cut."""
    ports.leases.renew(lease, STEP_TTL)
    at_stop, containers = ports.half.stop(node)
    left = sorted(identifier[:12] for identifier, runs in containers.items() if runs)
    if left:
        raise MacfleetError(
            Diagnostic(
                "E0874",
                f"{len(left)} containers still run after the stop: {', '.join(left)}",
                why="Something starts them again, or the engine did not carry the stop out.",
                mend=f"Look at it: macfleet exec -l {node.name} -- docker ps",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        )
    ports.leases.renew(lease, NODE_TTL)
    _say(ports, "drain.stopped", node, {"containers": len(containers)})
    return max(at_stop.count, 0 if at_stop.requests == 0 else len(at_stop.connections))


def _fail(node: Node, service: Service, ports: DrainPorts, lease: Lease, error: MacfleetError) -> None:
    """Leave the node cordoned and open with the reason; one that cannot be reached stays draining."""
    problem = error.diagnostics[0]
    if problem.code == "E0873" or service.state is not ServiceState.DRAINING:
        return
    back = service.moved(ServiceState.CORDONED, ports.clock.now(), lease.token, failure=problem.summary)
    try:
        ports.half.enter(node, back)
    except MacfleetError as second:
        ports.services.keep_service(replace(service, failure=problem.summary))
        raise MacfleetError(dict.fromkeys((*error.diagnostics, *second.diagnostics))) from error
    ports.services.keep_service(back)


def _overdue(node: Node, progress: Progress, what: str) -> Diagnostic:
    return Diagnostic(
        "E0872",
        f"not drained: {what} with {progress.words}",
        why="Nothing was cut. The node stays cordoned and takes requests again.",
        mend=f"Wait longer: macfleet drain {node.name} --deadline 2h\n"
        f"or cut what is left: macfleet drain {node.name} --on-deadline cancel\n"
        f"or leave it in service: macfleet uncordon {node.name}",
        node=node.name,
        exit_code=ExitCode.HELD,
    )


def _say(ports: DrainPorts, kind: str, node: Node, data: dict[str, Json]) -> None:
    ports.events.emit(Event(kind, node.name, data))
