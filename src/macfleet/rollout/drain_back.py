"""A node's way back into service, and the two moves that stop nothing: cordon and uncordon."""

from __future__ import annotations

from dataclasses import replace

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.rollout.drain_lease import STEP_TTL, held
from macfleet.rollout.drain_ports import DrainPorts
from macfleet.rollout.drain_state import Service, ServiceState, no_such_move


def undrain(node: Node, ports: DrainPorts) -> Service:
    """Bring a drained node back: start, warm up, open, prove the routes; what is not proven is closed again.

    A node in service is left as it is.

    Raises:
        MacfleetError: E0870 a drain is running (exit 7), E0875 a route does not keep its promise (exit 7,
            the node stays drained), or what the node's half raises.
    """
    with held(node, ports) as lease:
        known = ports.services.service(node.name)
        if known.state is ServiceState.DRAINING:
            raise MacfleetError(no_such_move(known, ServiceState.ACTIVE))
        if known.state is ServiceState.ACTIVE and not _left_closed(node, ports):
            return known
        ports.leases.renew(lease, STEP_TTL)
        if known.closed:
            # A restart took the rule away: nobody is let in before the engine is warm.
            ports.half.enter(node, replace(known, token=lease.token))
        ports.half.start(node)
        ports.events.emit(Event("undrain.started", node.name))
        back = Service(node.name, since=ports.clock.now(), token=lease.token)
        ports.half.enter(node, back)
        problems = tuple(ports.prove(node))
        if problems:
            out = replace(known, state=ServiceState.DRAINED, token=lease.token)
            ports.half.enter(node, out)
            ports.services.keep_service(out)
            raise MacfleetError(_unproven(node, problem) for problem in problems)
        ports.services.keep_service(back)
    return back


def cordon(node: Node, reason: str, ports: DrainPorts) -> Service:
    """Mark a node as leaving; it goes on serving. One that is cordoned, draining or drained stays so."""
    with held(node, ports) as lease:
        known = ports.services.service(node.name)
        if known.state is not ServiceState.ACTIVE:
            return known
        moved = known.moved(ServiceState.CORDONED, ports.clock.now(), lease.token)
        return _keep(node, replace(moved, reason=reason, who=ports.who), ports)


def uncordon(node: Node, ports: DrainPorts, *, cancel: bool = False) -> Service:
    """Take a cordon back; with `cancel` take a running drain over from whoever runs it and give it up.

    Raises:
        MacfleetError: E0870 the node is draining and `cancel` is not given, or drained (exit 7).
    """
    with held(node, ports, force=cancel) as lease:
        known = ports.services.service(node.name)
        if known.state is ServiceState.ACTIVE:
            return known
        if known.closed and not (cancel and known.state is ServiceState.DRAINING):
            raise MacfleetError(no_such_move(known, ServiceState.ACTIVE))
        if known.closed:
            known = known.moved(ServiceState.CORDONED, ports.clock.now(), lease.token)
        return _keep(node, known.moved(ServiceState.ACTIVE, ports.clock.now(), lease.token), ports)


def _keep(node: Node, service: Service, ports: DrainPorts) -> Service:
    """The node first: a store that says more than the node does would hide an open or closed port."""
    ports.half.enter(node, service)
    ports.services.keep_service(service)
    return service


def _left_closed(node: Node, ports: DrainPorts) -> bool:
    """Whether the node itself says that it is out, whatever this store knows."""
    sight = ports.half.look(node)
    return sight.closed or (sight.service is not None and sight.service.closed)


def _unproven(node: Node, problem: str) -> Diagnostic:
    return Diagnostic(
        "E0875",
        f"the node stays drained: {problem}",
        why="It was started and opened, and did not keep what the contract promises; it is closed again.",
        mend=f"Look at it: macfleet exec -l {node.name} -- docker compose ls\n"
        f"then: macfleet rollout stage3 -l {node.name}",
        node=node.name,
        exit_code=ExitCode.HELD,
    )
