"""Marks of what was moved here: one row a record of a source, so that moving it again finds it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, String, Table

from bailiwick.store.database import metadata

imports = Table(
    "tracking_imports",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("source", String(500), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("id", String(600), nullable=False),
    Column("local", String(600), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("location", String(2_400), nullable=False),
    Column("time", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "source", "kind", "id"),
    Index("ix_tracking_imports_local", "workspace", "kind", "local"),
)
