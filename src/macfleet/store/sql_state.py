"""Journal and evidence in the state database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func, insert, select, update

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import JsonObject
from macfleet.model.stage import StageName, StageRecord
from macfleet.store.sql_history import SqlHistory
from macfleet.store.sql_locks import SqlLocks
from macfleet.store.sql_services import SqlLeases, SqlServices
from macfleet.store.stage_records import COLUMNS, record_of, row_of
from macfleet.store.tables import EVIDENCE, JOURNAL, RUNS, open_state

SETTLED = "node.settled"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal; `at` in seconds since the epoch."""

    run: str
    node: str
    kind: str
    detail: JsonObject
    at: float


@dataclass(frozen=True, slots=True)
class JournalHead:
    """A run as its first entry tells it; times in seconds since the epoch.

    Attributes:
        command: such as ``rollout layout``.
        finished, outcome: None and empty while the run goes on, or when it was killed.
    """

    id: str
    command: str
    nodes: tuple[str, ...]
    detail: JsonObject
    started: float
    finished: float | None
    outcome: str


class SqlJournal:
    """What was done; every call is one transaction, safe from any thread."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.clock = clock

    def begin(self, run_id: str, command: str, nodes: Sequence[str], detail: JsonObject) -> None:
        """Note that a run started over these nodes; a resumed run keeps its first entry."""
        with self.engine.begin() as connection:
            if connection.scalar(select(RUNS.c.id).where(RUNS.c.id == run_id)) is None:
                row = {
                    "id": run_id,
                    "command": command,
                    "nodes": _dump(list(nodes)),
                    "detail": _dump(detail),
                    "started": self.clock(),
                }
                connection.execute(insert(RUNS).values(row))
        self.note(run_id, "", "run.begun", {"command": command, "nodes": list(nodes)})

    def note(self, run_id: str, node: str, kind: str, detail: JsonObject) -> None:
        """Note one thing that happened to a node."""
        self.note_all(run_id, node, ((kind, detail),))

    def note_all(self, run_id: str, node: str, notes: Sequence[tuple[str, JsonObject]]) -> None:
        """Note kinds and details that became known together, in one transaction."""
        at = self.clock()
        rows = [
            {"run": run_id, "node": node, "kind": kind, "detail": _dump(detail), "at": at}
            for kind, detail in notes
        ]
        if rows:
            with self.engine.begin() as connection:
                connection.execute(insert(JOURNAL), rows)

    def settle(self, run_id: str, node: str, outcome: str) -> None:
        """Note how the run ended for a node: ``ok``, ``failed``, ``unreachable``, ``held``."""
        self.note(run_id, node, SETTLED, {"outcome": outcome})

    def end(self, run_id: str, outcome: str) -> None:
        """Note how the run ended."""
        with self.engine.begin() as connection:
            values = {"finished": self.clock(), "outcome": outcome}
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(values))

    def unsettled(self, run_id: str) -> tuple[str, ...]:
        """Nodes of the run whose last settlement is not ``ok``, in the run's order.

        Raises:
            MacfleetError: E0956 the journal does not know the run.
        """
        with self.engine.connect() as connection:
            nodes = connection.scalar(select(RUNS.c.nodes).where(RUNS.c.id == run_id))
            if nodes is None:
                raise MacfleetError(_unknown(run_id))
            settled = select(JOURNAL.c.node, JOURNAL.c.detail).where(
                JOURNAL.c.run == run_id, JOURNAL.c.kind == SETTLED
            )
            outcomes = {
                node: json.loads(detail)["outcome"]
                for node, detail in connection.execute(settled.order_by(JOURNAL.c.seq))
            }
        return tuple(node for node in json.loads(nodes) if outcomes.get(node) != "ok")

    def head(self, run_id: str) -> JournalHead:
        """Return a run by its id or the only beginning of one (raises MacfleetError E0956, E0958)."""
        like = run_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = select(RUNS).where(RUNS.c.id.like(like, escape="\\")).order_by(RUNS.c.seq)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        row = next((row for row in rows if row.id == run_id), rows[0] if len(rows) == 1 else None)
        if row is None:
            if rows:
                raise MacfleetError(
                    Diagnostic("E0958", f"{run_id} fits {len(rows)} runs", mend="Type more of the id.")
                )
            raise MacfleetError(_unknown(run_id))
        return JournalHead(
            row.id,
            row.command,
            tuple(json.loads(row.nodes)),
            json.loads(row.detail),
            row.started,
            row.finished,
            row.outcome or "",
        )

    def origin(self, run_id: str) -> str:
        """Return the run at the beginning of a chain of resumed ones; one that resumed nothing is its own."""
        seen = [run_id]
        while True:
            earlier = self.head(seen[-1]).detail.get("resumes")
            if not isinstance(earlier, str) or not earlier or earlier in seen:
                return seen[-1]
            seen.append(earlier)

    def interrupted(self) -> tuple[str, ...]:
        """Ids of runs that never ended, the newest first: they go on right now, or were killed."""
        query = select(RUNS.c.id).where(RUNS.c.finished.is_(None)).order_by(RUNS.c.seq.desc())
        with self.engine.connect() as connection:
            return tuple(connection.scalars(query))

    def last(self) -> str:
        """Id of the newest run, empty when there is none."""
        with self.engine.connect() as connection:
            found = connection.scalar(select(RUNS.c.id).order_by(RUNS.c.seq.desc()).limit(1))
        return "" if found is None else str(found)

    def entries(self, run_id: str) -> tuple[JournalEntry, ...]:
        """Every entry of a run in the order it was written."""
        query = select(JOURNAL).where(JOURNAL.c.run == run_id).order_by(JOURNAL.c.seq)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return tuple(
            JournalEntry(row.run, row.node, row.kind, json.loads(row.detail), row.at) for row in rows
        )


class SqlEvidences:
    """Stage records; all are kept, the newest of a node and stage counts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def latest(self, node: str, stage: StageName) -> StageRecord | None:
        """The newest record of the stage on the node."""
        query = (
            select(*(EVIDENCE.c[name] for name in COLUMNS))
            .where(EVIDENCE.c.node == node, EVIDENCE.c.stage == stage.value)
            .order_by(EVIDENCE.c.seq.desc())
            .limit(1)
        )
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else record_of(row)

    def newest_evidence(self) -> tuple[tuple[str, str, str], ...]:
        """Run, node and stage of the newest record of every node and stage."""
        newest = select(func.max(EVIDENCE.c.seq)).group_by(EVIDENCE.c.node, EVIDENCE.c.stage)
        query = select(EVIDENCE.c.run, EVIDENCE.c.node, EVIDENCE.c.stage).where(EVIDENCE.c.seq.in_(newest))
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(EVIDENCE.c.seq)).all()
        return tuple((str(run), str(node), str(stage)) for run, node, stage in rows)

    def record(self, record: StageRecord) -> None:
        """Keep a record."""
        with self.engine.begin() as connection:
            connection.execute(insert(EVIDENCE).values(row_of(record)))


class SqlState(SqlJournal, SqlEvidences):
    """The state database over one engine: journal, evidence, states of nodes in service, leases, locks.

    Opening it makes file and tables when they are missing. `url` is an SQLAlchemy URL such as
    ``sqlite:////fleet/.macfleet/state.db``.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(open_state(url), clock)
        self.services = SqlServices(self.engine)
        self.leases = SqlLeases(self.engine, clock)
        self.locks = SqlLocks(self.engine, clock)
        self.history = SqlHistory(self.engine)

    def close(self) -> None:
        """Give up all connections."""
        self.engine.dispose()


def _unknown(run_id: str) -> Diagnostic:
    return Diagnostic("E0956", f"the journal knows no run {run_id}", mend="macfleet run list")


def _dump(value: JsonObject | list[str]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
