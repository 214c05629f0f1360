"""The state database as the store sees it: one SQL text, whichever library carries it there.

SQLite files are written with the standard library: SQLAlchemy takes a sixth of a second of CPU to import.
What it is for is PostgreSQL, and making tables that are missing. Every text is read by both: parameters are
`:name`, and a parameter that is a tuple stands for a list in parentheses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

Value = str | int | float | None
Values = Mapping[str, Value | tuple[Value, ...]]
Row = tuple[Any, ...]
NOTHING: Values = {}
_FILE = "sqlite:///"


class StoreFailedError(MacfleetError):
    """The database gave no answer, or refused (E0598, exit 1).

    Args:
        why: what it or its library said; place: its file or address; mend: what to do about that.
    """

    def __init__(self, why: str, place: str, mend: str = "") -> None:
        self.told = (why, place, mend)
        said = f"{why[:1].upper()}{why[1:].rstrip('.')}"
        super().__init__(
            Diagnostic(
                "E0598",
                f"the store {place} failed",
                why=f"{said}.",
                mend=mend
                or "When it answers again, the same command. What broke off goes on with\n"
                "--resume RUN: macfleet run list",
                exit_code=ExitCode.INTERNAL,
            )
        )


class RowTakenError(StoreFailedError):
    """A row with that key is there already."""


class Reads(Protocol):
    """Answers queries."""

    def read(self, sql: str, values: Values = NOTHING) -> list[Row]:
        """Return the rows of a query (raises StoreFailedError)."""


class Rows(Reads, Protocol):
    """A transaction that is under way; each call raises StoreFailedError."""

    def change(self, sql: str, values: Values = NOTHING) -> int:
        """Insert, update or delete; return how many rows that were (raises RowTakenError)."""

    def change_each(self, sql: str, rows: Sequence[Values]) -> None:
        """Insert or update once for each mapping, none of which has a list (raises RowTakenError)."""


class Database(Reads, Protocol):
    """Transactions over one database; safe from any thread. Each call raises StoreFailedError.

    A query outside of a transaction waits for nobody who writes.
    """

    @property
    def keeps_time(self) -> bool:
        """Whether its clock counts and rows are locked before they are changed: a server has many clients."""

    @property
    def place(self) -> str:
        """What tells it from a copy of it; empty where nobody copies one beside the other."""

    def transaction(self) -> AbstractContextManager[Rows]:
        """Commit at the end of the block, roll back where it raises."""

    def add(self, sql: str, rows: Sequence[Values]) -> None:
        """Insert rows that can be in nobody's way, all or none; they are on disk when it returns.

        What other threads add at the same moment may go into the same transaction.
        """

    def close(self) -> None:
        """Give up all connections; the next call opens one again."""


def open_database(url: str) -> Database:
    """Return a database whose tables exist.

    Args:
        url: SQLAlchemy URL such as ``sqlite:////fleet/.macfleet/state.db``; the folder is made when missing.

    Raises:
        MacfleetError: E0596 the driver is missing, E0597 the server or the file cannot be used, E0599
            (exit 2) no database is known by such an address.
    """
    path = url.removeprefix(_FILE)
    if url.startswith(_FILE) and path not in ("", ":memory:") and "?" not in path:
        from macfleet.store.sqlite_file import SqliteFile  # noqa: PLC0415  (one of the two is used)

        try:
            return SqliteFile(Path(path))
        except StoreFailedError as error:
            found = error.diagnostics[0]
            summary = f"the store {path} cannot be used"
            raise MacfleetError(
                replace(found, code="E0597", summary=summary, exit_code=ExitCode.INTERNAL)
            ) from error
    from macfleet.store.served import open_served  # noqa: PLC0415  (imports SQLAlchemy)

    return open_served(url)


def insertion(table: str, columns: Sequence[str]) -> str:
    """Return the text that inserts a row whose parameters are called like its columns."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in columns)})"  # noqa: S608  (our own names)


def spread(sql: str, values: Values) -> tuple[str, dict[str, Value]]:
    """Return a text and its parameters with a parameter for every element of a list."""
    plain: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            each = {f"{name}_{number}": element for number, element in enumerate(value)}
            plain |= each
            # Nothing is in a list of NULL, as nothing is in an empty one.
            sql = sql.replace(f"IN :{name}", f"IN ({', '.join(f':{key}' for key in each) or 'NULL'})")
        else:
            plain[name] = value
    return sql, plain
