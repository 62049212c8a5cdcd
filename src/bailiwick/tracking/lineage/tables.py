"""Datasets by experiment, and the edges between runs, datasets and logged models.

A dataset's id is a digest of experiment, name and digest, so that two runs which log it at once make one row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from bailiwick.store.database import metadata

# The long texts are last: a scan that does not ask for them does not read them.
datasets = Table(
    "tracking_datasets",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("experiment_id", String(32), nullable=False),
    Column("name", String(500), nullable=False),
    Column("digest", String(36), nullable=False),
    Column("source_type", String(250), nullable=False),
    Column("snapshot", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("schema", Text, nullable=True),
    Column("profile", Text, nullable=True),
    ForeignKeyConstraint(["workspace", "experiment_id"], ["tracking_experiments.workspace", "tracking_experiments.id"]),
    Index("ix_tracking_datasets_name", "workspace", "name"),
    Index("ix_tracking_datasets_digest", "workspace", "digest"),
    Index("ix_tracking_datasets_experiment", "workspace", "experiment_id"),
)

run_datasets = Table(
    "tracking_run_datasets",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("run_id", String(64), ForeignKey("tracking_runs.id", ondelete="CASCADE"), nullable=False),
    Column("dataset_id", String(32), ForeignKey("tracking_datasets.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("context", String(500), nullable=True),
    Column("tags", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "dataset_id"),
    Index("ix_tracking_run_datasets_dataset", "dataset_id"),
    Index("ix_tracking_run_datasets_context", "workspace", "context"),
)

run_models = Table(
    "tracking_run_models",
    metadata,
    Column("workspace", String(250), nullable=False),
    Column("run_id", String(64), ForeignKey("tracking_runs.id", ondelete="CASCADE"), nullable=False),
    Column("direction", String(10), nullable=False),
    Column("model_id", String(64), nullable=False),
    Column("step", BigInteger, nullable=False),
    PrimaryKeyConstraint("run_id", "direction", "model_id"),
    Index("ix_tracking_run_models_model", "workspace", "model_id"),
)
