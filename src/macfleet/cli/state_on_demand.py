"""The state database, opened by the first who writes to it: its library takes long to import."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.model.json import JsonObject
    from macfleet.model.stage import StageName, StageRecord
    from macfleet.rollout.drain_state import Service
    from macfleet.rollout.run_lock import Fence, LockHolder
    from macfleet.store import SqlState
    from macfleet.store.run_locks import StoreLocks
    from macfleet.store.stage_records import RecordsInFile


class StateOnDemand:
    """The ports `Journal`, `Evidences` and `Services` over one state database; threads may share it.

    Args:
        open_state: opens the database; what it raises is raised by the first call that needs it.
        file: the SQLite file, which is read as it is while nothing was opened; None for another store.
    """

    def __init__(self, open_state: Callable[[], SqlState], file: Path | None) -> None:
        self._open = open_state
        self._file = file
        self._lock = threading.Lock()
        self._state: SqlState | None = None
        self._records: RecordsInFile | None = None

    def begin(self, run_id: str, command: str, nodes: Sequence[str], detail: JsonObject) -> None:
        """Note that a run started over these nodes."""
        self._opened().begin(run_id, command, nodes, detail)

    def note(self, run_id: str, node: str, kind: str, detail: JsonObject) -> None:
        """Note one thing that happened to a node."""
        self._opened().note(run_id, node, kind, detail)

    def note_all(self, run_id: str, node: str, notes: Sequence[tuple[str, JsonObject]]) -> None:
        """Note kinds and details that became known together, all or none."""
        self._opened().note_all(run_id, node, notes)

    def settle(self, run_id: str, node: str, outcome: str) -> None:
        """Note how the run ended for a node."""
        self._opened().settle(run_id, node, outcome)

    def end(self, run_id: str, outcome: str) -> None:
        """Note how the run ended."""
        self._opened().end(run_id, outcome)

    def unsettled(self, run_id: str) -> tuple[str, ...]:
        """Nodes of the run that are not ``ok``, in order (raises MacfleetError for an unknown run)."""
        return self._opened().unsettled(run_id)

    def last(self) -> str:
        """Id of the newest run, empty when there is none."""
        return self._opened().last()

    def latest(self, node: str, stage: StageName) -> StageRecord | None:
        """The newest record of the stage on the node."""
        if self._state is None and self._file is not None:
            import sqlite3

            try:
                return self._in_file(self._file).newest(node, stage)
            except sqlite3.Error:
                # Opening it makes what is missing, or says what is wrong with it.
                return self._opened().latest(node, stage)
        return self._opened().latest(node, stage)

    def record(self, record: StageRecord) -> None:
        """Keep a record."""
        self._opened().record(record)

    def service(self, node: str) -> Service:
        """Return a node's state; active when nothing is known."""
        return self._opened().services.service(node)

    def keep_service(self, service: Service) -> None:
        """Keep a state (raises MacfleetError E0873, exit 6, when one of a newer lease is kept)."""
        self._opened().services.keep_service(service)

    def close(self) -> None:
        """Close what was opened to look; the database itself is closed by whoever gave it."""
        with self._lock:
            if self._records is not None:
                self._records.close()

    def _in_file(self, file: Path) -> RecordsInFile:
        from macfleet.store.stage_records import RecordsInFile

        with self._lock:
            if self._records is None:
                self._records = RecordsInFile(file)
            return self._records

    def _opened(self) -> SqlState:
        with self._lock:
            if self._state is None:
                if self._records is not None:
                    self._records.close()
                self._state = self._open()
            return self._state


class LocksOnDemand:
    """The port `Locks`: a command that only looks takes none."""

    def __init__(self, open_locks: Callable[[], StoreLocks]) -> None:
        self._open = open_locks
        self._lock = threading.Lock()
        self._locks: StoreLocks | None = None

    def take(self, nodes: Sequence[str], run: str, command: str) -> Fence | tuple[LockHolder, ...]:
        """Take all the nodes or none; return who has them when it is none."""
        return self._opened().take(nodes, run, command)

    def confirm(self, fence: Fence, node: str, *, afresh: bool = False) -> None:
        """Return while the node is still held (raises MacfleetError E0591, exit 6, when it was lost)."""
        self._opened().confirm(fence, node, afresh=afresh)

    def release(self, fence: Fence) -> None:
        """Give back what was taken last; nothing happens to what was lost."""
        self._opened().release(fence)

    def _opened(self) -> StoreLocks:
        with self._lock:
            if self._locks is None:
                self._locks = self._open()
            return self._locks
