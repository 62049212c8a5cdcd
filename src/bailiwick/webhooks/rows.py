"""Rows of webhooks, deliveries and attempts, read as records."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from bailiwick.core.errors import NotFound
from bailiwick.webhooks.model import Attempt, Delivery, DeliveryStatus, Webhook, WebhookStatus
from bailiwick.webhooks.tables import attempts, deliveries, webhooks

AnyRow = Row[*tuple[Any, ...]]


def webhook_of(row: AnyRow) -> Webhook:
    """The record of a row; the secret stays behind."""
    return Webhook(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        url=row.url,
        events=tuple(json.loads(row.events)),
        format=row.format,
        status=WebhookStatus(row.status),
        description=row.description,
        signed=row.secret is not None,
        created=row.created,
        updated=row.updated,
        created_by=row.created_by,
        failing_since=row.failing_since,
        problem=row.problem,
        catching_up_from=row.catching_up_from,
    )


def delivery_of(row: AnyRow) -> Delivery:
    """The record of a row."""
    values = {name: getattr(row, name) for name in Delivery.__slots__}
    return Delivery(**{**values, "status": DeliveryStatus(row.status)})


def attempt_of(row: AnyRow) -> Attempt:
    """The record of a row."""
    return Attempt(**row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name


def select_webhook(workspace: str, webhook_id: str) -> Select[Any]:
    """The row of one webhook of a workspace."""
    return select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.workspace == workspace)


def webhook_row(connection: Connection, workspace: str, webhook_id: str) -> AnyRow:
    """Raises NotFound, also for a webhook of another workspace."""
    row = connection.execute(select_webhook(workspace, webhook_id)).one_or_none()
    if row is None:
        raise NotFound(f"Webhook with ID {webhook_id} not found.")
    return row


def delivery_row(connection: Connection, workspace: str, delivery_id: str) -> AnyRow:
    """Raises NotFound, also for a delivery of another workspace."""
    query = select(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.workspace == workspace)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound.of("Delivery", delivery_id)
    return row


def load_attempts(connection: Connection, delivery_id: str, *, limit: int) -> list[Attempt]:
    """The newest attempts of a delivery, newest first."""
    query = select(attempts).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.number.desc())
    return [attempt_of(row) for row in connection.execute(query.limit(limit))]
