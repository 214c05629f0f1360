"""A node's way back into service, and the two moves that stop nothing: cordon and uncordon."""

from __future__ import annotations

from dataclasses import replace

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.rollout.drain_lease import STEP_TTL, held
from macfleet.rollout.drain_ports import DrainPorts, Lease
from macfleet.rollout.drain_state import Service, ServiceState, no_such_move


def undrain(node: Node, ports: DrainPorts) -> Service:
    """Bring a drained node back: start, warm up, prove the routes, open. What is not proven stays closed.

    A node in service is left as it is; one without containers is opened.

    Raises:
        MacfleetError: E0870 a drain is running (exit 7), E0875 a route does not keep its promise (exit 7,
            the node stays drained), or what the node's half raises.
    """
    with held(node, ports) as lease:
        known = ports.services.service(node.name)
        if known.state is ServiceState.DRAINING:
            raise MacfleetError(no_such_move(known, ServiceState.ACTIVE))
        if not known.closed and not _left_closed(node, ports):
            if known.state is ServiceState.ACTIVE:
                return known
            _prove(node, node, ports)
            return _open(node, Service(node.name, since=ports.clock.now(), token=lease.token), ports)
        back = Service(node.name, since=ports.clock.now())
        return bring_back(node, back, ports, lease)


def bring_back(node: Node, back: Service, ports: DrainPorts, lease: Lease) -> Service:
    """Prove a closed node whose lease is held and put it into `back`; raises as `undrain` does."""
    from macfleet.rollout.arms import behind  # noqa: PLC0415  (most nodes never left)

    known = ports.services.service(node.name)
    out = replace(known, state=ServiceState.DRAINED, deadline=0.0, token=lease.token)
    ports.leases.renew(lease, STEP_TTL)
    try:
        # A restart took the rule away: nobody is let in before the engine is warm and proven.
        ports.half.enter(node, out)
        _prove(node, behind(node, ports.half.entry(node)), ports)
    except MacfleetError as error:
        if error.diagnostics[0].code != "E0873":
            ports.services.keep_service(replace(out, failure=error.diagnostics[0].summary))
        raise
    return _open(node, replace(back, token=lease.token), ports)


def _prove(node: Node, reached: Node, ports: DrainPorts) -> None:
    """Start, warm up and ask the promised routes of a node where it is `reached`."""
    there = ports.half.start(node)
    if not there:
        return
    ports.events.emit(Event("undrain.started", node.name))
    problems = tuple(ports.prove(replace(reached, arms=there)))
    if problems:
        raise MacfleetError(_unproven(node, problem) for problem in problems)


def _open(node: Node, back: Service, ports: DrainPorts) -> Service:
    _keep(node, back, ports)
    ports.record(node.name, "service.opened", {"who": ports.who, "state": str(back.state)})
    return back


def cordon(node: Node, reason: str, ports: DrainPorts) -> Service:
    """Mark a node as leaving; it goes on serving. One that is cordoned, draining or drained stays so."""
    with held(node, ports) as lease:
        known = _newest(node, ports)
        if known.state is not ServiceState.ACTIVE:
            return known
        moved = known.moved(ServiceState.CORDONED, ports.clock.now(), lease.token)
        marked = _keep(node, replace(moved, reason=reason, who=ports.who), ports)
        ports.record(node.name, "service.cordoned", {"who": ports.who, "reason": reason})
        return marked


def uncordon(node: Node, ports: DrainPorts, *, cancel: bool = False) -> Service:
    """Take a cordon back; with `cancel` take a running drain over from whoever runs it and give it up.

    Raises:
        MacfleetError: E0870 the node is draining and `cancel` is not given, or drained (exit 7).
    """
    with held(node, ports, force=cancel) as lease:
        known = _newest(node, ports)
        if known.state is ServiceState.ACTIVE:
            return known
        if known.closed and not (cancel and known.state is ServiceState.DRAINING):
            raise MacfleetError(no_such_move(known, ServiceState.ACTIVE))
        if known.closed:
            known = known.moved(ServiceState.CORDONED, ports.clock.now(), lease.token)
        return _open(node, known.moved(ServiceState.ACTIVE, ports.clock.now(), lease.token), ports)


def _keep(node: Node, service: Service, ports: DrainPorts) -> Service:
    """The node first: a store that says more than the node does would hide an open or closed port."""
    ports.half.enter(node, service)
    ports.services.keep_service(service)
    return service


def _newest(node: Node, ports: DrainPorts) -> Service:
    """Return what the store knows, or what another controller's store wrote on the node after it."""
    known, own = ports.services.service(node.name), ports.half.look(node).service
    return own if own is not None and own.token > known.token else known


def _left_closed(node: Node, ports: DrainPorts) -> bool:
    """Whether the node itself says that it is out, whatever this store knows."""
    sight = ports.half.look(node)
    return sight.closed or (sight.service is not None and sight.service.closed)


def _unproven(node: Node, problem: str) -> Diagnostic:
    return Diagnostic(
        "E0875",
        f"the node stays drained: {problem}",
        why="It was started behind its closed port and did not keep what the contract promises.",
        mend=f"Look at it: macfleet exec -l {node.name} -- docker compose ls\n"
        f"then: macfleet rollout stage3 -l {node.name}",
        node=node.name,
        exit_code=ExitCode.HELD,
    )
