"""Snapshot rows. The rows of data themselves are in Delta tables; this is the record that they are all there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint

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
    UniqueConstraint("workspace", "dataset", "digest"),
    Index("ix_dataset_snapshots_workspace_created", "workspace", "created"),
)
