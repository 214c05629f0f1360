"""The state database by SQLAlchemy: a PostgreSQL server for teams, and tables that are missing anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, IntegrityError, SQLAlchemyError

from macfleet.model.diagnostic import MacfleetError
from macfleet.store.database import (
    NOTHING,
    Row,
    RowTakenError,
    StoreFailedError,
    Values,
    spread,
    unusable,
)
from macfleet.store.tables import METADATA

_BUSY = 30
"""Seconds to wait for another process that makes tables in the same file."""


@dataclass(frozen=True, slots=True)
class _Rows:
    connection: Connection

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        plain, each = spread(sql, values)
        return [tuple(row) for row in self.connection.execute(text(plain), each)]

    def change(self, sql: str, values: Values = NOTHING) -> int:
        plain, each = spread(sql, values)
        return self.connection.execute(text(plain), each).rowcount

    def change_each(self, sql: str, rows: Sequence[Values]) -> None:
        self.connection.execute(text(sql), [dict(row) for row in rows])


class ServedDatabase:
    """A `Database` over an engine, with a connection for each thread that needs one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def keeps_time(self) -> bool:
        """Whether it is a server whose clock counts."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[_Rows]:
        """Commit at the end of the block, roll back where it raises."""
        with _told(), self._engine.begin() as connection:
            yield _Rows(connection)

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        """Return the rows of one query."""
        with _told(), self._engine.connect() as connection:
            return _Rows(connection).read(sql, values)

    def add(self, sql: str, rows: Sequence[Values]) -> None:
        """Insert rows, all or none."""
        with self.transaction() as under_way:
            under_way.change_each(sql, rows)

    def close(self) -> None:
        """Give up all connections."""
        self._engine.dispose()


def open_served(url: str) -> ServedDatabase:
    """Return a server's database, whose tables exist (raises MacfleetError E0596, E0597)."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    shown = parsed.render_as_string(hide_password=True)
    try:
        engine = create_engine(parsed)
        _make_tables(engine)
    except ModuleNotFoundError as error:
        mend = "pip install 'macfleet[postgres]'"
        raise MacfleetError(unusable("E0596", f"there is no driver for {shown}", str(error), mend)) from error
    except DatabaseError as error:
        why = str(error.orig).strip().partition("\n")[0]
        mend = "See whether the server runs, and what state: in macfleet.yml and ~/.pgpass say."
        raise MacfleetError(unusable("E0597", f"the store {shown} cannot be used", why, mend)) from error
    return ServedDatabase(engine)


def make_tables_of_file(path: Path) -> None:
    """Make what is missing in an SQLite file (raises StoreFailedError)."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY})
    try:
        with _told():
            _make_tables(engine)
    finally:
        engine.dispose()


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


@contextmanager
def _told() -> Iterator[None]:
    """Tell what a library refuses as every database does."""
    try:
        yield
    except IntegrityError as error:
        raise RowTakenError(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise StoreFailedError(str(error)) from error
