"""Journal rows. `leaf_index` is empty until the sequencer gives the entry its place in the tree."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from bailiwick.store.database import metadata

entries = Table(
    "journal_entries",
    metadata,
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("workspace", String(250), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("identity", String(250), nullable=False),
    Column("actor", String(250), nullable=False),
    Column("action", String(100), nullable=False),
    Column("resource", String(600), nullable=False),
    Column("detail", Text, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("leaf_index", BigInteger, nullable=True, unique=True),
    Index("ix_journal_entries_workspace_number", "workspace", "number"),
    Index("ix_journal_entries_resource", "workspace", "resource"),
)

checkpoints = Table(
    "journal_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)
