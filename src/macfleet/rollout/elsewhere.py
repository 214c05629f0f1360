"""Tasks that act on the controller or the edge for the nodes' sake: one plan for all, before any node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from macfleet.engine import make_plan, observe
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Endpoint, Node
from macfleet.model.ports import Transport
from macfleet.model.resource import Plan, Resource
from macfleet.model.stage import StageName
from macfleet.playbooks import ParsedPlaybook, TagChoice
from macfleet.rollout.desired import Desired
from macfleet.rollout.node_log import LoggedTransport
from macfleet.rollout.ports import Ports
from macfleet.rollout.result import FAILURES, NodeOutcome, NodeResult, failed_result
from macfleet.rollout.run_lock import NO_FENCE

if TYPE_CHECKING:
    from macfleet.rollout.run import Options

CONTROLLER = Node("controller", Endpoint("localhost"))
"""Stands for the machine macfleet runs on wherever a node is asked for."""
EDGE = "edge"
"""What `delegate_to` calls the nodes with ``role: edge``, each of which gets what is delegated."""
_OF_A_PLATFORM = frozenset({"docker_image", "compose_project"})
"""Kinds whose images are those of the node's platform."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine that tasks are delegated to, and how it stands: planned, or carried out."""

    node: Node
    result: NodeResult
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Every machine that tasks of the stage are delegated to: the controller, then edges."""

    machines: tuple[Machine, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether something is to be done."""
        return any(each.result.outcome is NodeOutcome.PENDING for each in self.machines)

    @property
    def failed(self) -> bool:
        """Whether no node may be begun."""
        return any(each.result.outcome in FAILURES for each in self.machines)

    @property
    def controller(self) -> NodeResult | None:
        """How the controller stands; None when nothing is delegated to it."""
        return next((each.result for each in self.machines if each.node is CONTROLLER), None)

    @property
    def edges(self) -> tuple[NodeResult, ...]:
        """How the edges stand, in inventory order."""
        return tuple(each.result for each in self.machines if each.node is not CONTROLLER)


def plan_elsewhere(
    stage: StageName, nodes: Sequence[Node], desired: Desired, ports: Ports, options: Options
) -> Elsewhere:
    """Plan what the stage's delegated tasks want; what fails on the way is in the results.

    Raises:
        MacfleetError: E0327 (exit 2) there is no edge, E0350 two nodes want one resource differently, or
            what does not compile.
    """
    wanted = delegated(stage, nodes, desired, options.tags)
    here = (CONTROLLER,) if ports.controller is not None else ()
    machines = [(machine, wanted.get(CONTROLLER.name, ())) for machine in here]
    machines += [(machine, wanted.get(EDGE, ())) for machine in desired.edges]
    return Elsewhere(tuple(_planned(at, found, ports, options) for at, found in machines if found))


def settle_elsewhere(found: Elsewhere, stage: StageName, ports: Ports, options: Options) -> Elsewhere:
    """Bring the plans about where something is pending, up to the first failure, which is in the result."""
    settled = Elsewhere()
    for machine in found.machines:
        done = machine
        if machine.result.outcome is NodeOutcome.PENDING:
            unreached = replace(machine.result, outcome=NodeOutcome.NOT_REACHED)
            stopped = settled.failed or found.failed
            done = replace(machine, result=unreached) if stopped else _settled(machine, stage, ports, options)
        settled = Elsewhere((*settled.machines, done))
    return settled


def delegated(
    stage: StageName, nodes: Sequence[Node], desired: Desired, choice: TagChoice
) -> dict[str, tuple[Resource, ...]]:
    """Return what all nodes want of the controller and of edges, each address once.

    Raises:
        MacfleetError: E0327 a task is delegated to an edge and the inventory has none; E0350 for every
            address that two nodes want differently; E0353 (exit 7) an image is not of an edge's platform.
    """
    playbook = desired.playbooks[stage]
    targets = {task.delegate_to for task, _ in playbook.tagged if task.delegate_to}
    problems: list[Diagnostic] = []
    if EDGE in targets and not desired.edges:
        problems += _no_edge(playbook)
    first: dict[tuple[str, str], tuple[Node, Resource]] = {}
    for node in nodes if targets else ():
        for target, resources in desired.compile(stage, node, choice).delegated.items():
            for resource in resources:
                by, known = first.setdefault((target, resource.address), (node, resource))
                if known != resource:
                    problems.append(_disagree(resource.address, target, by, node))
                if target == EDGE and resource.kind in _OF_A_PLATFORM:
                    problems += [
                        _foreign(resource, node, edge)
                        for edge in desired.edges
                        if edge.platform != node.platform
                    ]
    if problems:
        raise MacfleetError(problems)
    return {
        target: tuple(resource for (at, _), (_, resource) in first.items() if at == target)
        for target in sorted(targets)
    }


