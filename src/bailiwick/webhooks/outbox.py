"""From the journal to deliveries, exactly once; from deliveries to receivers, at least once.

`collect` moves a cursor over the journal's tree and adds the deliveries of what it passes in one transaction. Only
entries that have their place are read: their order never changes, and none can slip in behind the cursor. Everything
that is to be sent is a row before it is sent, under an id that stays.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission, system_actor
from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.errors import BailiwickError
from bailiwick.core.ids import new_id
from bailiwick.store import faults
from bailiwick.store.journal.finding import PLACED
from bailiwick.store.journal.model import Entry
from bailiwick.store.journal.sequencer import placed_entries
from bailiwick.store.journal.tables import checkpoints, entries
from bailiwick.store.records import Records
from bailiwick.webhooks.model import Answer, Delivery, DeliveryStatus, Webhook, WebhookStatus
from bailiwick.webhooks.ports import Announcement, EventFormat
from bailiwick.webhooks.rows import AnyRow, delivery_of, webhook_of
from bailiwick.webhooks.tables import attempts, cursors, deliveries, webhooks
from bailiwick.webhooks.vault import Vault

CURSOR = "webhooks"
BATCH = 500
FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 10 * 60_000
LONGEST_RETRY_AFTER_MS = 6 * 3_600_000
MAX_AGE_MS = 3 * MILLISECONDS_PER_DAY
DISABLE_AFTER_MS = 5 * MILLISECONDS_PER_DAY
KEEP_MS = 30 * MILLISECONDS_PER_DAY
PRUNE_ROWS = 1_000
GONE = 410

log = logging.getLogger("bailiwick.outbox")
Jitter = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A delivery whose turn it is, and where and how it goes."""

    webhook: Webhook
    delivery: Delivery
    sealed_secret: str | None


@dataclass(frozen=True, slots=True)
class _Listener:
    webhook: Webhook
    start: int
    """The place of the entry that made the webhook; it is told of what comes after."""


