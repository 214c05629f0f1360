"""What somebody did, as the journal was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from macfleet.model.json import Json


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing somebody did; times in seconds since the epoch.

    Attributes:
        kind: of the journal, ``run`` for a run.
        what: command of a run; empty otherwise.
        run: id of the run, or the journal's name for what belongs to none.
        nodes: those it was done to.
        detail: as it was noted, with ``who`` and mostly ``why`` or ``reason``.
        outcome: how a run ended; empty while it goes on and for everything else.
    """

    at: float
    kind: str
    what: str
    run: str
    nodes: tuple[str, ...]
    detail: Mapping[str, Json]
    outcome: str = ""