def edges_of(stage: StageName, desired: Desired) -> tuple[str, ...]:
    """Return the names of the edges that tasks of the stage act on."""
    wanted = any(task.delegate_to == EDGE for task, _ in desired.playbooks[stage].tagged)
    return tuple(node.name for node in desired.edges) if wanted else ()


def saved_name(machine: str) -> str:
    """Return a machine's name in a saved plan, where an edge may stand as a node of the stage, too."""
    return machine if machine == CONTROLLER.name else f"{EDGE} {machine}"


def is_node(saved: str) -> bool:
    """Whether a name in a saved plan is a node's, and none of `saved_name`."""
    return saved != CONTROLLER.name and not saved.startswith(f"{EDGE} ")


def _planned(machine: Node, resources: tuple[Resource, ...], ports: Ports, options: Options) -> Machine:
    try:
        transport = _transport(machine, ports)
        seen = observe(machine.name, resources, transport, nonce=ports.nonce)
        plan = make_plan(machine.name, resources, seen)
        _refuse_other_plan(machine, plan, options)
    except MacfleetError as error:
        return Machine(machine, failed_result(machine, error))
    outcome = NodeOutcome.PENDING if plan.pending else NodeOutcome.UNCHANGED
    return Machine(machine, NodeResult(machine.name, outcome, plan), resources)


def _settled(machine: Machine, stage: StageName, ports: Ports, options: Options) -> Machine:
    plan, node = machine.result.plan, machine.node
    if plan is None:
        return machine
    # A check carries nothing out.
    from macfleet.engine import Redial, apply_plan  # noqa: PLC0415
    from macfleet.engine.lock import Holder  # noqa: PLC0415
    from macfleet.model.quantity import iso  # noqa: PLC0415
    from macfleet.rollout.witness import witness  # noqa: PLC0415

    here = node is CONTROLLER
    fence = NO_FENCE if here else options.fence
    run, since = options.resume or options.run_id, iso(ports.clock.now())

    def confirm() -> None:
        if not here:
            ports.locks.confirm(options.fence, node.name)

    try:
        applied = apply_plan(
            plan,
            machine.resources,
            _transport(node, ports),
            sources=ports.sources,
            holder=Holder(run, options.who, since, fence.token, fence.store, f"rollout {stage}"),
            nonce=ports.nonce,
            report=witness(node.name, options.run_id, ports, confirm),
            redial=None if here else Redial(lambda: ports.transports.to(node), ports.clock.sleep),
            stop=ports.stop,
        )
        result = replace(machine.result, outcome=NodeOutcome.CHANGED, changed=applied.changed)
    except MacfleetError as error:
        result = replace(failed_result(node, error), plan=plan)
    ports.events.emit(Event("node.settled", node.name, {"outcome": str(result.outcome)}))
    return replace(machine, result=result)


def _transport(machine: Node, ports: Ports) -> Transport:
    if machine is not CONTROLLER or ports.controller is None:
        return ports.transports.to(machine)
    return LoggedTransport(ports.controller, machine.name, ports.logs, ports.clock)


def _refuse_other_plan(machine: Node, plan: Plan, options: Options) -> None:
    if options.saved is None or not plan.pending:
        return
    from macfleet.engine.looked_at import why_other  # noqa: PLC0415  (only a saved plan can be another one)

    seen = options.saved.get(saved_name(machine.name))
    if seen is not None and seen.fits(plan):
        return
    raise MacfleetError(
        Diagnostic(
            "E0352",
            f"the saved plan no longer fits the {'controller' if machine is CONTROLLER else EDGE}",
            why=why_other(seen, plan),
            mend="Nothing was changed. Look again: macfleet plan … --save FILE",
            node=machine.name,
            exit_code=ExitCode.NODE_FAILED,
        )
    )


def _no_edge(playbook: ParsedPlaybook) -> list[Diagnostic]:
    why = "A task that is delegated to the edge acts on every node with role: edge."
    mend = "Give the node that is the edge role: edge in the inventory, or write delegate_to: controller."
    return [
        task.document.diagnose("E0327", "the inventory has no edge", "delegate_to", why=why, mend=mend)
        for task, _ in playbook.tagged
        if task.delegate_to == EDGE
    ]


def _foreign(resource: Resource, node: Node, edge: Node) -> Diagnostic:
    return Diagnostic(
        "E0353",
        f"{resource.address} has images for {node.platform}, the edge {edge.name} runs {edge.platform}",
        why="A foreign image would run under silent emulation.",
        mend="Leave it to a stage of the edge's own.",
        node=node.name,
        address=resource.address,
        exit_code=ExitCode.HELD,
    )


def _disagree(address: str, target: str, one: Node, other: Node) -> Diagnostic:
    return Diagnostic(
        "E0350",
        f"{one.name} and {other.name} want {address} on the {target} differently",
        why="It is one thing there: the last node would win.",
        mend="Put {{ inventory_hostname }} into its path, or take what differs out of it.",
        address=address,
    )
