"""The verbs of webhooks. What goes out is decided by `outbox` from the journal; nothing here sends, apart from a test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, func, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded
from bailiwick.core.ids import new_id
from bailiwick.store.journal.finding import PLACED
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Change, Records
from bailiwick.webhooks.address import check_url
from bailiwick.webhooks.mail import is_mail
from bailiwick.webhooks.model import (
    MAX_EVENTS,
    Answer,
    Attempt,
    Delivery,
    DeliveryStatus,
    Webhook,
    WebhookStatus,
    check_description,
    check_name,
    check_secret,
    check_status,
)
from bailiwick.webhooks.ports import EventFormat
from bailiwick.webhooks.rows import (
    AnyRow,
    delivery_of,
    delivery_row,
    load_attempts,
    select_webhook,
    webhook_of,
    webhook_row,
)
from bailiwick.webhooks.sender import Sender
from bailiwick.webhooks.tables import attempts, deliveries, webhooks
from bailiwick.webhooks.vault import Vault

MAX_WEBHOOKS = 200
MAX_PAGE = 1_000
MAX_ATTEMPTS_SHOWN = 100
MAIL = "email"
"""The format whose webhooks are mail addresses."""

MANAGE = Permission.WEBHOOKS_MANAGE


class WebhookService:
    """Webhooks of every workspace, and what was sent to them."""

    def __init__(self, records: Records, vault: Vault, sender: Sender, formats: Iterable[EventFormat]) -> None:
        self._records = records
        self._vault = vault
        self._sender = sender
        self._formats = {each.name: each for each in formats}

    def create(
        self,
        actor: Actor,
        name: str,
        *,
        url: str,
        events: Sequence[str],
        format: str = "mlflow",  # noqa: A002 - the word of the field
        secret: str = "",
        description: str = "",
        status: str = WebhookStatus.ACTIVE,
    ) -> Webhook:
        """It is told of what is journalled after this. Names may repeat. Raises InvalidInput naming the field, LimitExceeded."""
        actor.require(MANAGE)
        _check_fits(format, url)
        webhook_id = new_id()
        values = {
            "id": webhook_id,
            "name": check_name(name),
            "url": check_url(url, self._sender.rules),
            "format": self._format(format).name,
            "events": self._checked_events(format, events),
            "description": check_description(description),
            "status": check_status(status),
            "secret": self._sealed(secret, webhook_id),
        }
        with self._records.change(actor, MANAGE) as change:
            _check_room(change)
            entry = change.record("webhook.created", f"webhook/{webhook_id}", **_told(values))
            made = {
                **values,
                "workspace": change.workspace,
                "created": change.time,
                "updated": change.time,
                "created_by": change.actor.identity,
                "created_entry": entry,
                "problem": "",
            }
            change.execute(insert(webhooks).values(made))
            return webhook_of(webhook_row(change.connection, change.workspace, webhook_id))

    def update(
        self,
        actor: Actor,
        webhook_id: str,
        *,
        name: str | None = None,
        url: str | None = None,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        description: str | None = None,
        status: str | None = None,
    ) -> Webhook:
        """Change what is given; an empty `secret` ends the signing. Making it active forgives earlier failures. Raises NotFound."""
        actor.require(MANAGE)
        found = self.webhook(actor.workspace, webhook_id)
        values: dict[str, Any] = {}
        if name is not None:
            values["name"] = check_name(name)
        if url is not None:
            _check_fits(found.format, url)
            values["url"] = check_url(url, self._sender.rules)
        if events is not None:
            values["events"] = self._checked_events(found.format, events)
        if description is not None:
            values["description"] = check_description(description)
        if secret is not None:
            values["secret"] = self._sealed(secret, webhook_id)
        if status is not None:
            values |= {"status": check_status(status), "problem": "", "failing_since": None}
        if not values:
            return found
        with self._records.change(actor, MANAGE) as change:
            row = _locked(change, webhook_id)
            later = max(change.time, row.updated + 1)  # who compares the two times sees that something changed
            change.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values, updated=later))
            change.record("webhook.updated", f"webhook/{webhook_id}", changed=sorted(values), **_told(values))
            return webhook_of(webhook_row(change.connection, change.workspace, webhook_id))

    def delete(self, actor: Actor, webhook_id: str) -> None:
        """Remove it with its secret and everything that waits for it. Raises NotFound."""
        with self._records.change(actor, MANAGE) as change:
            row = _locked(change, webhook_id)
            mine = select(deliveries.c.id).where(deliveries.c.webhook_id == webhook_id)
            change.execute(delete(attempts).where(attempts.c.delivery_id.in_(mine)))
            change.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
            change.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
            change.record("webhook.deleted", f"webhook/{webhook_id}", name=row.name)

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats that a webhook can be told in."""
        return tuple(self._formats)

    def webhook(self, workspace: str, webhook_id: str) -> Webhook:
        """Raises NotFound."""
        with self._records.read() as connection:
            return webhook_of(webhook_row(connection, workspace, webhook_id))

    def webhooks(
        self,
        workspace: str,
        *,
        limit: int = 100,
        before: str | None = None,
        format: str | None = None,  # noqa: A002 - the word of the field
    ) -> list[Webhook]:
        """Newest first, at most 1,000; pass the last id as `before` for the next page."""
        query = select(webhooks).where(webhooks.c.workspace == workspace)
        if before is not None:
            query = query.where(webhooks.c.id < before)
        if format is not None:
            query = query.where(webhooks.c.format == format)
        with self._records.read() as connection:
            found = connection.execute(query.order_by(webhooks.c.id.desc()).limit(_page(limit)))
            return [webhook_of(row) for row in found]

    def deliveries(
        self,
        workspace: str,
        webhook_id: str,
        *,
        limit: int = 50,
        before: str | None = None,
        status: str | None = None,
    ) -> list[Delivery]:
        """What was and will be sent, newest first; pass the last id as `before` for the next page. Raises NotFound."""
        mine = (deliveries.c.workspace == workspace, deliveries.c.webhook_id == webhook_id)
        query = select(deliveries).where(*mine)
        if before is not None:
            query = query.where(deliveries.c.id < before)
        if status is not None:
            if status not in set(DeliveryStatus):
                raise InvalidInput.choice("delivery status", status, list(DeliveryStatus))
            query = query.where(deliveries.c.status == status)
        with self._records.read() as connection:
            webhook_row(connection, workspace, webhook_id)
            found = connection.execute(query.order_by(deliveries.c.id.desc()).limit(_page(limit)))
            return [delivery_of(row) for row in found]

    def receipts(self, workspace: str, entry: str) -> dict[str, str]:
        """What became of telling a journal entry: the delivery's status by the webhook's description, or its name."""
        place = (
            select(entries.c.leaf_index).where(entries.c.id == entry, PLACED).scalar_subquery()
        )  # which has an index
        query = (
            select(webhooks.c.name, webhooks.c.description, deliveries.c.status)
            .join(deliveries, deliveries.c.webhook_id == webhooks.c.id)
            .where(webhooks.c.workspace == workspace, deliveries.c.position == place)
        )
        with self._records.read() as connection:
            return {row.description or row.name: str(row.status) for row in connection.execute(query)}

    def delivery(self, workspace: str, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        """One delivery and its newest attempts, newest first. Raises NotFound."""
        with self._records.read() as connection:
            row = delivery_row(connection, workspace, delivery_id)
            return delivery_of(row), load_attempts(connection, delivery_id, limit=MAX_ATTEMPTS_SHOWN)

    def test(self, actor: Actor, webhook_id: str, *, event: str | None = None) -> Answer:
        """Send an example now, whatever the webhook's status, and say what came back. Journalled before it goes out.

        `event` is a subscription of the webhook's format; the first of the webhook's own where it is not given.
        """
        actor.require(MANAGE)
        with self._records.read() as connection:
            row = webhook_row(connection, actor.workspace, webhook_id)
        told_in = self._format(row.format)
        wanted = event if event is not None else json.loads(row.events)[0]
        secret = self._vault.open(row.secret, webhook_id) if row.secret is not None else ""
        with self._records.change(actor, MANAGE) as change:
            example = told_in.example(wanted, change.workspace, change.time)
            change.record("webhook.tested", f"webhook/{webhook_id}", event=example.event)
            time = change.time
        body = example.body.encode()
        headers = told_in.headers(delivery=new_id(), time=time, body=body, secret=secret)
        return self._sender.post(row.url, {"Content-Type": told_in.content_type, **headers}, body)

    def replay(self, actor: Actor, webhook_id: str, *, since: int | None = None, position: int | None = None) -> int:
        """Tell a webhook again of everything from a time (UTC milliseconds) or a journal position on; returns the position.

        What was sent before is sent again under its old id; what it was never told, because it was disabled or not there,
        is told now. It is done in the background, in the order of the journal. Raises NotFound, InvalidInput.
        """
        if (since is None) == (position is None):
            raise InvalidInput("A replay begins either at a time or at a journal position; give one of them.")
        if position is not None and position < 0:
            raise InvalidInput(f"Journal position {position} must be 0 or more.")
        with self._records.change(actor, MANAGE) as change:
            row = _locked(change, webhook_id)
            start = position if position is not None else _position_at(change.connection, since or 0)
            earliest = start if row.catching_up_from is None else min(start, row.catching_up_from)
            here = webhooks.c.id == webhook_id
            change.execute(update(webhooks).where(here).values(catching_up_from=earliest))
            change.record("webhook.replayed", f"webhook/{webhook_id}", position=start)
        return start

    def replay_delivery(self, actor: Actor, delivery_id: str) -> Delivery:
        """Send one delivery again, under the id it has. Raises NotFound; Conflict while it waits anyway."""
        with self._records.change(actor, MANAGE) as change:
            found = delivery_of(delivery_row(change.connection, change.workspace, delivery_id))
            if found.status is DeliveryStatus.PENDING:
                raise Conflict(f"Delivery {delivery_id} has not been made yet; it will be tried by itself.")
            if not found.body:
                raise Conflict(
                    f"Delivery {delivery_id} has no body: {found.problem}",
                    hint=f"Replay the webhook from journal position {found.position}, which makes it anew.",
                )
            again = {"status": DeliveryStatus.PENDING, "failures": 0, "queued": change.time, "due": change.time}
            change.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(**again, finished=None))
            change.record("webhook.replayed", f"webhook/{found.webhook_id}", delivery=delivery_id)
            return delivery_of(delivery_row(change.connection, change.workspace, delivery_id))

    def _format(self, name: str) -> EventFormat:
        if name not in self._formats:
            raise InvalidInput.choice("webhook format", name, self._formats)
        return self._formats[name]

    def _checked_events(self, format_name: str, events: Sequence[str]) -> str:
        told_in = self._format(format_name)
        chosen = list(dict.fromkeys(told_in.check_subscription(each) for each in events))
        if not chosen:
            raise InvalidInput("Webhook events cannot be empty; name at least one.")
        if len(chosen) > MAX_EVENTS:
            raise LimitExceeded(f"A webhook has at most {MAX_EVENTS} events, not {len(chosen)}.")
        return json.dumps(chosen)

    def _sealed(self, secret: str, webhook_id: str) -> str | None:
        return self._vault.seal(check_secret(secret), webhook_id) if secret else None


