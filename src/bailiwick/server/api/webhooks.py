"""Webhooks and what was sent to them. Secrets go in and never come out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from bailiwick.server.api.route import Call, Nothing
from bailiwick.webhooks.model import Answer, Attempt, Delivery, Webhook

Limit = Annotated[int, Meta(ge=1, le=1000)]
Text = Annotated[str, Meta(max_length=5000)]
Secret = Annotated[str, Meta(max_length=1000)]
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Events = Annotated[list[str], Meta(max_length=100)]


class WebhooksQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One page: at most `limit`, those before the webhook `before`."""

    limit: Limit = 100
    before: str | None = None


class Webhooks(Struct, frozen=True):
    """Webhooks, newest first; `next` is the `before` of the next page, or null at the end."""

    items: list[Webhook]
    next: str | None


class NewWebhook(Struct, frozen=True, forbid_unknown_fields=True):
    """A URL that is told of events in one format: `mlflow`, `cloudevents`, `openlineage`, `slack`, or `email` to a `mailto:` address."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    url: Url
    events: Events
    format: Annotated[str, Meta(max_length=40)] = "cloudevents"
    secret: Secret = ""
    description: Text = ""


class ChangeWebhook(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed; an empty secret ends the signing, ACTIVE forgives earlier failures."""

    name: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    url: Url | None = None
    events: Events | None = None
    secret: Secret | None = None
    description: Text | None = None
    status: Annotated[str, Meta(max_length=20)] | None = None


class TestWebhook(Struct, frozen=True, forbid_unknown_fields=True):
    """An event of the webhook's format; the first it is told of where none is named."""

    event: Annotated[str, Meta(max_length=200)] | None = None


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """From a time (UTC milliseconds), or from a journal position on."""

    since: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None
    position: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None


class ReplayedFrom(Struct, frozen=True):
    """The journal position from which everything is told again."""

    position: int


class DeliveriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One page, of all states or of one: PENDING, DELIVERED, FAILED."""

    limit: Limit = 50
    before: str | None = None
    status: str | None = None


class Deliveries(Struct, frozen=True):
    """Deliveries, newest first; `next` is the `before` of the next page, or null at the end."""

    items: list[Delivery]
    next: str | None


class DeliveryView(Struct, frozen=True):
    """A delivery and its newest attempts, newest first."""

    delivery: Delivery
    attempts: list[Attempt]


def webhooks(call: Call[WebhooksQuery, Nothing]) -> Webhooks:
    """Webhooks of the workspace."""
    asked = call.query
    found = call.platform.webhooks.webhooks(call.workspace, limit=asked.limit, before=asked.before)
    return Webhooks(found, found[-1].id if len(found) == asked.limit else None)


def webhook(call: Call[Nothing, Nothing]) -> Webhook:
    """One webhook."""
    return call.platform.webhooks.webhook(call.workspace, call.path["webhook"])


def create_webhook(call: Call[Nothing, NewWebhook]) -> Webhook:
    """It is told of what is journalled after this."""
    wanted = call.body
    return call.platform.webhooks.create(
        call.actor,
        wanted.name,
        url=wanted.url,
        events=wanted.events,
        format=wanted.format,
        secret=wanted.secret,
        description=wanted.description,
    )


def change_webhook(call: Call[Nothing, ChangeWebhook]) -> Webhook:
    """Change what is given."""
    wanted = call.body
    return call.platform.webhooks.update(
        call.actor,
        call.path["webhook"],
        name=wanted.name,
        url=wanted.url,
        events=wanted.events,
        secret=wanted.secret,
        description=wanted.description,
        status=wanted.status,
    )


def delete_webhook(call: Call[Nothing, Nothing]) -> Response:
    """Remove it with its secret and everything that waits for it."""
    call.platform.webhooks.delete(call.actor, call.path["webhook"])
    return Response(status_code=204)


def test_webhook(call: Call[Nothing, TestWebhook]) -> Answer:
    """Send an example now, and say what came back."""
    return call.platform.webhooks.test(call.actor, call.path["webhook"], event=call.body.event)


def replay_webhook(call: Call[Nothing, Replay]) -> ReplayedFrom:
    """Tell it again of everything from a time or position on."""
    wanted = call.body
    return ReplayedFrom(
        call.platform.webhooks.replay(call.actor, call.path["webhook"], since=wanted.since, position=wanted.position)
    )


def deliveries(call: Call[DeliveriesQuery, Nothing]) -> Deliveries:
    """What was and will be sent to a webhook."""
    asked = call.query
    found = call.platform.webhooks.deliveries(
        call.workspace, call.path["webhook"], limit=asked.limit, before=asked.before, status=asked.status
    )
    return Deliveries(found, found[-1].id if len(found) == asked.limit else None)


def delivery(call: Call[Nothing, Nothing]) -> DeliveryView:
    """One delivery with its body and attempts."""
    found, attempts = call.platform.webhooks.delivery(call.workspace, call.path["delivery"])
    return DeliveryView(found, attempts)


def replay_delivery(call: Call[Nothing, Nothing]) -> Delivery:
    """Send one delivery again, under the id it has."""
    return call.platform.webhooks.replay_delivery(call.actor, call.path["delivery"])
