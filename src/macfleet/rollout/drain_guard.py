"""The pool's guard: how many nodes serve, and whether one of them may leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node


@dataclass(frozen=True, slots=True)
class Capacity:
    """A pool as observed.

    Attributes:
        serving: for each node whether it was seen to answer and neither store nor node has it leaving.
        min_ready: how many must go on serving.
    """

    pool: str
    serving: Mapping[str, bool]
    min_ready: int

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


def refusal(node: Node, capacity: Capacity) -> Diagnostic:
    """Return the diagnostic of a drain the guard refuses (exit 7)."""
    others = [name for name, serves in sorted(capacity.serving.items()) if serves and name != node.name]
    missing = [name for name, serves in sorted(capacity.serving.items()) if not serves]
    serve = f"{', '.join(others)} would go on" if others else "Nobody else serves"
    out = f"; {', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not" if missing else ""
    return Diagnostic(
        "E0871",
        f"pool {capacity.pool} would keep {capacity.ready - 1} of the {capacity.min_ready} nodes it needs",
        why=f"{serve}{out}. The node was left as it is: min_ready is {capacity.min_ready}.",
        mend=f"Bring another node back first, or lower min_ready: macfleet status -l {capacity.pool}",
        node=node.name,
        exit_code=ExitCode.HELD,
    )
