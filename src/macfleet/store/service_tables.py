"""Tables of node states and leases."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, String, Table, Text

from macfleet.store.tables import METADATA

SERVICES = Table(
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

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires", Float, nullable=False),
)
