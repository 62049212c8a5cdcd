"""Workspace, identity and token rows. A token's row holds the SHA-256 of its secret: 256 random bits need no slow hash."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from bailiwick.store.database import metadata

workspaces = Table(
    "workspaces",
    metadata,
    Column("name", String(250), primary_key=True),
    Column("description", Text, nullable=False),
    Column("artifact_root", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("name", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("roles", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
    UniqueConstraint("workspace", "name"),
)

tokens = Table(
    "identity_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("identity_id", String(32), ForeignKey("identities.id"), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("note", String(500), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=True),
    Index("ix_identity_tokens_workspace_created", "workspace", "created"),
)
