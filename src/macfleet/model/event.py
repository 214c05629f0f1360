"""What happens during a command, as values the views render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.model.json import Json


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: dotted name such as ``node.planned``, ``change.applied``, ``gate.judged``.
        node: node concerned, empty for the whole command.
        data: details, JSON values only.
    """

    kind: str
    node: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)
