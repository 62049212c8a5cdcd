"""Webhook, delivery and attempt rows, and how far the journal has been read. `secret` is encrypted, see `vault`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from bailiwick.store.database import metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("name", String(63), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("format", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("description", Text, nullable=False),
    Column("secret", Text, nullable=True),
    Column("created", BigInteger, nullable=False),
    Column("created_entry", String(32), nullable=False),
    Column("created_by", String(250), nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("failing_since", BigInteger, nullable=True),
    Column("problem", Text, nullable=False),
    Column("catching_up_from", BigInteger, nullable=True),
    Index("ix_webhooks_workspace_id", "workspace", "id"),
)

deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workspace", String(250), nullable=False),
    Column("webhook_id", String(32), ForeignKey("webhooks.id"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("entry", String(32), nullable=False),
    Column("event", String(100), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("queued", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("finished", BigInteger, nullable=True),
    Column("response_status", Integer, nullable=True),
    Column("problem", Text, nullable=False),
    UniqueConstraint("webhook_id", "position", "event"),
    Index("ix_webhook_deliveries_queue", "webhook_id", "status", "position", "id"),
    Index("ix_webhook_deliveries_newest", "webhook_id", "id"),
    Index("ix_webhook_deliveries_finished", "finished"),
)

attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", String(32), ForeignKey("webhook_deliveries.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("response_status", Integer, nullable=True),
    Column("response", Text, nullable=False),
    Column("problem", Text, nullable=False),
)

cursors = Table(
    "outbox_cursors",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
