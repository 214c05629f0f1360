"""An edge that only remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.gateway import Absence, Out
from macfleet.model.node import Node
from macfleet.model.ports import Events


@dataclass(slots=True)
class FakeGateway:
    """A `Gateway` whose `calls` say what was asked, such as ``drain mac-01``.

    Attributes:
        out: why each node that is out of service is so; a test puts nodes here that somebody took out.
        refusing: errors `drain` raises, by node, oldest first; each is raised once.
        stuck: errors `undrain` raises, by node.
        entry: port at which a drained node is reached, 0 for its published one.
    """

    calls: list[str] = field(default_factory=list)
    out: dict[str, Absence] = field(default_factory=dict)
    refusing: dict[str, list[MacfleetError]] = field(default_factory=dict)
    stuck: dict[str, MacfleetError] = field(default_factory=dict)
    entry: int = 0

    def absence(self, node: Node) -> Absence | None:
        """Return why the node is out."""
        return self.out.get(node.name)

    def drain(self, node: Node, *, deadline: float, reason: str, run: str, events: Events) -> Out:
        """Take the node out."""
        _ = (deadline, events)
        if waiting := self.refusing.get(node.name):
            self.calls.append(f"refuse {node.name}")
            raise waiting.pop(0)
        self.calls.append(f"drain {node.name}")
        self.out[node.name] = Absence(f"drained by {run}", reason, resumable=True)
        return Out("drained", self.entry)

    def undrain(self, node: Node, *, events: Events) -> str:
        """Put the node back."""
        _ = events
        self.calls.append(f"undrain {node.name}")
        if node.name in self.stuck:
            raise self.stuck[node.name]
        self.out.pop(node.name, None)
        return "back in service"

    def leave_out(self, node: Node, *, why: str) -> str:
        """Leave the node out."""
        self.calls.append(f"leave {node.name}: {why}")
        return "stays out of service"
