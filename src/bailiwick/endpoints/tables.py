"""Endpoint rows. `endpoint_changes` keeps every epoch; `route_revisions` is the one counter a long poll reads."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from bailiwick.store.database import metadata

endpoints = Table(
    "endpoints",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("salt", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("variants", Text, nullable=False),
    Column("key", String(250), nullable=False),
    Column("time", String(250), nullable=False),
    Column("policy", Text, nullable=False, server_default="{}"),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("recording", Text, nullable=False, server_default="{}"),
)

changes = Table(
    "endpoint_changes",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("endpoint", String(100), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("actor", String(250), nullable=False),
    Column("reason", Text, nullable=False),
    Column("variants", Text, nullable=False),
)

revisions = Table(
    "route_revisions",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
