"""Moments of a resource being changed, as they are told while they happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from macfleet.model.resource import Change


class Moment(StrEnum):
    """What happened to a change.

    SENT: its steps are on their way to the node. BEGAN: the first runs. FOUND: its detached steps were there
    already and are followed. SAID: they printed something. NOTED: they succeeded and have something to say.
    DONE: every step succeeded. FAILED: one did not. WITHHELD: none began, the node was not as it was planned.
    """

    SENT = "sent"
    BEGAN = "began"
    FOUND = "found"
    SAID = "said"
    NOTED = "noted"
    DONE = "done"
    FAILED = "failed"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Happening:
    """One moment of one change.

    Attributes:
        text: what was printed or noted, with SAID and NOTED; the id of the detached job, with SENT and FOUND.
    """

    moment: Moment
    change: Change
    text: str = ""


Report = Callable[[Sequence[Happening]], None]
"""Told about moments that became known together; must not raise for a single one."""


def nobody(happenings: Sequence[Happening]) -> None:
    """Tell nobody."""
    _ = happenings
