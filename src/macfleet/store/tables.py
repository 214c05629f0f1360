"""Tables of the state database: SQLite beside the fleet folder, PostgreSQL for teams."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

METADATA = MetaData()
_TURN = 60.0
"""Seconds a thread waits for the connection before that is an error."""

RUNS = Table(
    "runs",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(120), unique=True, nullable=False),
    Column("command", Text, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("outcome", String(20)),
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("run", String(120), nullable=False, index=True),
    Column("node", String(200), nullable=False),
    Column("kind", String(80), nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Float, nullable=False),
)

EVIDENCE = Table(
    "evidence",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("node", String(200), nullable=False, index=True),
    Column("stage", String(20), nullable=False),
    Column("key", Text, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("run", String(120), nullable=False),
    Column("finished", Float, nullable=False),
    Column("verdicts", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)


class _Turns(QueuePool):
    """One connection for all threads; who waits for it is served before who comes back for it.

    Without a line a thread that asks again at once gets it each time, and one that only renews a lock, never.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._line = threading.Lock()

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._line.acquire(timeout=_TURN):
            raise PoolTimeout(f"no turn at the state database within {_TURN:g} s")
        try:
            return super()._do_get()
        finally:
            self._line.release()


def open_state(url: str) -> Engine:
    """Return an engine whose tables exist.

    SQLite writes ahead, so that readers never wait for a writer, and waits up to 30 s for another process.
    The threads of this one take turns on one connection, in a fair line: SQLite lets one write at a time, and
    who finds it busy sleeps longer and longer, up to a tenth of a second.

    Args:
        url: SQLAlchemy URL such as ``sqlite:////fleet/.macfleet/state.db``; the folder is made when missing.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _served(parsed)
    one: dict[str, Any] = {}
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        one = {"poolclass": _Turns, "pool_size": 1, "max_overflow": 0, "pool_timeout": _TURN}
    engine = create_engine(parsed, connect_args={"timeout": 30}, **one)
    event.listen(engine, "connect", _prepare)
    _make_tables(engine)
    return engine


def _served(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    shown = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(url)
        _make_tables(engine)
    except ModuleNotFoundError as error:
        mend = "pip install 'macfleet[postgres]'"
        raise MacfleetError(
            _unusable("E0596", f"there is no driver for {shown}", str(error), mend)
        ) from error
    except DatabaseError as error:
        why = str(error.orig).strip().partition("\n")[0]
        mend = "See whether the server runs, and what state: in macfleet.yml and ~/.pgpass say."
        raise MacfleetError(_unusable("E0597", f"the store {shown} cannot be used", why, mend)) from error
    return engine


def _unusable(code: str, summary: str, why: str, mend: str) -> Diagnostic:
    return Diagnostic(code, summary, why=f"{why}.", mend=mend, exit_code=ExitCode.INTERNAL)


def _make_tables(engine: Engine) -> None:
    """Make what is missing; another controller may do so at the same moment."""
    before = -1
    while True:
        try:
            METADATA.create_all(engine)
        except DatabaseError:
            there = len(inspect(engine).get_table_names())
            if there <= before:
                raise
            before = there
        else:
            return


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
