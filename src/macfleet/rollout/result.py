"""How a stage ended, node by node, and the one table from outcome to exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode, strongest
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.resource import Plan, State
from macfleet.model.stage import EvidenceKey, StageName, Verdict

if TYPE_CHECKING:
    from macfleet.model.gateway import Out


class NodeOutcome(StrEnum):
    """How a stage ended for one node."""

    CURRENT = "current"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    PENDING = "pending"
    HELD = "held"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    LOCKED = "locked"
    NOT_REACHED = "not reached"
    INTERRUPTED = "interrupted"


EXIT_CODES: Mapping[NodeOutcome, ExitCode] = {
    NodeOutcome.CURRENT: ExitCode.DONE,
    NodeOutcome.UNCHANGED: ExitCode.DONE,
    NodeOutcome.CHANGED: ExitCode.DONE,
    NodeOutcome.PENDING: ExitCode.PENDING,
    NodeOutcome.HELD: ExitCode.HELD,
    NodeOutcome.FAILED: ExitCode.NODE_FAILED,
    NodeOutcome.UNREACHABLE: ExitCode.UNREACHABLE,
    NodeOutcome.LOCKED: ExitCode.LOCKED,
    NodeOutcome.NOT_REACHED: ExitCode.NODE_FAILED,
    NodeOutcome.INTERRUPTED: ExitCode.INTERRUPTED,
}

# What counts towards `max_failures`; an unreachable node counts.
FAILURES = frozenset(
    {
        NodeOutcome.FAILED,
        NodeOutcome.UNREACHABLE,
        NodeOutcome.LOCKED,
        NodeOutcome.HELD,
        NodeOutcome.INTERRUPTED,
    }
)


@dataclass(frozen=True, slots=True)
class NodeResult:
    """One node's end of a stage.

    Attributes:
        plan: what was planned; None when the node could not be observed.
        changed: addresses changed, in order.
        verdicts: every gate that was judged.
        notes: what was done besides, in words, such as draining.
        key: what the evidence is about.
        facts: parsed facts by probe name.
        evidence: what was gathered after applying, by name.
        left: how the node left service for its work, None when it did not.
        out: whether the node stays out of service.
        differences: what would change in files' text, by address, where that was asked for.
    """

    node: str
    outcome: NodeOutcome
    plan: Plan | None = None
    changed: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    notes: tuple[str, ...] = ()
    key: EvidenceKey | None = None
    facts: Mapping[str, State | None] = field(default_factory=dict)
    evidence: Mapping[str, Json] = field(default_factory=dict)
    left: Out | None = None
    out: bool = False
    differences: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timed:
    """How long one change of one node took, in seconds, from its first step to its end."""

    node: str
    address: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StageResult:
    """A whole stage.

    Attributes:
        run: id of the recorded run, empty when nothing was recorded.
        seconds: wall time.
        slowest: the changes that took longest, the longest first.
        elsewhere: how the tasks that act on the controller ended; None when there are none.
        edges: how the tasks that act on the edge ended, on each edge.
        interrupted: whether somebody stopped it before its end.
        part: the options that asked for a part of the stage, empty for the whole; left_out: titles of
            the tasks left out, of all the `tasks` there are.
    """

    stage: StageName
    results: tuple[NodeResult, ...]
    run: str = ""
    folder: str = ""
    seconds: float = 0.0
    check: bool = False
    interrupted: bool = False
    elsewhere: NodeResult | None = None
    edges: tuple[NodeResult, ...] = ()
    slowest: tuple[Timed, ...] = ()
    part: str = ""
    left_out: tuple[str, ...] = ()
    tasks: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """The strongest code of all nodes."""
        stopped = (ExitCode.INTERRUPTED,) if self.interrupted else ()
        everybody = (*self.beside, *self.results)
        return strongest((*stopped, *(EXIT_CODES[result.outcome] for result in everybody)))

    @property
    def beside(self) -> tuple[NodeResult, ...]:
        """How the machines besides the nodes ended that tasks act on: the controller, then edges."""
        return self.edges if self.elsewhere is None else (self.elsewhere, *self.edges)


def failed_result(node: Node, error: Exception) -> NodeResult:
    """Return the result for a node that raised; anything that is no MacfleetError is raised again."""
    if not isinstance(error, MacfleetError):
        raise error
    if isinstance(error, NodeUnreachable) or error.exit_code is ExitCode.UNREACHABLE:
        outcome = NodeOutcome.UNREACHABLE
    elif error.exit_code is ExitCode.INTERRUPTED:
        outcome = NodeOutcome.INTERRUPTED
    elif error.exit_code is ExitCode.LOCKED:
        outcome = NodeOutcome.LOCKED
    else:
        outcome = NodeOutcome.HELD if error.exit_code is ExitCode.HELD else NodeOutcome.FAILED
    return NodeResult(node.name, outcome, diagnostics=error.diagnostics)
