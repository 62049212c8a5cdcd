"""Monitor rows. `monitors.next_start` and `revision` guard that each window is judged once, by whichever process comes first."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text, UniqueConstraint

from bailiwick.store.database import metadata

monitors = Table(
    "monitors",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("endpoint", String(250), primary_key=True),
    Column("config", Text, nullable=False),
    Column("next_start", BigInteger, nullable=True),
    Column("revision", Integer, nullable=False),
)

references = Table(
    "monitor_references",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("endpoint", String(250), primary_key=True),
    Column("model", String(250), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("profile", Text, nullable=False),
    Column("expected_loss", Float, nullable=True),
    Column("detector", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
)

windows = Table(
    "monitor_windows",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("endpoint", String(250), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("model", String(250), nullable=False),
    Column("version", Integer, nullable=False),
    Column("predictions", BigInteger, nullable=False),
    Column("outcomes", BigInteger, nullable=False),
    Column("drift", Text, nullable=False),
    Column("prediction_drift", Text, nullable=False),
    Column("skipped", Text, nullable=False),
    Column("performance", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("spent", Text, nullable=False),
    Column("evaluated", BigInteger, nullable=False),
    UniqueConstraint("workspace", "endpoint", "start"),
)

alarms = Table(
    "alarms",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("endpoint", String(250), nullable=False),
    Column("kind", String(30), nullable=False),
    Column("model", String(250), nullable=False),
    Column("version", Integer, nullable=False),
    Column("window", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("raised", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=True),
    Column("closed_by", String(250), nullable=False),
    Column("note", Text, nullable=False),
    Index(None, "workspace", "endpoint", "status"),
)
