"""Tasks that act on the controller for the nodes' sake: one plan for all of them, before any node."""

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
from macfleet.playbooks import TagChoice
from macfleet.rollout.desired import Desired
from macfleet.rollout.node_log import LoggedTransport
from macfleet.rollout.ports import Ports
from macfleet.rollout.result import FAILURES, NodeOutcome, NodeResult, failed_result

if TYPE_CHECKING:
    from macfleet.rollout.run import Options

CONTROLLER = Node("controller", Endpoint("localhost"))
"""Stands for the machine macfleet runs on wherever a node is asked for."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is delegated, and how it stands: planned, or carried out."""

    result: NodeResult
    resources: tuple[Resource, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether something is to be done."""
        return self.result.outcome is NodeOutcome.PENDING

    @property
    def failed(self) -> bool:
        """Whether no node may be begun."""
        return self.result.outcome in FAILURES


def plan_elsewhere(
    stage: StageName, nodes: Sequence[Node], desired: Desired, ports: Ports, options: Options
) -> Elsewhere | None:
    """Plan what the stage's delegated tasks want; None when there are none, and failures in the result.

    Raises:
        MacfleetError: E0350 (exit 2) two nodes want one resource differently, or what does not compile.
    """
    resources = delegated(stage, nodes, desired, options.tags)
    if not resources or ports.controller is None:
        return None
    try:
        seen = observe(CONTROLLER.name, resources, _transport(ports.controller, ports), nonce=ports.nonce)
        plan = make_plan(CONTROLLER.name, resources, seen)
        _refuse_other_plan(plan, options)
    except MacfleetError as error:
        return Elsewhere(failed_result(CONTROLLER, error))
    outcome = NodeOutcome.PENDING if plan.pending else NodeOutcome.UNCHANGED
    return Elsewhere(NodeResult(CONTROLLER.name, outcome, plan), resources)


def settle_elsewhere(found: Elsewhere, stage: StageName, ports: Ports, options: Options) -> Elsewhere:
    """Bring the plan about where something is pending; what fails on the way is in the result."""
    plan = found.result.plan
    if plan is None or not found.pending or ports.controller is None:
        return found
    # A check carries nothing out.
    from macfleet.engine import apply_plan  # noqa: PLC0415
    from macfleet.engine.lock import Holder  # noqa: PLC0415
    from macfleet.model.quantity import iso  # noqa: PLC0415
    from macfleet.rollout.witness import witness  # noqa: PLC0415

    holder = Holder(
        options.resume or options.run_id, options.who, iso(ports.clock.now()), command=f"rollout {stage}"
    )
    try:
        applied = apply_plan(
            plan,
            found.resources,
            _transport(ports.controller, ports),
            sources=ports.sources,
            holder=holder,
            nonce=ports.nonce,
            report=witness(CONTROLLER.name, options.run_id, ports, lambda: None),
            stop=ports.stop,
        )
        result = replace(found.result, outcome=NodeOutcome.CHANGED, changed=applied.changed)
    except MacfleetError as error:
        result = replace(failed_result(CONTROLLER, error), plan=plan)
    ports.events.emit(Event("node.settled", CONTROLLER.name, {"outcome": str(result.outcome)}))
    return replace(found, result=result)


def delegated(
    stage: StageName, nodes: Sequence[Node], desired: Desired, choice: TagChoice
) -> tuple[Resource, ...]:
    """Return what all nodes want on the controller, each address once.

    Raises:
        MacfleetError: E0350 for every address that two nodes want differently.
    """
    if not any(task.delegate_to for task, _ in desired.playbooks[stage].tagged):
        return ()
    first: dict[str, tuple[Node, Resource]] = {}
    problems: list[Diagnostic] = []
    for node in nodes:
        for resource in desired.compile(stage, node, choice).delegated.get(CONTROLLER.name, ()):
            by, known = first.setdefault(resource.address, (node, resource))
            if known != resource:
                problems.append(_disagree(resource.address, by, node))
    if problems:
        raise MacfleetError(problems)
    return tuple(resource for _, resource in first.values())


def _transport(controller: Transport, ports: Ports) -> Transport:
    return LoggedTransport(controller, CONTROLLER.name, ports.logs, ports.clock)


def _refuse_other_plan(plan: Plan, options: Options) -> None:
    if options.saved is None or not plan.pending:
        return
    from macfleet.engine.looked_at import why_other  # noqa: PLC0415  (only a saved plan can be another one)

    seen = options.saved.get(CONTROLLER.name)
    if seen is not None and seen.fits(plan):
        return
    raise MacfleetError(
        Diagnostic(
            "E0352",
            "the saved plan no longer fits the controller",
            why=why_other(seen, plan),
            mend="Nothing was changed. Look again: macfleet plan … --save FILE",
            node=CONTROLLER.name,
            exit_code=ExitCode.NODE_FAILED,
        )
    )


def _disagree(address: str, one: Node, other: Node) -> Diagnostic:
    return Diagnostic(
        "E0350",
        f"{one.name} and {other.name} want {address} on the controller differently",
        why="The controller is one machine: the last node would win.",
        mend="Put {{ inventory_hostname }} into its path, or take what differs out of it.",
        address=address,
    )
