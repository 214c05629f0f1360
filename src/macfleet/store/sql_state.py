"""Journal and evidence in the state database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import JsonObject
from macfleet.model.stage import StageName, StageRecord
from macfleet.store.database import Database, Values, insertion, open_database
from macfleet.store.sql_history import SqlHistory
from macfleet.store.sql_locks import SqlLocks
from macfleet.store.sql_services import SqlLeases, SqlServices
from macfleet.store.stage_records import COLUMNS, NEWEST, record_of, row_of

SETTLED = "node.settled"
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
_BEGUN = insertion("runs", ("id", "command", "nodes", "detail", "started"))
_NOTED = insertion("journal", ("run", "node", "kind", "detail", "at"))
_RECORDED = insertion("evidence", COLUMNS)
_HEADS = (
    "SELECT id, command, nodes, detail, started, finished, outcome FROM runs "
    "WHERE id LIKE :like ESCAPE '\\' ORDER BY seq"
)
_ENTRIES = "SELECT run, node, kind, detail, at FROM journal WHERE run = :run ORDER BY seq"
_SETTLED = "SELECT node, detail FROM journal WHERE run = :run AND kind = :kind ORDER BY seq"
_LATEST = (
    "SELECT run, node, stage FROM evidence "
    "WHERE seq IN (SELECT max(seq) FROM evidence GROUP BY node, stage) ORDER BY seq"
)


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

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def begin(self, run_id: str, command: str, nodes: Sequence[str], detail: JsonObject) -> None:
        """Note that a run started over these nodes; a resumed run keeps its first entry."""
        row: Values = {
            "id": run_id,
            "command": command,
            "nodes": _dump(list(nodes)),
            "detail": _dump(detail),
            "started": self.clock(),
        }
        with self.database.transaction() as rows:
            if not rows.read("SELECT id FROM runs WHERE id = :id", {"id": run_id}):
                rows.change(_BEGUN, row)
            begun: JsonObject = {"command": command, "nodes": list(nodes)}
            rows.change(_NOTED, _noted(run_id, "", "run.begun", begun, self.clock()))

    def note(self, run_id: str, node: str, kind: str, detail: JsonObject) -> None:
        """Note one thing that happened to a node."""
        self.note_all(run_id, node, ((kind, detail),))

    def note_all(self, run_id: str, node: str, notes: Sequence[tuple[str, JsonObject]]) -> None:
        """Note kinds and details that became known together, all or none."""
        at = self.clock()
        if notes:
            self.database.add(_NOTED, [_noted(run_id, node, kind, detail, at) for kind, detail in notes])

    def settle(self, run_id: str, node: str, outcome: str) -> None:
        """Note how the run ended for a node: ``ok``, ``failed``, ``unreachable``, ``held``."""
        self.note(run_id, node, SETTLED, {"outcome": outcome})

    def end(self, run_id: str, outcome: str) -> None:
        """Note how the run ended."""
        values: Values = {"id": run_id, "finished": self.clock(), "outcome": outcome}
        with self.database.transaction() as rows:
            rows.change("UPDATE runs SET finished = :finished, outcome = :outcome WHERE id = :id", values)

    def unsettled(self, run_id: str) -> tuple[str, ...]:
        """Nodes of the run whose last settlement is not ``ok``, in the run's order.

        Raises:
            MacfleetError: E0956 the journal does not know the run.
        """
        nodes = self.database.read("SELECT nodes FROM runs WHERE id = :id", {"id": run_id})
        if not nodes:
            raise MacfleetError(_unknown(run_id))
        settled = self.database.read(_SETTLED, {"run": run_id, "kind": SETTLED})
        outcomes = {node: json.loads(detail)["outcome"] for node, detail in settled}
        return tuple(node for node in json.loads(nodes[0][0]) if outcomes.get(node) != "ok")

    def head(self, run_id: str) -> JournalHead:
        """Return a run by its id or the only beginning of one (raises MacfleetError E0956, E0958)."""
        like = run_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self.database.read(_HEADS, {"like": like})
        row = next((row for row in rows if row[0] == run_id), rows[0] if len(rows) == 1 else None)
        if row is None:
            if rows:
                raise MacfleetError(_several(run_id, [str(row[0]) for row in rows]))
            raise MacfleetError(_unknown(run_id))
        name, command, nodes, detail, started, finished, outcome = row
        return JournalHead(
            name, command, tuple(json.loads(nodes)), json.loads(detail), started, finished, outcome or ""
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
        rows = self.database.read("SELECT id FROM runs WHERE finished IS NULL ORDER BY seq DESC")
        return tuple(str(name) for (name,) in rows)

    def last(self) -> str:
        """Id of the newest run, empty when there is none."""
        rows = self.database.read("SELECT id FROM runs ORDER BY seq DESC LIMIT 1")
        return str(rows[0][0]) if rows else ""

    def entries(self, run_id: str) -> tuple[JournalEntry, ...]:
        """Every entry of a run in the order it was written."""
        return tuple(
            JournalEntry(run, node, kind, json.loads(detail), at)
            for run, node, kind, detail, at in self.database.read(_ENTRIES, {"run": run_id})
        )


class SqlEvidences:
    """Stage records; all are kept, the newest of a node and stage counts."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self, node: str, stage: StageName) -> StageRecord | None:
        """The newest record of the stage on the node."""
        rows = self.database.read(NEWEST, {"node": node, "stage": stage.value})
        return record_of(rows[0]) if rows else None

    def newest_evidence(self) -> tuple[tuple[str, str, str], ...]:
        """Run, node and stage of the newest record of every node and stage."""
        return tuple((str(run), str(node), str(stage)) for run, node, stage in self.database.read(_LATEST))

    def record(self, record: StageRecord) -> None:
        """Keep a record."""
        self.database.add(_RECORDED, (row_of(record),))


class SqlState(SqlJournal, SqlEvidences):
    """The state database: journal, evidence, states of nodes in service, leases, locks.

    Opening it makes file and tables when they are missing. `url` is an SQLAlchemy URL such as
    ``sqlite:////fleet/.macfleet/state.db``.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(open_database(url), clock)
        self.services = SqlServices(self.database)
        self.leases = SqlLeases(self.database, clock)
        self.locks = SqlLocks(self.database, clock)
        self.history = SqlHistory(self.database)

    def close(self) -> None:
        """Give up all connections."""
        self.database.close()


def _noted(run: str, node: str, kind: str, detail: JsonObject, at: float) -> Values:
    return {"run": run, "node": node, "kind": kind, "detail": _dump(detail), "at": at}


def _several(given: str, fitting: Sequence[str]) -> Diagnostic:
    newest = ", ".join(fitting[-4:])
    more = f"{newest} and {len(fitting) - 4} older" if len(fitting) > 4 else newest
    return Diagnostic(
        "E0958",
        f"{given} fits {len(fitting)} runs: {more}",
        mend="Type more of the id, or look: macfleet run list",
    )


def _unknown(run_id: str) -> Diagnostic:
    return Diagnostic("E0956", f"the journal knows no run {run_id}", mend="macfleet run list")


def _dump(value: JsonObject | list[str]) -> str:
    return _ENCODER.encode(value)
