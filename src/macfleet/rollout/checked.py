"""What a look at a node came to, before anything is done to it."""

from __future__ import annotations

from macfleet.model.node import Node
from macfleet.rollout.planning import NodePlan
from macfleet.rollout.result import NodeOutcome, NodeResult, failed_result


def checked(node: Node, planned: NodePlan | Exception) -> NodeResult:
    """Return how a node stands by its plan, or by what went wrong when it was planned."""
    if isinstance(planned, Exception):
        return failed_result(node, planned)
    if planned.held or planned.refusal:
        outcome = NodeOutcome.HELD
    elif planned.plan.pending:
        outcome = NodeOutcome.PENDING
    else:
        outcome = NodeOutcome.CURRENT if planned.current else NodeOutcome.UNCHANGED
    return NodeResult(
        node.name,
        outcome,
        planned.plan,
        verdicts=planned.verdicts,
        diagnostics=(planned.refusal,) if planned.refusal else (),
        key=planned.key,
        facts=planned.facts,
        differences=planned.differences,
    )


def is_idle(planned: NodePlan | Exception) -> bool:
    """A current node is neither changed nor measured; its re-probe is already done."""
    return isinstance(planned, NodePlan) and planned.current and not planned.held
