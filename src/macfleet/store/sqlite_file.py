"""An SQLite file as the state database, with the standard library alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from macfleet.store.database import (
    NOTHING,
    Row,
    RowTakenError,
    StoreFailedError,
    Values,
    spread,
)

TABLES = ("evidence", "identity", "journal", "leases", "locks", "runs", "service_states")
_TURN = 60.0
"""Seconds a thread waits for the connection before that is an error."""
_BUSY = 30.0
"""Seconds to wait for another process."""
_THERE = "SELECT name FROM sqlite_master WHERE type = 'table'"


@dataclass(slots=True, eq=False)
class _Addition:
    """Rows of one thread; `error` is why they were not added, once they are `over`."""

    sql: str
    rows: Sequence[Values]
    over: bool = False
    error: StoreFailedError | None = None


@dataclass(frozen=True, slots=True)
class _Rows:
    connection: sqlite3.Connection

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        return self.connection.execute(*spread(sql, values)).fetchall()

    def change(self, sql: str, values: Values = NOTHING) -> int:
        return self.connection.execute(*spread(sql, values)).rowcount

    def change_each(self, sql: str, rows: Sequence[Values]) -> None:
        self.connection.executemany(sql, rows)


class SqliteFile:
    """A `Database`; tables that are missing are made.

    SQLite writes ahead, so that readers never wait for a writer, and waits up to 30 s for another process.
    The threads of this one take turns on one connection: SQLite lets one write at a time, and who finds it
    busy sleeps longer and longer, up to a tenth of a second. Who has its turn commits what all that wait
    have to add: one commit, which waits for the disk, in the place of many.
    """

    keeps_time = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line, self._turn = threading.Lock(), threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Addition] = []
        self._connection: sqlite3.Connection | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._my_turn(), _told():
            self._connected()

    @contextmanager
    def transaction(self) -> Iterator[_Rows]:
        """Commit at the end of the block, roll back where it raises."""
        with self._my_turn(), self._transaction() as rows:
            yield rows

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        """Return the rows of one query."""
        with self._my_turn(), _told():
            return _Rows(self._connected()).read(sql, values)

    def add(self, sql: str, rows: Sequence[Values]) -> None:
        """Insert rows, together with what other threads add at the same moment."""
        mine = _Addition(sql, rows)
        with self._guard:
            self._waiting.append(mine)
        try:
            with self._my_turn():
                if not mine.over:
                    self._add_waiting()
        finally:
            with self._guard:
                if mine in self._waiting:
                    self._waiting.remove(mine)
        if mine.error is not None:
            raise StoreFailedError(str(mine.error)) from mine.error

    def close(self) -> None:
        """Close the file, which the next call opens again."""
        with self._my_turn():
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _add_waiting(self) -> None:
        """Add what waits, in the order in which it came; only who has its turn may."""
        with self._guard:
            batch, self._waiting = self._waiting, []
        error: StoreFailedError | None = StoreFailedError("interrupted before it was written")
        try:
            with self._transaction() as rows:
                for each in batch:
                    rows.change_each(each.sql, each.rows)
            error = None
        except StoreFailedError as refused:
            error = refused
        finally:
            for each in batch:
                each.over, each.error = True, error

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """Have the connection for a block; who waits for it is served before who comes back for it.

        Without a line a thread that asks again at once gets it each time, and one that only renews a lock,
        never.
        """
        if not self._line.acquire(timeout=_TURN):
            raise StoreFailedError(_NO_TURN)
        try:
            if not self._turn.acquire(timeout=_TURN):
                raise StoreFailedError(_NO_TURN)
        finally:
            self._line.release()
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _transaction(self) -> Iterator[_Rows]:
        with _told():
            connection = self._connected()
            # Who will write says so at once: it waits for another process now, and never in between.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Rows(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                if not set(TABLES) <= {name for (name,) in connection.execute(_THERE)}:
                    _make_tables(self._path)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


_NO_TURN = f"no turn at the state database within {_TURN:g} s"


@contextmanager
def _told() -> Iterator[None]:
    """Tell what SQLite refuses as every database does."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise RowTakenError(str(error)) from error
    except sqlite3.Error as error:
        raise StoreFailedError(str(error)) from error


def _make_tables(path: Path) -> None:
    from macfleet.store.served import make_tables_of_file  # noqa: PLC0415  (imports SQLAlchemy, once in a file's life)

    make_tables_of_file(path)
