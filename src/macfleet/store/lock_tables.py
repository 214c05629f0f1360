"""Tables of the fleet lock."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, String, Table, Text

from macfleet.store.tables import METADATA

IDENTITY = Table(
    "identity",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("name", String(40), nullable=False),
)

LOCKS = Table(
    "locks",
    METADATA,
    Column("node", String(200), primary_key=True),
    Column("owner", String(40), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("since", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("who", String(200), nullable=False),
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("run", String(120), nullable=False),
    Column("command", Text, nullable=False),
)
