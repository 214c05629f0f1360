"""What a run's journal tells of each node: done, failed, and in the air when it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.model.json import Json, JsonObject
from macfleet.rollout.witness import DONE, FAILED, SENT, WITHHELD

SETTLED = "node.settled"


@dataclass(frozen=True, slots=True)
class NodeStory:
    """One node in a run.

    Attributes:
        outcome: how it ended, empty when the run never said so.
        done, failed: addresses in the order they ended.
        flying: addresses that were sent and of whose end nothing is known, with the id of the detached job
            that works on them, empty for none.
    """

    node: str
    outcome: str = ""
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    flying: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Json]:
        """Return the story as JSON."""
        return {
            "node": self.node,
            "outcome": self.outcome or None,
            "done": list(self.done),
            "failed": list(self.failed),
            "in_the_air": [{"address": name, "job": job or None} for name, job in self.flying.items()],
        }


def stories(nodes: Sequence[str], entries: Iterable[tuple[str, str, JsonObject]]) -> tuple[NodeStory, ...]:
    """Reduce a journal to one story a node, in the run's order.

    Args:
        nodes: of the run.
        entries: node, kind and detail, in the order they were written.
    """
    found = {name: NodeStory(name) for name in nodes}
    for node, kind, detail in entries:
        if node in found:
            found[node] = _told(found[node], kind, detail)
    return tuple(found.values())


def _told(story: NodeStory, kind: str, detail: JsonObject) -> NodeStory:
    address = str(detail.get("address") or "")
    flying = dict(story.flying)
    outcome, done, failed = story.outcome, story.done, story.failed
    if kind == SENT:
        flying[address] = str(detail.get("job") or "")
    elif kind == WITHHELD:
        flying.pop(address, None)
    elif kind in (DONE, FAILED):
        flying.pop(address, None)
        done = (*(name for name in done if name != address), *([address] if kind == DONE else []))
        failed = (*(name for name in failed if name != address), *([address] if kind == FAILED else []))
    elif kind == SETTLED:
        outcome = str(detail.get("outcome") or "")
        # A node that ended well was probed again after its last step: nothing is left in the air.
        flying = {} if outcome == "ok" else flying
    return NodeStory(story.node, outcome, done, failed, flying)
