"""Snapshot rows. The rows of data themselves are in Delta tables; this is the record that they are all there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint, text

from bailiwick.store.database import metadata

snapshots = Table(
    "dataset_snapshots",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("dataset", String(250), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("columns", Text, nullable=False),
    Column("table", String(600), nullable=False),
    Column("table_version", BigInteger, nullable=False),
    Column("time_from", BigInteger, nullable=True),
    Column("time_to", BigInteger, nullable=True),
    Column("source", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("statistics", String(64), nullable=False),
    Column("schema", String(64), nullable=False),
    Column("statistics_rows", BigInteger, nullable=False, server_default="0"),
    Column("parts", Text, nullable=False, server_default=text("''")),
    Column("origin", String(64), nullable=False, server_default=text("''")),
    Column("deleted", BigInteger, nullable=True),
    UniqueConstraint("workspace", "dataset", "digest"),
    Index("ix_dataset_snapshots_workspace_created", "workspace", "created"),
)

snapshot_names = Table(
    "dataset_snapshot_names",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("dataset", String(250), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("snapshot", String(32), nullable=False),
    Index("ix_dataset_snapshot_names_snapshot", "snapshot"),
)

snapshot_tags = Table(
    "dataset_snapshot_tags",
    metadata,
    Column("snapshot", String(32), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("value", Text, nullable=False),
)