class Outbox:
    """The durable queue of every webhook. Many may collect and finish at once; sending in order needs one sender a webhook."""

    def __init__(
        self,
        records: Records,
        vault: Vault,
        formats: Iterable[EventFormat],
        *,
        jitter: Jitter = random.random,
    ) -> None:
        self._records = records
        self._database = records.database
        self._vault = vault
        self._formats = {each.name: each for each in formats}
        self._jitter = jitter

    def needed(self) -> bool:
        """Whether there is any webhook at all."""
        with self._database.read() as connection:
            return connection.execute(select(webhooks.c.id).limit(1)).first() is not None

    def collect(self) -> int:
        """Pass over the next journal entries; returns how many were passed. Repeating it after a crash changes nothing."""
        with self._database.read() as connection:
            size = connection.scalar(select(func.max(checkpoints.c.size))) or 0
            begun = connection.scalar(select(cursors.c.position).where(cursors.c.name == CURSOR))
            listeners = _listeners(connection, size)
        # Nobody is told of anything before the first of them was made.
        start = max(begun or 0, min((each.start + 1 for each in listeners), default=size))
        end = min(start + BATCH, size)
        if end <= start and begun is not None and begun >= start:
            return 0
        rows = self._deliveries(start, end, listeners)
        faults.reach("webhooks.collecting")
        if not self._advance(begun, max(start, end), rows):
            return 0
        faults.reach("webhooks.collected")
        return max(start, end) - (begun or 0)

    def catch_up(self) -> int:
        """Go on with the replays that were asked for, a batch each; returns how many entries were passed."""
        with self._database.read() as connection:
            end = connection.scalar(select(cursors.c.position).where(cursors.c.name == CURSOR)) or 0
            replaying = [webhook_of(row) for row in connection.execute(_replaying())]
        return sum(self._replay(webhook, end) for webhook in replaying)

    def heads(self) -> list[Outgoing]:
        """The first waiting delivery of each active webhook, where its time has come."""
        return self._outgoing(deliveries.c.due <= self._records.clock())

    def head(self, webhook_id: str) -> Outgoing | None:
        """The same for one webhook."""
        found = self._outgoing(webhooks.c.id == webhook_id, deliveries.c.due <= self._records.clock())
        return found[0] if found else None

    def request(self, outgoing: Outgoing) -> tuple[dict[str, str], bytes]:
        """Headers and body of an attempt made now. Raises Corrupted when the secret cannot be decrypted."""
        told_in = self._formats[outgoing.webhook.format]
        body = outgoing.delivery.body.encode()
        sealed = outgoing.sealed_secret
        secret = "" if sealed is None else self._vault.open(sealed, outgoing.webhook.id)
        time = self._records.clock()
        headers = told_in.headers(delivery=outgoing.delivery.id, time=time, body=body, secret=secret)
        return {"Content-Type": told_in.content_type, **headers}, body

    def finish(self, outgoing: Outgoing, answer: Answer) -> DeliveryStatus:
        """Keep what came of an attempt and say what is next; disables a webhook that has failed for too long."""
        now = self._records.clock()
        delivery, webhook = outgoing.delivery, outgoing.webhook
        after = self._after(delivery, answer, now)
        row = {
            "delivery_id": delivery.id,
            "number": delivery.attempts + 1,
            "time": now - answer.duration_ms,
            "duration_ms": answer.duration_ms,
            "response_status": answer.status,
            "response": answer.text,
            "problem": answer.problem,
        }
        # Another process may have made the same attempt while this one was out of reach; the first to say so counts.
        mine = and_(deliveries.c.id == delivery.id, deliveries.c.attempts == delivery.attempts)
        with self._database.write() as connection:
            taken = connection.execute(update(deliveries).where(mine).values(attempts=delivery.attempts + 1, **after))
            if not taken.rowcount:
                return after["status"]  # type: ignore[no-any-return]
            connection.execute(insert(attempts).values(row))
            _note_health(connection, webhook, now, succeeded=answer.succeeded)
        faults.reach("webhooks.finished")
        failing_since = webhook.failing_since if webhook.failing_since is not None else now
        if not answer.succeeded and (answer.status == GONE or now - failing_since >= DISABLE_AFTER_MS):
            self._disable(system_actor(webhook.workspace, "webhooks"), webhook, answer)
        return after["status"]  # type: ignore[no-any-return]

    def prune(self) -> int:
        """Remove deliveries that ended 30 days ago, with their attempts; a thousand at a time."""
        old = deliveries.c.finished < self._records.clock() - KEEP_MS
        with self._database.write() as connection:
            ids = connection.execute(select(deliveries.c.id).where(old).limit(PRUNE_ROWS)).scalars().all()
            if ids:
                connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(ids)))
                connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids)))
        return len(ids)

    def _deliveries(self, start: int, end: int, listeners: list[_Listener]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        if not listeners:
            return rows
        for batch in placed_entries(self._database, start, end):
            for entry in batch:
                rows += self._told_of(entry, [each.webhook for each in listeners if _hears(each, entry)])
        return rows

    def _told_of(self, entry: Entry, hearing: list[Webhook]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        announced: dict[str, tuple[list[Announcement], str]] = {}
        for webhook in hearing:
            told_in = self._formats.get(webhook.format)
            if told_in is None:
                continue
            if webhook.format not in announced:
                announced[webhook.format] = _announced(told_in, entry)
            made, problem = announced[webhook.format]
            rows += [
                self._row(webhook, entry, each, problem)
                for each in made
                if problem or any(told_in.matches(subscription, each.event) for subscription in webhook.events)
            ]
        return rows

    def _row(self, webhook: Webhook, entry: Entry, announcement: Announcement, problem: str) -> dict[str, Any]:
        now = self._records.clock()
        return {
            "id": new_id(),
            "workspace": webhook.workspace,
            "webhook_id": webhook.id,
            "position": entry.leaf_index,
            "entry": entry.id,
            "event": announcement.event,
            "body": announcement.body,
            "status": DeliveryStatus.FAILED if problem else DeliveryStatus.PENDING,
            "attempts": 0,
            "failures": 0,
            "created": now,
            "queued": now,
            "due": now,
            "finished": now if problem else None,
            "problem": problem,
        }

    def _advance(self, begun: int | None, position: int, rows: list[dict[str, Any]]) -> bool:
        """Whether the rows were added and the cursor moved; False when another process was faster or a webhook has gone."""
        try:
            with self._database.write() as connection:
                if begun is None:
                    connection.execute(insert(cursors).values(name=CURSOR, position=position))
                else:
                    here = (cursors.c.name == CURSOR, cursors.c.position == begun)
                    if not connection.execute(update(cursors).where(*here).values(position=position)).rowcount:
                        return False
                if rows:
                    connection.execute(insert(deliveries), rows)
        except IntegrityError:
            return False
        return True

    def _replay(self, webhook: Webhook, end: int) -> int:
        start = webhook.catching_up_from or 0
        stop = min(start + BATCH, end)
        rows = self._deliveries(start, stop, [_Listener(webhook, -1)]) if start < stop else []
        faults.reach("webhooks.replaying")
        here = (webhooks.c.id == webhook.id, webhooks.c.catching_up_from == webhook.catching_up_from)
        with self._database.write() as connection:
            following = None if stop >= end else stop
            if not connection.execute(update(webhooks).where(*here).values(catching_up_from=following)).rowcount:
                return 0
            for row in rows:
                _tell_again(connection, row)
        faults.reach("webhooks.replayed")
        return max(0, stop - start)

    def _outgoing(self, *conditions: Any) -> list[Outgoing]:
        waiting = deliveries.alias("waiting")
        first = (
            select(waiting.c.id)
            .where(waiting.c.webhook_id == webhooks.c.id, waiting.c.status == DeliveryStatus.PENDING)
            .order_by(waiting.c.position, waiting.c.id)
            .limit(1)
            .correlate(webhooks)
            .scalar_subquery()
        )
        query = (
            select(webhooks, deliveries.c.id.label("delivery_id"))
            .select_from(webhooks)
            .join(deliveries, deliveries.c.id == first)
            .where(webhooks.c.status == WebhookStatus.ACTIVE, *conditions)
            .order_by(deliveries.c.due)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            ids = [row.delivery_id for row in rows]
            chosen = select(deliveries).where(deliveries.c.id.in_(ids))
            found = {row.id: delivery_of(row) for row in connection.execute(chosen)} if ids else {}
        return [Outgoing(webhook_of(row), found[row.delivery_id], row.secret) for row in rows]

    def _after(self, delivery: Delivery, answer: Answer, now: int) -> dict[str, Any]:
        """What an attempt makes of a delivery: done, given up, or waiting for the next one."""
        said = {"response_status": answer.status, "problem": _in_words(answer)}
        if answer.succeeded:
            return {
                "status": DeliveryStatus.DELIVERED,
                "finished": now,
                "response_status": answer.status,
                "problem": "",
            }
        if not _may_succeed_later(answer) or now - delivery.queued >= MAX_AGE_MS:
            return {"status": DeliveryStatus.FAILED, "finished": now, **said}
        failures = delivery.failures + 1
        due = now + self._wait(failures, answer)
        return {"status": DeliveryStatus.PENDING, "due": due, "failures": failures, **said}

    def _wait(self, failures: int, answer: Answer) -> int:
        """Doubling from a second to ten minutes, a fifth more or less by chance, and no less than the receiver asked for."""
        doubled = min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(failures - 1, 20))
        asked = min(answer.retry_after_ms or 0, LONGEST_RETRY_AFTER_MS)
        return max(round(doubled * (0.8 + 0.4 * self._jitter())), asked)

    def _disable(self, actor: Actor, webhook: Webhook, answer: Answer) -> None:
        since = webhook.failing_since
        reason = (
            "the receiver says that it is gone (410)" if answer.status == GONE else "every attempt failed for 5 days"
        )
        problem = f"Disabled: {reason}. Last: {_in_words(answer)}"
        with self._records.change(actor, Permission.WEBHOOKS_MANAGE) as change:
            disabled = {"status": WebhookStatus.DISABLED, "problem": problem, "updated": change.time}
            change.execute(update(webhooks).where(webhooks.c.id == webhook.id).values(**disabled))
            change.record("webhook.disabled", f"webhook/{webhook.id}", name=webhook.name, why=problem, since=since)


def _listeners(connection: Connection, size: int) -> list[_Listener]:
    """Active webhooks and where each begins; one whose entry has no place yet begins behind everything that has."""
    query: Select[Any] = (
        select(webhooks, entries.c.leaf_index)
        .join(entries, and_(entries.c.id == webhooks.c.created_entry, PLACED), isouter=True)
        .where(webhooks.c.status == WebhookStatus.ACTIVE)
    )
    rows: Iterable[AnyRow] = connection.execute(query)
    return [_Listener(webhook_of(row), size if row.leaf_index is None else row.leaf_index) for row in rows]


def _hears(listener: _Listener, entry: Entry) -> bool:
    assert entry.leaf_index is not None
    return listener.webhook.workspace == entry.workspace and entry.leaf_index > listener.start


def _announced(told_in: EventFormat, entry: Entry) -> tuple[list[Announcement], str]:
    """What an entry is told as. One that cannot be told is kept as a failed delivery: seen, and to be replayed when it can."""
    try:
        return list(told_in.announce(entry)), ""
    except BailiwickError as error:
        problem = str(error)
    except Exception as error:  # one entry that a format stumbles over must not stop the events behind it
        log.exception("entry %s cannot be told as %s", entry.id, told_in.name)
        problem = f"{type(error).__name__}: {error}"
    return [Announcement(entry.action, "")], f"It could not be made: {problem[:1_000]}"


def _replaying() -> Select[Any]:
    active = webhooks.c.status == WebhookStatus.ACTIVE
    return select(webhooks).where(webhooks.c.catching_up_from.is_not(None), active)


def _tell_again(connection: Connection, row: Mapping[str, Any]) -> None:
    """Queue the delivery that there is, under its old id and with the body made now, or the new one."""
    same = and_(
        deliveries.c.webhook_id == row["webhook_id"],
        deliveries.c.position == row["position"],
        deliveries.c.event == row["event"],
    )
    again = {name: row[name] for name in ("body", "status", "failures", "queued", "due", "finished", "problem")}
    ended = or_(deliveries.c.status != DeliveryStatus.PENDING, deliveries.c.body != row["body"])
    if connection.execute(update(deliveries).where(same, ended).values(**again)).rowcount:
        return
    if not connection.execute(select(exists().where(same))).scalar():
        connection.execute(insert(deliveries).values(**row))


def _note_health(connection: Connection, webhook: Webhook, now: int, *, succeeded: bool) -> None:
    if succeeded and webhook.failing_since is not None:
        connection.execute(update(webhooks).where(webhooks.c.id == webhook.id).values(failing_since=None))
    if not succeeded and webhook.failing_since is None:
        connection.execute(update(webhooks).where(webhooks.c.id == webhook.id).values(failing_since=now))


def _may_succeed_later(answer: Answer) -> bool:
    """Nothing came back, or the receiver said that it is busy or broken; what it refuses once it refuses again."""
    return answer.status is None or answer.status in {408, 425, 429} or answer.status >= 500


def _in_words(answer: Answer) -> str:
    if answer.status is None or answer.problem:
        return answer.problem
    if 300 <= answer.status < 400:
        return f"The receiver answered {answer.status}; redirects are not followed."
    return f"The receiver answered {answer.status}."
