"""The state database by SQLAlchemy: a PostgreSQL server for teams, and tables that are missing anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.store.database import (
    NOTHING,
    Row,
    RowTakenError,
    StoreFailedError,
    Values,
    spread,
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

    place = ""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told = partial(_told, _shown(engine.url))

    @property
    def keeps_time(self) -> bool:
        """Whether it is a server whose clock counts."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[_Rows]:
        """Commit at the end of the block, roll back where it raises."""
        with self._told(), self._engine.begin() as connection:
            yield _Rows(connection)

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        """Return the rows of one query."""
        with self._told(), self._engine.connect() as connection:
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
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise MacfleetError(_no_address(url.partition("://")[0])) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    shown = _shown(parsed)
    try:
        # Asked before each use whether it still answers: a server that was restarted breaks no run.
        engine = create_engine(parsed, pool_pre_ping=True)
        _make_tables(engine)
    except NoSuchModuleError as error:
        raise MacfleetError(_no_address(parsed.drivername)) from error
    except ModuleNotFoundError as error:
        raise MacfleetError(
            Diagnostic(
                "E0596",
                f"there is no driver for {shown}",
                why=f"{error}.",
                mend="pip install 'macfleet[postgres]'",
                exit_code=ExitCode.INTERNAL,
            )
        ) from error
    except DatabaseError as error:
        raise MacfleetError(
            Diagnostic(
                "E0597",
                f"the store {shown} cannot be used",
                why=f"{_first_line(error)}.",
                mend="See whether the server runs, and what state: in macfleet.yml and ~/.pgpass say.",
                exit_code=ExitCode.INTERNAL,
            )
        ) from error
    return ServedDatabase(engine)


def make_tables_of_file(path: Path) -> None:
    """Make what is missing in an SQLite file (raises StoreFailedError)."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY})
    try:
        with _told(str(path)):
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
def _told(place: str) -> Iterator[None]:
    """Tell what a library refuses as every database does."""
    try:
        yield
    except IntegrityError as error:
        raise RowTakenError(_first_line(error), place) from error
    except DatabaseError as error:
        raise StoreFailedError(_first_line(error), place) from error
    except SQLAlchemyError as error:
        raise StoreFailedError(str(error).partition("\n")[0], place) from error


def _first_line(error: DatabaseError) -> str:
    """Return what the server said, without the query and its values."""
    return str(error.orig).strip().partition("\n")[0]


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _no_address(scheme: str) -> Diagnostic:
    return Diagnostic(
        "E0599",
        f'no database is known by an address that begins with "{scheme}"',
        mend="Write state: postgresql://USER@HOST/DATABASE, or a path inside the fleet folder.\n"
        "See where it was set: macfleet inventory show --settings",
    )
