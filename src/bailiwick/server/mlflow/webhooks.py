"""Webhooks as MLflow's clients manage them. They see those that tell in MLflow's format; others have events it has no words for."""

from __future__ import annotations

from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.core.paging import page_position, page_token
from bailiwick.server.mlflow.errors import INVALID, MISSING, MlflowError
from bailiwick.server.mlflow.message import Message
from bailiwick.server.mlflow.route import Empty, MlflowCall, MlflowRoute
from bailiwick.webhooks.model import Webhook

FORMAT = "mlflow"
DEFAULT_RESULTS = 100
MAX_RESULTS = 1_000
STATUSES = ("ACTIVE", "DISABLED")


class Event(Message):
    """An event as two enums."""

    required = ("entity", "action")
    entity: str | None = None
    action: str | None = None


class CreateWebhook(Message):
    """A webhook to make."""

    required = ("name", "url", "events")
    name: str | None = None
    url: str | None = None
    events: list[Event] | None = None
    description: str | None = None
    secret: str | None = None
    status: str | None = None


class ListWebhooks(Message):
    """A page of webhooks."""

    max_results: int | None = None
    page_token: str | None = None


class UpdateWebhook(Message):
    """What to change; the webhook is in the path."""

    name: str | None = None
    url: str | None = None
    events: list[Event] | None = None
    description: str | None = None
    secret: str | None = None
    status: str | None = None


class TestWebhook(Message):
    """Which event to send an example of."""

    event: Event | None = None


def create_webhook(call: MlflowCall[CreateWebhook]) -> dict[str, Any]:
    """A webhook that is told of what happens from now on."""
    wanted = call.message
    made = call.platform.webhooks.create(
        call.actor,
        wanted.name or "",
        url=wanted.url or "",
        events=_names(wanted.events or []),
        description=wanted.description or "",
        secret=wanted.secret or "",
        status=_status(wanted.status) or "ACTIVE",
    )
    return {"webhook": _webhook(made)}


def list_webhooks(call: MlflowCall[ListWebhooks]) -> dict[str, Any]:
    """The newest first."""
    limit = call.message.max_results or DEFAULT_RESULTS
    if not 1 <= limit <= MAX_RESULTS:
        raise MlflowError(INVALID, f"max_results must be between 1 and {MAX_RESULTS}.")
    token = call.message.page_token
    before = page_position(token, ["webhooks", call.workspace], (str,))[0] if token else None
    found = call.platform.webhooks.webhooks(call.workspace, limit=limit + 1, before=before, format=FORMAT)
    more = page_token([found[limit - 1].id], ["webhooks", call.workspace]) if len(found) > limit else None
    return {"webhooks": [_webhook(each) for each in found[:limit]], "next_page_token": more}


def get_webhook(call: MlflowCall[Empty]) -> dict[str, Any]:
    """One webhook, without its secret."""
    return {"webhook": _webhook(_found(call))}


def update_webhook(call: MlflowCall[UpdateWebhook]) -> dict[str, Any]:
    """Change what is given."""
    found, wanted = _found(call), call.message
    changed = call.platform.webhooks.update(
        call.actor,
        found.id,
        name=wanted.name or None,
        url=wanted.url or None,
        events=_names(wanted.events) if wanted.events else None,
        description=wanted.description,
        secret=wanted.secret,
        status=_status(wanted.status),
    )
    return {"webhook": _webhook(changed)}


def delete_webhook(call: MlflowCall[Empty]) -> dict[str, Any]:
    """Remove it and what waits for it."""
    call.platform.webhooks.delete(call.actor, _found(call).id)
    return {}


def test_webhook(call: MlflowCall[TestWebhook]) -> dict[str, Any]:
    """Send an example and tell what came back."""
    found, event = _found(call), call.message.event
    answer = call.platform.webhooks.test(call.actor, found.id, event=_name(event) if event else None)
    problem = f"Failed to test webhook: {answer.problem}" if answer.status is None else None
    succeeded = answer.status is not None and answer.status < 400
    told = {"success": succeeded, "response_status": answer.status, "response_body": answer.text or None}
    return {"result": {**told, "error_message": problem}}


def _found(call: MlflowCall[Any]) -> Webhook:
    webhook_id = call.path["webhook_id"]
    found = call.platform.webhooks.webhook(call.workspace, webhook_id)
    if found.format != FORMAT:
        raise MlflowError(MISSING, f"Webhook with ID {webhook_id} not found.")
    return found


def _names(events: list[Event]) -> list[str]:
    return [_name(event) for event in events]


def _name(event: Event) -> str:
    """`REGISTERED_MODEL`, `CREATED` as `registered_model.created`."""
    return f"{(event.entity or '').lower()}.{(event.action or '').lower()}"


def _status(status: str | None) -> str | None:
    if status is not None and status not in STATUSES:
        raise InvalidInput.choice("webhook status", status, STATUSES)
    return status


def _webhook(found: Webhook) -> dict[str, Any]:
    events = [event.partition(".") for event in found.events]
    return {
        "webhook_id": found.id,
        "name": found.name,
        "url": found.url,
        "events": [{"entity": entity.upper(), "action": action.upper()} for entity, _, action in events],
        "description": found.description or None,
        "status": found.status,
        "creation_timestamp": found.created,
        "last_updated_timestamp": found.updated,
    }


MANAGE = Permission.WEBHOOKS_MANAGE
ROUTES = (
    MlflowRoute("POST", "/mlflow/webhooks", CreateWebhook, MANAGE, create_webhook),
    MlflowRoute("GET", "/mlflow/webhooks", ListWebhooks, MANAGE, list_webhooks),
    MlflowRoute("GET", "/mlflow/webhooks/{webhook_id}", Empty, MANAGE, get_webhook),
    MlflowRoute("PATCH", "/mlflow/webhooks/{webhook_id}", UpdateWebhook, MANAGE, update_webhook),
    MlflowRoute("DELETE", "/mlflow/webhooks/{webhook_id}", Empty, MANAGE, delete_webhook),
    MlflowRoute("POST", "/mlflow/webhooks/{webhook_id}/test", TestWebhook, MANAGE, test_webhook),
)
