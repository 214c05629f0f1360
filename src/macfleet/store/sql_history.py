"""What was done, over all runs: read for `macfleet history`, written by the journal."""

from __future__ import annotations

import json

from sqlalchemy import Engine, select

from macfleet.rollout.history import Deed
from macfleet.store.tables import JOURNAL, RUNS

TOLD = (
    "release.promoted",
    "release.returned",
    "service.closed",
    "service.opened",
    "drain.forced",
    "lock.broken",
    "runs.pruned",
)
"""Kinds of the journal's notes that say what a person did; the others are steps of a run."""


class SqlHistory:
    """Runs and notes over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def since(self, at: float) -> tuple[Deed, ...]:
        """Return what was done from a moment on, the oldest first."""
        return tuple(sorted((*self._runs(at), *self._notes(at)), key=lambda deed: deed.at))

    def _runs(self, at: float) -> list[Deed]:
        query = select(RUNS).where(RUNS.c.started >= at)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Deed(
                row.started,
                "run",
                row.command,
                row.id,
                tuple(json.loads(row.nodes)),
                json.loads(row.detail),
                row.outcome or "",
            )
            for row in rows
        ]

    def _notes(self, at: float) -> list[Deed]:
        query = select(JOURNAL).where(JOURNAL.c.kind.in_(TOLD), JOURNAL.c.at >= at).order_by(JOURNAL.c.seq)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        found = []
        for row in rows:
            detail = json.loads(row.detail)
            nodes = tuple(detail.get("nodes") or ()) if not row.node else (row.node,)
            found.append(Deed(row.at, row.kind, "", row.run, nodes, detail))
        return found
