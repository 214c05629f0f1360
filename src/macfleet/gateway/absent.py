"""A pool without an edge."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.rollout.drain_ports import Services
from macfleet.rollout.drain_state import Service


@dataclass(frozen=True, slots=True)
class NoEdge:
    """A `Gateway` for pools that have none: says so and changes nothing.

    With `services` a node that a person took out of service is not worked on: its containers would start.
    """

    services: Services | None = None

    def drain(self, node: Node, *, deadline: float, reason: str) -> str:
        """Return that the node was not drained (raises MacfleetError E0877, exit 7, for one that is out)."""
        _ = (deadline, reason)
        known = self.services.service(node.name) if self.services else Service(node.name)
        if known.closed:
            raise MacfleetError(out_already(node, known))
        return "no edge: not drained"

    def undrain(self, node: Node) -> str:
        """Return that there was nothing to take back."""
        _ = node
        return "no edge: nothing to undrain"


def out_already(node: Node, known: Service) -> Diagnostic:
    """Return the diagnostic of work on a node that somebody took out of service (exit 7)."""
    return Diagnostic(
        "E0877",
        f"the node is {known.state}",
        why=f"{known.who}: {known.reason}" if known.reason else f"{known.who} took it out of service.",
        mend=f"Bring it back first: macfleet undrain {node.name}\nor leave it out: -l 'all:!{node.name}'",
        node=node.name,
        exit_code=ExitCode.HELD,
    )
