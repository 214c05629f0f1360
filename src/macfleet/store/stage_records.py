"""Stage records as rows, and the newest of them read without anything but the standard library."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from macfleet.model.json import JsonObject
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord, Verdict

COLUMNS = ("node", "stage", "key", "outcome", "run", "finished", "verdicts", "evidence")
"""What `row_of` writes and `record_of` reads, in this order."""
NEWEST = (
    f"SELECT {', '.join(COLUMNS)} FROM evidence WHERE node = :node AND stage = :stage "  # noqa: S608  (our own names)
    "ORDER BY seq DESC LIMIT 1"
)


class RecordsInFile:
    """The newest stage records of an SQLite file, which is only read; threads may share it.

    SQLAlchemy takes a fifth of a second of start; a command that only looks asks nothing else of the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def newest(self, node: str, stage: StageName) -> StageRecord | None:
        """Return the newest record of a stage on a node.

        Raises:
            sqlite3.Error: there is no such file or table, or it cannot be read.
        """
        with self._lock:
            if self._connection is None:
                address = f"{self._path.resolve().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(address, uri=True, timeout=30, check_same_thread=False)
            row = self._connection.execute(NEWEST, {"node": node, "stage": stage.value}).fetchone()
        return None if row is None else record_of(row)

    def close(self) -> None:
        """Close the file, which the next question opens again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None


def record_of(row: Sequence[object]) -> StageRecord:
    """Return the record of a row."""
    node, stage, key, outcome, run, finished, verdicts, evidence = row
    return StageRecord(
        node=str(node),
        stage=StageName(str(stage)),
        key=EvidenceKey(json.loads(str(key))),
        outcome=Outcome(str(outcome)),
        run=str(run),
        finished=float(str(finished)),
        verdicts=tuple(_verdict(each) for each in json.loads(str(verdicts))),
        evidence=json.loads(str(evidence)),
    )


def row_of(record: StageRecord) -> dict[str, str | float]:
    """Return the row of a record by column."""
    verdicts = [
        {
            "gate": each.gate,
            "node": each.node,
            "outcome": each.outcome.value,
            "reasons": list(each.reasons),
            "mend": each.mend,
            "evidence": list(each.evidence),
        }
        for each in record.verdicts
    ]
    return {
        "node": record.node,
        "stage": record.stage.value,
        "key": _dump(dict(record.key.parts)),
        "outcome": record.outcome.value,
        "run": record.run,
        "finished": record.finished,
        "verdicts": json.dumps(verdicts),
        "evidence": _dump(record.evidence),
    }


def _dump(value: JsonObject) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _verdict(row: dict[str, object]) -> Verdict:
    fields: dict[str, object] = {
        key: tuple(item) if isinstance(item, list) else item for key, item in row.items()
    }
    fields["outcome"] = Outcome(str(fields["outcome"]))
    return Verdict(**fields)  # type: ignore[arg-type]
