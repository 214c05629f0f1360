"""One node's way out of service: admitted by the guard, waited for, stopped, proven.

Every step may be repeated: a controller that was killed is followed by another that goes on from the state
the store keeps. The pool's lease is held to admit a node and never while waiting for requests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from macfleet.model.diagnostic import DeadlineExceeded, Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.rollout.drain_admit import Wish, admit, announce
from macfleet.rollout.drain_guard import REFUSED_BY_GUARD
from macfleet.rollout.drain_lease import DEAF_TTL, NODE_TTL, STEP_TTL, held
from macfleet.rollout.drain_ports import DrainPorts, Lease, Sight
from macfleet.rollout.drain_state import POLL, InFlight, OnDeadline, Progress, Service, ServiceState

_SAY_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Drained:
    """How a node left.

    Attributes:
        seconds: from the command to the end; cut: requests and connections that were cut.
        in_flight: the most requests any poll found.
        already: it had left before.
    """

    service: Service
    seconds: float = 0.0
    cut: int = 0
    in_flight: int = 0
    already: bool = False


def drain(node: Node, wish: Wish, ports: DrainPorts) -> Drained:
    """Take a node out of service.

    Raises:
        MacfleetError: E0871 or E0880 the guard refuses, E0872 the deadline came (all exit 7, the last leaves
            the node cordoned), E0873 another controller has it (exit 6), E0874 its containers still run,
            E0877 a rollout is not to touch it (exit 7), or what the node's half raises.
    """
    with held(node, ports) as lease:
        return drain_held(node, wish, ports, lease)


def drain_held(node: Node, wish: Wish, ports: DrainPorts, lease: Lease) -> Drained:
    """Take a node out of service whose lease is held; raises what `drain` raises."""
    began = ports.clock.monotonic()
    admitted = admit(node, wish, ports, lease)
    service = admitted.service
    if service.state is ServiceState.DRAINED and _is_out(ports.half.look(node), wish):
        service = replace(service, deadline=0.0)
        known = admitted.known
        if (service.run, service.reason, service.failure) != (known.run, known.reason, known.failure):
            _keep(node, service, ports)
        return Drained(service, already=True)
    try:
        announce(node, admitted, ports)
        ports.half.enter(node, service)
        most = _wait(node, service, wish, ports, lease)
        cut = _stop(node, ports, lease) if wish.stop else 0
    except MacfleetError as error:
        _fail(node, service, ports, lease, error)
        raise
    done = replace(service.moved(ServiceState.DRAINED, ports.clock.now(), lease.token), deadline=0.0)
    _keep(node, done, ports)
    detail: dict[str, Json] = {"who": ports.who, "reason": done.reason, "run": wish.run, "cut": cut}
    ports.record(node.name, "service.closed", detail)
    return Drained(done, ports.clock.monotonic() - began, cut, most)


def _keep(node: Node, service: Service, ports: DrainPorts) -> None:
    """The node first: a store that says more than the node does would hide an open port."""
    ports.half.enter(node, service)
    ports.services.keep_service(service)


def _is_out(sight: Sight, wish: Wish) -> bool:
    """Whether a node said to be drained really is; a restart takes the rule away, nothing else."""
    own = sight.service is not None and sight.service.state is ServiceState.DRAINED
    if not wish.stop:
        return own and sight.closed
    return own and sight.engine != "silent" and not any((sight.containers or {}).values())


def _wait(node: Node, service: Service, wish: Wish, ports: DrainPorts, lease: Lease) -> int:
    """Poll until nothing is in flight, or until the deadline lets the drain go on all the same.

    Returns:
        The most requests any poll found.
    """
    progress, said, most = Progress(), -_SAY_EVERY, 0
    while True:
        ports.leases.renew(lease, NODE_TTL if progress.last.heard else DEAF_TTL)
        progress = progress.after(_poll(node, service, ports), ports.clock.monotonic())
        most = max(most, progress.last.count)
        left = service.deadline - ports.clock.now()
        if progress.quiet:
            _say(ports, "drain.quiet", node, {"words": progress.words, "polls": progress.zeros})
            return most
        if ports.clock.monotonic() - said >= _SAY_EVERY:
            said = ports.clock.monotonic()
            _say(ports, "drain.waiting", node, {"words": progress.words, "left": left})
        if wish.once and not progress.zeros:
            raise MacfleetError(_overdue(node, progress, "it was to be tried once"))
        # With nothing in flight the second poll is a second away: that is no reason to give up.
        if left <= 0 and service.on_deadline is OnDeadline.FAIL and not progress.zeros:
            raise MacfleetError(_overdue(node, progress, "the deadline came"))
        if left <= 0 and service.on_deadline is OnDeadline.CANCEL:
            _say(ports, "drain.cancelled", node, {"words": progress.words})
            return most
        ports.clock.sleep(POLL)


def _poll(node: Node, service: Service, ports: DrainPorts) -> InFlight:
    """Look once and close a port that a restart or somebody else opened.

    A node that does not answer, or not in time, is not known to be quiet.
    """
    try:
        sight = ports.half.look(node)
    except (NodeUnreachable, DeadlineExceeded):
        return InFlight(None, heard=False)
    if not sight.closed:
        ports.half.enter(node, service)
        _say(ports, "drain.reclosed", node, {"words": "its port was open again, and is closed"})
    return sight.in_flight


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
    """Leave the node cordoned and open with the reason; one that cannot be told stays draining."""
    problem = error.diagnostics[0]
    if problem.code in ("E0873", REFUSED_BY_GUARD) or service.state is not ServiceState.DRAINING:
        return
    back = service.moved(ServiceState.CORDONED, ports.clock.now(), lease.token, failure=problem.summary)
    try:
        ports.half.enter(node, back)
    except MacfleetError as second:
        ports.services.keep_service(replace(service, failure=problem.summary))
        _say(ports, "drain.failed", node, {"words": "stays draining: it could not be told to open its port"})
        raise MacfleetError(dict.fromkeys((*error.diagnostics, *second.diagnostics))) from error
    ports.services.keep_service(back)
    _say(ports, "drain.failed", node, {"words": "stays cordoned, its port open again"})
    detail: dict[str, Json] = {"who": ports.who, "reason": problem.summary, "run": service.run}
    ports.record(node.name, "drain.failed", detail)


def _overdue(node: Node, progress: Progress, what: str) -> Diagnostic:
    stays = "The node stays cordoned and takes requests again."
    if not progress.last.heard:
        stays = "The node is told to open its port again; while it does not answer it stays draining."
    return Diagnostic(
        "E0872",
        f"not drained: {what}: {progress.words}",
        why=f"Nothing was cut. {stays}",
        mend=f"Wait longer: macfleet drain {node.name} --deadline 2h\n"
        f"or cut what is left: macfleet drain {node.name} --on-deadline cancel\n"
        f"or leave it in service: macfleet uncordon {node.name}",
        node=node.name,
        exit_code=ExitCode.HELD,
    )


def _say(ports: DrainPorts, kind: str, node: Node, data: dict[str, Json]) -> None:
    ports.events.emit(Event(kind, node.name, data))