def _check_fits(format_name: str, url: str) -> None:
    """Mail goes to addresses, and only mail does."""
    if is_mail(url) != (format_name == MAIL):
        raise InvalidInput(
            f"A webhook of format {format_name!r} cannot go to {url[:200]!r}: format {MAIL!r} and addresses belong together.",
            hint="Use --format email with mailto:name@example.com, and another format with an https URL.",
        )


def _locked(change: Change, webhook_id: str) -> AnyRow:
    """The webhook's row, which is the lock of everything that hangs on it. Raises NotFound."""
    change.execute(select_webhook(change.workspace, webhook_id).with_for_update())
    return webhook_row(change.connection, change.workspace, webhook_id)


def _check_room(change: Change) -> None:
    mine = select(func.count()).select_from(webhooks).where(webhooks.c.workspace == change.workspace)
    if change.execute(mine).scalar_one() >= MAX_WEBHOOKS:
        raise LimitExceeded(f"A workspace has at most {MAX_WEBHOOKS} webhooks; delete one that is not needed.")


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal keeps of a webhook: of its URL only the host, for many receivers put a secret into the path."""
    told = {name: values[name] for name in ("name", "format", "status") if name in values}
    if "url" in values:
        told["host"] = urlsplit(values["url"]).hostname
    if "events" in values:
        told["events"] = json.loads(values["events"])
    return told


def _position_at(connection: Connection, time: int) -> int:
    """The place of the first entry at or after a time; past the end where there is none yet."""
    first = connection.scalar(select(func.min(entries.c.leaf_index)).where(PLACED, entries.c.time >= time))
    if first is not None:
        return int(first)
    return int(connection.scalar(select(func.coalesce(func.max(entries.c.leaf_index) + 1, 0)).where(PLACED)) or 0)


def _page(limit: int) -> int:
    return max(0, min(limit, MAX_PAGE))
