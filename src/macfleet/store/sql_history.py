"""What was done, over all runs: read for `macfleet history`, written by the journal."""

from __future__ import annotations

import json

from macfleet.rollout.history import Deed
from macfleet.store.database import Database

TOLD = (
    "release.promoted",
    "release.returned",
    "service.closed",
    "service.opened",
    "drain.forced",
    "drain.failed",
    "service.cordoned",
    "lock.broken",
    "runs.pruned",
)
"""Kinds of the journal's notes that say what a person did; the others are steps of a run."""
_RUNS = "SELECT started, command, id, nodes, detail, outcome FROM runs WHERE started >= :at"
_NOTES = "SELECT at, kind, run, node, detail FROM journal WHERE kind IN :told AND at >= :at ORDER BY seq"


class SqlHistory:
    """Runs and notes of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, at: float) -> tuple[Deed, ...]:
        """Return what was done from a moment on, the oldest first."""
        return tuple(sorted((*self._runs(at), *self._notes(at)), key=lambda deed: deed.at))

    def _runs(self, at: float) -> list[Deed]:
        return [
            Deed(started, "run", command, name, tuple(json.loads(nodes)), json.loads(detail), outcome or "")
            for started, command, name, nodes, detail, outcome in self._database.read(_RUNS, {"at": at})
        ]

    def _notes(self, at: float) -> list[Deed]:
        found = []
        for when, kind, run, node, text in self._database.read(_NOTES, {"at": at, "told": TOLD}):
            detail = json.loads(text)
            nodes = (node,) if node else tuple(detail.get("nodes") or ())
            found.append(Deed(when, kind, "", run, nodes, detail))
        return found
