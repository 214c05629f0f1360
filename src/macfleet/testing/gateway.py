"""An edge that only remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from macfleet.model.node import Node


@dataclass(slots=True)
class FakeGateway:
    """A `Gateway` whose `calls` say what was asked, such as ``drain mac-01``; `out` holds drained nodes."""

    calls: list[str] = field(default_factory=list)
    out: set[str] = field(default_factory=set)

    def drain(self, node: Node, *, deadline: float, reason: str) -> str:
        """Take the node out."""
        _ = (deadline, reason)
        self.calls.append(f"drain {node.name}")
        self.out.add(node.name)
        return "drained"

    def undrain(self, node: Node) -> str:
        """Put the node back."""
        self.calls.append(f"undrain {node.name}")
        self.out.discard(node.name)
        return "undrained"
