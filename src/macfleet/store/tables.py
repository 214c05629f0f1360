"""Tables of the state database: SQLite beside the fleet folder, PostgreSQL for teams."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table, Text

METADATA = MetaData()

Table(
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

Table(
    "journal",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("run", String(120), nullable=False, index=True),
    Column("node", String(200), nullable=False),
    Column("kind", String(80), nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Float, nullable=False),
)

Table(
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

Table(
    "identity",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("name", String(40), nullable=False),
)

Table(
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

Table(
    "service_states",
    METADATA,
    Column("node", String(200), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("who", String(200), nullable=False),
    Column("since", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("on_deadline", String(20), nullable=False),
    Column("failure", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("run", String(120), nullable=False),
)

Table(
    "leases",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires", Float, nullable=False),
)
