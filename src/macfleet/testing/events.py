"""An `Events` sink that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from macfleet.model.event import Event


@dataclass(slots=True)
class RecordingEvents:
    """Keeps every event in `seen`; appending is safe from any thread."""

    seen: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Keep one event."""
        self.seen.append(event)

    def kinds(self, node: str) -> tuple[str, ...]:
        """Return the kinds of a node's events in order."""
        return tuple(event.kind for event in self.seen if event.node == node)
