"""An SQLite file as the state database, with the standard library alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from macfleet.model.shell import quote
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
            raise StoreFailedError(why, str(path), _mend("SQLITE_CANTOPEN", path)) from error
        with self._my_turn(), self._told():
            self._connected()

    @property
    def place(self) -> str:
        """The number that the file system gave the file; moving it keeps it, copying it does not."""
        try:
            return str(self._path.stat().st_ino)
        except OSError:
            return ""

    @contextmanager
    def transaction(self) -> Iterator[_Rows]:
        """Commit at the end of the block, roll back where it raises."""
        with self._my_turn(), self._transaction() as rows:
            yield rows

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        """Return the rows of one query."""
        with self._my_turn(), self._told():
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
            raise StoreFailedError(*mine.error.told) from mine.error

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
        error: StoreFailedError | None = StoreFailedError(_INTERRUPTED, str(self._path))
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
            raise StoreFailedError(_NO_TURN, str(self._path))
        try:
            if not self._turn.acquire(timeout=_TURN):
                raise StoreFailedError(_NO_TURN, str(self._path))
        finally:
            self._line.release()
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _transaction(self) -> Iterator[_Rows]:
        with self._told():
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

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what SQLite refuses as every database does."""
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise RowTakenError(str(error), str(self._path)) from error
        except sqlite3.Error as error:
            mend = _mend(getattr(error, "sqlite_errorname", ""), self._path)
            raise StoreFailedError(str(error), str(self._path), mend) from error

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


_INTERRUPTED = "interrupted before it was written"
_NO_TURN = f"no turn at it within {_TURN:g} s"


def _mend(name: str, path: Path) -> str:
    """Return what to do about what SQLite calls an error; empty where nothing special is."""
    file, folder = quote(str(path)), quote(str(path.parent))
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return (
            f"See what is free: df {folder}; what may go: macfleet run prune --check\n"
            "What broke off goes on with --resume RUN: macfleet run list"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return f"It and its folder are written to. See who may: ls -ld {folder} {file}"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return (
            "Put a copy of it back, or begin without: "
            f"mkdir {folder}/damaged && mv {file}* {folder}/damaged\n"
            "Recorded runs stay; each stage is then proven anew, and nothing can be resumed."
        )
    if name.startswith("SQLITE_BUSY"):
        return f"Another process keeps it. See which: lsof {file}"
    return ""


def _make_tables(path: Path) -> None:
    from macfleet.store.served import make_tables_of_file  # noqa: PLC0415  (imports SQLAlchemy, once in a file's life)

    make_tables_of_file(path)
