"""Experiment and run rows. A metric's full history and its latest value are two tables, written in one transaction."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from bailiwick.store.database import metadata

HEAD_LENGTH = 64

experiments = Table(
    "tracking_experiments",
    metadata,
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("workspace", String(250), nullable=False),
    Column("id", String(32), nullable=False),
    Column("name", String(500), nullable=False),
    Column("lifecycle", String(10), nullable=False),
    Column("artifact_location", String(2048), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("deleted", BigInteger, nullable=True),
    Column("created_by", String(250), nullable=False),
    UniqueConstraint("workspace", "id"),
    UniqueConstraint("workspace", "name"),
    sqlite_autoincrement=True,  # a number is never given twice, not even after its row is gone
)

experiment_tags = Table(
    "tracking_experiment_tags",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("experiment_id", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "tracking_runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("experiment_id", String(32), nullable=False),
    Column("name", String(8_000), nullable=False),
    Column("status", String(20), nullable=False),
    Column("lifecycle", String(10), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
    Column("deleted", BigInteger, nullable=True),
    Column("parent", String(64), nullable=True),
    Column("key", String(250), nullable=True),
    Column("user_name", String(250), nullable=False, server_default=text("''")),
    Column("artifact_uri", String(2_400), nullable=False, server_default=text("''")),
    Column("created_by", String(250), nullable=False),
    ForeignKeyConstraint(["workspace", "experiment_id"], ["tracking_experiments.workspace", "tracking_experiments.id"]),
    sqlite_with_rowid=False,
)
# Newest first, then by id: the order of every listing, so that a page is a range of one index.
Index("ix_tracking_runs_listing", runs.c.workspace, runs.c.lifecycle, runs.c.started.desc(), runs.c.id)
Index(
    "ix_tracking_runs_experiment",
    runs.c.workspace,
    runs.c.experiment_id,
    runs.c.lifecycle,
    runs.c.started.desc(),
    runs.c.id,
)
_has_ended = runs.c.ended.is_not(None)
_has_parent = runs.c.parent.is_not(None)
_has_key = runs.c.key.is_not(None)
# What a run that begins does not have yet, or most runs never have, costs it no entry (decision 0015).
Index(
    "ix_tracking_runs_ended",
    *(runs.c.workspace, runs.c.experiment_id, runs.c.lifecycle, runs.c.ended),
    sqlite_where=_has_ended,
    postgresql_where=_has_ended,
)
Index(
    "ix_tracking_runs_parent",
    *(runs.c.workspace, runs.c.parent, runs.c.lifecycle, runs.c.started, runs.c.id),
    sqlite_where=_has_parent,
    postgresql_where=_has_parent,
)
Index(
    "ix_tracking_runs_key",
    *(runs.c.workspace, runs.c.key),
    unique=True,
    sqlite_where=_has_key,
    postgresql_where=_has_key,
)


def _run_id() -> Column[str]:
    return Column("run_id", String(64), ForeignKey("tracking_runs.id", ondelete="CASCADE"), primary_key=True)


def _experiment_id() -> Column[str]:
    """The run's experiment, said again so that a search within one experiment is a range of one index."""
    return Column("experiment_id", String(32), nullable=False, server_default=text("''"))


def _head() -> Column[str]:
    """The beginning of `value`, short enough for an index of every database, in the order of code points."""
    kind = String(HEAD_LENGTH).with_variant(String(HEAD_LENGTH, collation="C"), "postgresql")
    return Column("head", kind, nullable=False, server_default=text("''"))


run_params = Table(
    "tracking_run_params",
    metadata,
    Column("workspace", String(250), nullable=False),
    _run_id(),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    _experiment_id(),
    _head(),
    Index("ix_tracking_run_params_search", "workspace", "experiment_id", "key", "head"),
    sqlite_with_rowid=False,
)

run_tags = Table(
    "tracking_run_tags",
    metadata,
    Column("workspace", String(250), nullable=False),
    _run_id(),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    _experiment_id(),
    _head(),
    Index("ix_tracking_run_tags_search", "workspace", "experiment_id", "key", "head"),
    sqlite_with_rowid=False,
)

# The key is a point's identity, so a repeated write is dropped, and its order is that of a history.
run_metrics = Table(
    "tracking_run_metrics",
    metadata,
    Column("workspace", String(250), nullable=False),
    _run_id(),
    Column("key", String(250), primary_key=True),
    Column("time", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Double, primary_key=True),
    Column("is_nan", SmallInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

run_latest_metrics = Table(
    "tracking_run_latest_metrics",
    metadata,
    Column("workspace", String(250), nullable=False),
    _run_id(),
    Column("key", String(250), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", SmallInteger, nullable=False),
    _experiment_id(),
    Index("ix_tracking_run_latest_metrics_search", "workspace", "experiment_id", "key", "is_nan", "value"),
    sqlite_with_rowid=False,
)

run_inputs = Table(
    "tracking_run_inputs",
    metadata,
    Column("workspace", String(250), nullable=False),
    _run_id(),
    Column("snapshot", String(64), primary_key=True),
    Column("role", String(250), primary_key=True),
    Index("ix_tracking_run_inputs_snapshot", "workspace", "snapshot"),
)


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT, which SQLAlchemy spells once per dialect."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
