"""Journal rows. `leaf_index` is empty until the sequencer gives the entry its place in the tree.

On SQLite the indexes hold only entries that have a place: a commit writes one page of the journal, and the sequencer adds
to the indexes for thousands of entries at once. Those that wait are the newest, and are read by number (`finding.py`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from bailiwick.store.database import metadata

entries = Table(
    "journal_entries",
    metadata,
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False),
    Column("workspace", String(250), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("identity", String(250), nullable=False),
    Column("actor", String(250), nullable=False),
    Column("action", String(100), nullable=False),
    Column("resource", String(600), nullable=False),
    Column("detail", Text, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("leaf_index", BigInteger, nullable=True),
)
_placed = entries.c.leaf_index.is_not(None)
Index("ix_journal_entries_leaf_index", entries.c.leaf_index, unique=True, sqlite_where=_placed)
Index("ix_journal_entries_id", entries.c.id, sqlite_where=_placed)
Index("ix_journal_entries_workspace_number", entries.c.workspace, entries.c.number, sqlite_where=_placed)
Index("ix_journal_entries_resource", entries.c.workspace, entries.c.resource, sqlite_where=_placed)

checkpoints = Table(
    "journal_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)
