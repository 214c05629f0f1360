"""A node out of service for the time it is worked on, and what becomes of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.node import Node
from macfleet.model.resource import Plan
from macfleet.model.stage import Outcome, StageName
from macfleet.playbooks import ParsedPlaybook
from macfleet.rollout.ports import Ports
from macfleet.rollout.result import NodeOutcome, NodeResult, failed_result
from macfleet.rollout.run_lock import LOST

if TYPE_CHECKING:
    from macfleet.model.gateway import Absence, Out
    from macfleet.rollout.run import Options

_STAYS_OUT = frozenset(
    {NodeOutcome.HELD, NodeOutcome.FAILED, NodeOutcome.UNREACHABLE, NodeOutcome.INTERRUPTED}
)


@dataclass(frozen=True, slots=True)
class Left:
    """A node as it is worked on.

    Attributes:
        node: reached where it lets in whoever took it out.
        out: how this rollout took it out of service, None when it did not.
        sound: whether what it served before is still what it serves unless something is changed.
        notes: what was done, in words.
    """

    node: Node
    out: Out | None = None
    sound: bool = False
    notes: tuple[str, ...] = ()


def leaves(playbook: ParsedPlaybook, plan: Plan, absence: Absence | None) -> bool:
    """Whether a node leaves service: to be measured always, to be changed where the playbook drains.

    One that a rollout of such a playbook left out is worked on out of service too, so that it comes back. A
    change that is blocked is refused before anything is done.
    """
    if playbook.measure is not None:
        return True
    if not playbook.strategy.drain or any(change.blocked for change in plan.pending):
        return False
    return bool(plan.pending) or (absence is not None and absence.resumable)


def refusal(playbook: ParsedPlaybook, node: Node, plan: Plan, ports: Ports) -> Diagnostic | None:
    """Return why a node that would leave service is not worked on: a person took it out (E0877, exit 7)."""
    if not leaves(playbook, plan, None):
        return None
    absence = ports.gateway.absence(node)
    if absence is None or absence.resumable:
        return None
    from macfleet.rollout.drain_guard import out_already  # noqa: PLC0415 (most nodes need not leave)

    return out_already(node, absence.words)


def leave(
    stage: StageName, node: Node, plan: Plan, playbook: ParsedPlaybook, ports: Ports, options: Options
) -> Left:
    """Take a node out of service where its work asks for it (raises MacfleetError as `Gateway.drain`)."""
    absence = ports.gateway.absence(node)
    if not leaves(playbook, plan, absence):
        return Left(node, notes=_told(absence))
    # Most nodes need not leave service.
    from macfleet.rollout.arms import behind  # noqa: PLC0415
    from macfleet.rollout.drain_admit import DEADLINE  # noqa: PLC0415

    reason = f"{_of(stage)}: {options.why}" if options.why else _of(stage)
    out = ports.gateway.drain(node, deadline=DEADLINE, reason=reason, run=options.run_id, events=ports.events)
    sound = playbook.measure is not None and not (absence and absence.failure)
    return Left(behind(node, out.entry), out=out, sound=sound, notes=(out.words,))


def come_back(result: NodeResult, node: Node, left: Left, ports: Ports) -> NodeResult:
    """Put a node back whose work ended well; any other stays out and says why.

    One whose lock somebody else holds was not touched, and comes back as it was; one that was taken over on
    the way is left to its new holder. One that was only measured comes back too: figures that do not count
    say nothing against what it serves, which is proven on its way back.
    """
    result = replace(result, notes=(*left.notes, *result.notes), left=left.out)
    if left.out is None:
        return result
    if any(problem.code in LOST for problem in result.diagnostics):
        return replace(result, notes=(*result.notes, "left to the run that has it now"), out=True)
    if result.outcome in _STAYS_OUT and not (left.sound and _only_measured(result)):
        words = ports.gateway.leave_out(node, why=_why(result))
        return replace(result, notes=(*result.notes, words), out=True)
    return _undrained(result, node, ports)


def left_behind(
    stage: StageName, result: NodeResult, node: Node, playbook: ParsedPlaybook, ports: Ports
) -> NodeResult:
    """Put a node back that has nothing left to do and that a rollout of this stage did not put back.

    Its evidence is current, so nothing held it: the rollout was cut off between the proof and the way back.
    """
    takes_out = playbook.measure is not None or playbook.strategy.drain
    absence = ports.gateway.absence(node) if takes_out else None
    if absence is None:
        return result
    if not absence.resumable or absence.reason.partition(":")[0] != _of(stage):
        return replace(result, notes=(*result.notes, *_told(absence)))
    return _undrained(result, node, ports)


def _only_measured(result: NodeResult) -> bool:
    """Whether nothing was changed on a node whose measurement was held or stopped."""
    if result.outcome is NodeOutcome.INTERRUPTED:
        return result.plan is not None and not result.plan.pending
    return result.outcome is NodeOutcome.HELD and not result.changed


def _undrained(result: NodeResult, node: Node, ports: Ports) -> NodeResult:
    try:
        words = ports.gateway.undrain(node, events=ports.events)
    except MacfleetError as error:
        failed = failed_result(node, error)
        problems = (*result.diagnostics, *failed.diagnostics)
        return replace(result, outcome=failed.outcome, diagnostics=problems, out=True)
    return replace(result, notes=(*result.notes, words))


def _of(stage: StageName) -> str:
    return f"rollout {stage}"


def _told(absence: Absence | None) -> tuple[str, ...]:
    return (f"out of service all along: {absence.words}",) if absence else ()


def _why(result: NodeResult) -> str:
    """Return the first thing that went wrong, for who finds the node out of service."""
    bad = [v for v in result.verdicts if v.outcome in (Outcome.HOLD, Outcome.FAIL)]
    if bad:
        return f"{bad[0].gate} held: {'; '.join(bad[0].reasons[:1])}"
    return next((problem.summary for problem in result.diagnostics), str(result.outcome))
