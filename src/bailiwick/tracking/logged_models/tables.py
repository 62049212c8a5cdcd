"""Rows of logged models. A measurement's key is its identity, so that one logged again is dropped."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
)

from bailiwick.store.database import metadata

logged_models = Table(
    "tracking_logged_models",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("experiment_id", String(32), nullable=False),
    Column("name", String(500), nullable=False),
    Column("type", String(500), nullable=False),
    Column("source_run", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("lifecycle", String(10), nullable=False),
    Column("artifact_location", String(4096), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("created_by", String(250), nullable=False),
    ForeignKeyConstraint(["workspace", "experiment_id"], ["tracking_experiments.workspace", "tracking_experiments.id"]),
    Index("ix_tracking_logged_models_name", "workspace", "experiment_id", "name"),
    Index("ix_tracking_logged_models_source_run", "workspace", "source_run"),
)
# Newest first, then by id: the order of a search that names none, so that a page is a range of one index.
Index(
    "ix_tracking_logged_models_listing",
    logged_models.c.workspace,
    logged_models.c.experiment_id,
    logged_models.c.lifecycle,
    logged_models.c.created.desc(),
    logged_models.c.id,
)


def _model_id() -> Column[str]:
    return Column("model_id", String(36), ForeignKey("tracking_logged_models.id", ondelete="CASCADE"), primary_key=True)


model_params = Table(
    "tracking_model_params",
    metadata,
    _model_id(),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)

model_tags = Table(
    "tracking_model_tags",
    metadata,
    _model_id(),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)

# `dataset` is a digest of the dataset's name and digest, "" for none: as part of the key the texts would be too long.
model_metrics = Table(
    "tracking_model_metrics",
    metadata,
    _model_id(),
    Column("key", String(250), primary_key=True),
    Column("time", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", String(64), ForeignKey("tracking_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("dataset", String(32), primary_key=True),
    Column("value", Double, primary_key=True),
    Column("is_nan", SmallInteger, primary_key=True, autoincrement=False),
    Column("dataset_name", String(500), nullable=False),
    Column("dataset_digest", String(36), nullable=False),
    Index("ix_tracking_model_metrics_run", "run_id"),
    sqlite_with_rowid=False,
)
