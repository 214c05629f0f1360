"""The pool's guard: how many nodes serve, and whether one of them may leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node

REFUSED_BY_GUARD = "E0871"
REFUSED_AWAY = "E0877"


@dataclass(frozen=True, slots=True)
class Capacity:
    """A pool as observed.

    Attributes:
        serving: for each node whether it was seen to answer and neither store nor node has it leaving.
        min_ready: how many must go on serving.
        out: nodes that are draining or drained.
    """

    pool: str
    serving: Mapping[str, bool]
    min_ready: int
    out: frozenset[str] = frozenset()

    @property
    def ready(self) -> int:
        """How many nodes serve."""
        return sum(self.serving.values())

    def allows(self, node: str) -> bool:
        """Whether the node may leave; one that does not serve takes nothing away."""
        return not self.pool or not self.serving.get(node, False) or self.ready - 1 >= self.min_ready

    def words(self, node: str) -> str:
        """What the pool keeps when the node leaves, for people."""
        if not self.pool:
            return "in no pool"
        kept = self.ready - int(self.serving.get(node, False))
        if not self.serving.get(node, False):
            return f"not serving, leaves for free · pool {self.pool} keeps {kept}"
        return f"pool {self.pool} keeps {kept} of {len(self.serving)} (min_ready {self.min_ready})"


def refusal(node: Node, capacity: Capacity, budget: int | None = None) -> Diagnostic | None:
    """Return why the guard refuses a drain, None where it does not.

    `budget` is how many nodes of the pool may be out at once; None leaves that to `min_ready` alone.
    """
    if not capacity.allows(node.name):
        return _too_few(node, capacity)
    out = sorted(capacity.out - {node.name})
    if budget is not None and capacity.pool and len(out) >= budget:
        return _over_budget(node, capacity, out, budget)
    return None


def out_already(node: Node, words: str) -> Diagnostic:
    """Return the diagnostic of a rollout's work on a node that somebody else took out of service (exit 7)."""
    return Diagnostic(
        REFUSED_AWAY,
        "the node is out of service, and no rollout took it out",
        why=f"{words[:1].upper()}{words[1:]}. Its containers would start again.",
        mend=f"Bring it back first: macfleet undrain {node.name}\nor leave it out: -l 'all:!{node.name}'",
        node=node.name,
        exit_code=ExitCode.HELD,
    )


def _too_few(node: Node, capacity: Capacity) -> Diagnostic:
    others = [name for name, serves in sorted(capacity.serving.items()) if serves and name != node.name]
    missing = [name for name, serves in sorted(capacity.serving.items()) if not serves]
    serve = f"{', '.join(others)} would go on" if others else "Nobody else serves"
    out = f"; {', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not" if missing else ""
    return Diagnostic(
        REFUSED_BY_GUARD,
        f"pool {capacity.pool} would keep {capacity.ready - 1} of the {capacity.min_ready} nodes it needs",
        why=f"{serve}{out}. The node was left as it is: min_ready is {capacity.min_ready}.",
        mend=f"Bring another node back first, or lower min_ready: macfleet status -l {capacity.pool}\n"
        f'or take it out all the same: macfleet drain {node.name} --force --reason "…"',
        node=node.name,
        exit_code=ExitCode.HELD,
    )


def _over_budget(node: Node, capacity: Capacity, out: Sequence[str], budget: int) -> Diagnostic:
    count = f"{len(out)} node{'' if len(out) == 1 else 's'}"
    return Diagnostic(
        "E0880",
        f"{count} of pool {capacity.pool} {'is' if len(out) == 1 else 'are'} out, and the budget is {budget}",
        why=f"Out of service: {', '.join(out)}. The node was left as it is.",
        mend=f"Bring one back first: macfleet undrain {out[0]}\nor raise --budget",
        node=node.name,
        exit_code=ExitCode.HELD,
    )
