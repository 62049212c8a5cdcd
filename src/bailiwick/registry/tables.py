"""Model, version, tag, alias and stage rows. `registry_models.newest` only grows, so a version's number is never given twice."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from bailiwick.store.database import metadata

EMPTY = text("''")

models = Table(
    "registry_models",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("description", Text, nullable=False),
    Column("newest", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
    Column("deleted", BigInteger, nullable=True),
    Index("ix_registry_models_updated", "workspace", "updated", "name"),
)

model_tags = Table(
    "registry_model_tags",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("key", String(250), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("workspace", "model", "key"),
    ForeignKeyConstraint(["workspace", "model"], ["registry_models.workspace", "registry_models.name"]),
)

versions = Table(
    "registry_versions",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("number", Integer, nullable=False, autoincrement=False),
    Column("package", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("snapshot", String(64), nullable=False),
    Column("signature", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("slices", Text, nullable=False),
    Column("parity", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("code_version", String(250), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("reference_profile", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
    Column("deleted", BigInteger, nullable=True),
    Column("source", Text, nullable=False, server_default=EMPTY),
    Column("storage", Text, nullable=False, server_default=EMPTY),
    Column("run_link", Text, nullable=False, server_default=EMPTY),
    Column("model_id", String(64), nullable=False, server_default=EMPTY),
    Column("status", String(20), nullable=False, server_default=text("'READY'")),
    Column("status_message", Text, nullable=False, server_default=EMPTY),
    Column("stage", String(20), nullable=False, server_default=text("'None'")),
    Column("updated", BigInteger, nullable=False, server_default=text("0")),
    Column("purged", BigInteger, nullable=True),
    Column("content", Text, nullable=False, server_default=text("'{}'")),
    Column("content_state", String(20), nullable=False, server_default=text("'known'")),
    PrimaryKeyConstraint("workspace", "model", "number"),
    ForeignKeyConstraint(["workspace", "model"], ["registry_models.workspace", "registry_models.name"]),
    Index("ix_registry_versions_run", "workspace", "run_id", "model"),
    Index("ix_registry_versions_snapshot", "workspace", "snapshot"),
    Index("ix_registry_versions_digest", "workspace", "digest"),
    Index("ix_registry_versions_package", "package"),
    Index("ix_registry_versions_reference", "reference_profile"),
    Index("ix_registry_versions_updated", "workspace", "updated", "model", "number"),
    Index("ix_registry_versions_stage", "workspace", "model", "stage", "number"),
)

_UNREAD = versions.c.content_state == "pending"
Index(
    "ix_registry_versions_unread",
    versions.c.created,
    versions.c.workspace,
    versions.c.model,
    versions.c.number,
    sqlite_where=_UNREAD,
    postgresql_where=_UNREAD,
)
Index("ix_registry_versions_model_id", versions.c.workspace, versions.c.model_id)

version_tags = Table(
    "registry_version_tags",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("number", Integer, nullable=False),
    Column("key", String(250), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("workspace", "model", "number", "key"),
    ForeignKeyConstraint(
        ["workspace", "model", "number"],
        ["registry_versions.workspace", "registry_versions.model", "registry_versions.number"],
        name="fk_registry_version_tags_version",  # the convention's name is longer than PostgreSQL takes
    ),
)

aliases = Table(
    "registry_aliases",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("alias", String(256), nullable=False),
    Column("number", Integer, nullable=False),
    PrimaryKeyConstraint("workspace", "model", "alias"),
    ForeignKeyConstraint(
        ["workspace", "model", "number"],
        ["registry_versions.workspace", "registry_versions.model", "registry_versions.number"],
    ),
)

alias_changes = Table(
    "registry_alias_changes",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("alias", String(256), nullable=False),
    Column("action", String(20), nullable=False),
    Column("previous", Integer, nullable=True),
    Column("number", Integer, nullable=True),
    Column("reason", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("identity", String(250), nullable=False),
    Column("actor", String(250), nullable=False),
    Index("ix_registry_alias_changes_model", "workspace", "model", "alias", "sequence"),
)

stage_changes = Table(
    "registry_stage_changes",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("workspace", String(250), nullable=False),
    Column("model", String(256), nullable=False),
    Column("number", Integer, nullable=False),
    Column("action", String(20), nullable=False),
    Column("previous", String(20), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("identity", String(250), nullable=False),
    Column("actor", String(250), nullable=False),
    Index("ix_registry_stage_changes_model", "workspace", "model", "sequence"),
)
