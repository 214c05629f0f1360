"""In and out of service: the port that decides it, and what it says of a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from macfleet.model.node import Node
    from macfleet.model.ports import Events


@dataclass(frozen=True, slots=True)
class Out:
    """How a node left service, for who took it out.

    Attributes:
        words: how it left, for people.
        entry: port of the node's loopback that leads to its engine while the published one is closed to
            everybody; 0 where the published port itself is still to be used.
        seconds: how long it took; in_flight: the most requests that were waited for.
    """

    words: str
    entry: int = 0
    seconds: float = 0.0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Absence:
    """Why a node is out of service.

    Attributes:
        words: since when, by whom and why, for people.
        reason: as it was given.
        resumable: whether a rollout may go on with it: a rollout left it out, or it was to come back and did
            not; otherwise a person wants it left alone.
        failure: why it did not come back, empty where nothing went wrong yet.
    """

    words: str
    reason: str = ""
    resumable: bool = False
    failure: str = ""


class Gateway(Protocol):
    """What decides whether requests reach a node: the edge in front of a pool, or the node itself."""

    def absence(self, node: Node) -> Absence | None:
        """Return why the node is out of service; None while it is in service."""

    def drain(self, node: Node, *, deadline: float, reason: str, run: str, events: Events) -> Out:
        """Take the node out of service for a run within `deadline` seconds, and hold it until it is let go.

        Raises:
            MacfleetError: the pool's guard, the deadline, or somebody else's claim to the node refuses.
        """

    def undrain(self, node: Node, *, events: Events) -> str:
        """Prove the node, put it back and let it go; return in words what was done (raises MacfleetError)."""

    def leave_out(self, node: Node, *, why: str) -> str:
        """Let the node go as it is, out of service; return in words how it comes back."""
