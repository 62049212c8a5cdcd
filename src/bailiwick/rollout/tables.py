"""Rollout rows. `active` holds the endpoint's name while running and nothing afterwards: unique, so one runs at a time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text, UniqueConstraint

from bailiwick.store.database import metadata

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("endpoint", String(250), nullable=False),
    Column("active", String(250), nullable=True),
    Column("kind", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("closing", String(20), nullable=True),
    Column("candidate", Text, nullable=False),
    Column("control", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("start_epoch", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
    Column("reason", Text, nullable=False),
    UniqueConstraint("workspace", "active"),
    Index(None, "workspace", "endpoint", "started"),
)

decisions = Table(
    "rollout_decisions",
    metadata,
    Column("rollout", String(32), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("workspace", String(250), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("action", String(20), nullable=False),
    Column("share", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)
