"""Rows of runs, their steps, schedules and firings.

A step is claimed by one guarded UPDATE that raises `token`; whoever finishes it must still hold that token. `waiting`
counts the needed steps that are not done, so that "ready" is a plain condition on the row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from bailiwick.store.database import metadata

runs = Table(
    "pipeline_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("pipeline", String(100), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("params", Text, nullable=False),
    Column("trigger", String(320), nullable=False),
    Column("key", String(200), nullable=True),
    Column("status", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("submitted_by", String(250), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=True),
    Column("ended", BigInteger, nullable=True),
    Column("touched", BigInteger, nullable=False),
    UniqueConstraint("workspace", "pipeline", "key"),
    Index("ix_pipeline_runs_workspace_status", "workspace", "status"),
)

steps = Table(
    "pipeline_steps",
    metadata,
    Column("run_id", String(32), ForeignKey("pipeline_runs.id"), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("position", Integer, nullable=False),
    Column("needs", Text, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("version", String(200), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("lease_expires", BigInteger, nullable=False),
    Column("progress", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("cache_key", String(64), nullable=False),
    Column("cached_from", String(32), nullable=False),
    Column("outputs", Text, nullable=False),
    Column("started", BigInteger, nullable=True),
    Column("ended", BigInteger, nullable=True),
    Index("ix_pipeline_steps_workspace_cache_key", "workspace", "cache_key"),
    Index("ix_pipeline_steps_workspace_status", "workspace", "status"),
)

schedules = Table(
    "pipeline_schedules",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("name", String(300), primary_key=True),
    Column("cron", String(200), nullable=False),
    Column("pipeline", String(100), nullable=False),
    Column("params", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("next_fire", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index("ix_pipeline_schedules_workspace_next_fire", "workspace", "next_fire"),
)

firings = Table(
    "pipeline_firings",
    metadata,
    Column("workspace", String(250), primary_key=True),
    Column("trigger", String(320), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("run_id", String(32), ForeignKey("pipeline_runs.id"), nullable=False),
    Column("time", BigInteger, nullable=False),
)
