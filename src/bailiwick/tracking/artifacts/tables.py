"""Rows of artifacts: the whole index where content is kept by digest; elsewhere only a note of what was written, and
true for as long as the file still has the mark it was written with.

A folder's path ends with a slash, and the root's is empty; byte order ("C") makes all that is below a folder one range.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, String, Table, Text

from bailiwick.store.database import metadata

BLOBS = ""
"""The place of artifacts kept by digest; any other place is the digest of its URL."""


def _bytes_ordered(length: int) -> String:
    return String(length).with_variant(String(length, collation="C"), "postgresql")


artifacts = Table(
    "tracking_artifacts",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("place", String(64), nullable=False),
    Column("folder", _bytes_ordered(1024), nullable=False),
    Column("name", _bytes_ordered(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mark", String(250), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
    PrimaryKeyConstraint("workspace", "place", "folder", "name"),
    Index("ix_tracking_artifacts_digest", "digest"),
    sqlite_with_rowid=False,
)

uploads = Table(
    "tracking_artifact_uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("place", String(64), nullable=False),
    Column("path", String(1024), nullable=False),
    Column("key", Text, nullable=False),
    Column("upload", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
    Index("ix_tracking_artifact_uploads_time", "place", "time"),
)
