"""A pool without an edge."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.node import Node


@dataclass(frozen=True, slots=True)
class NoEdge:
    """A `Gateway` for pools that have none: says so and changes nothing."""

    def drain(self, node: Node, *, deadline: float, reason: str) -> str:
        """Return that the node was not drained."""
        _ = (node, deadline, reason)
        return "no edge: not drained"

    def undrain(self, node: Node) -> str:
        """Return that there was nothing to take back."""
        _ = node
        return "no edge: nothing to undrain"
