"""What can be done from a page: one verb each, then back to where its effect shows."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.actor import Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.server.ui import links
from bailiwick.server.ui.page import Form, Visit

MAX_TEXT = 2000


def _text(fields: Mapping[str, str], name: str, *, required: str = "") -> str:
    text = fields.get(name, "").strip()
    if required and not text:
        raise InvalidInput(required)
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"The {name} has {len(text)} characters; at most {MAX_TEXT} are kept.")
    return text


def approve(visit: Visit, fields: Mapping[str, str]) -> str:
    """Approve a request, from the version's page or the list."""
    request = visit.platform.governance.approve(visit.actor, visit.path["request"], _text(fields, "comment"))
    return f"{links.version(request.model, request.number)}?done=approved"


def reject(visit: Visit, fields: Mapping[str, str]) -> str:
    """Reject a request; the author must learn why."""
    comment = _text(fields, "comment", required="Say why it is rejected; its author will read it.")
    request = visit.platform.governance.reject(visit.actor, visit.path["request"], comment)
    return f"{links.version(request.model, request.number)}?done=rejected"


def acknowledge(visit: Visit, fields: Mapping[str, str]) -> str:
    """Acknowledge an alarm."""
    alarm = visit.platform.monitors.acknowledge(visit.actor, visit.path["alarm"], _text(fields, "note"))
    return f"{links.monitor(alarm.endpoint)}?done=acknowledged#alarms"


def abort(visit: Visit, fields: Mapping[str, str]) -> str:
    """Abort a rollout."""
    reason = _text(fields, "reason", required="Say why the rollout is aborted; the journal keeps it.")
    rollout = visit.platform.rollouts.abort(visit.actor, visit.path["rollout"], reason)
    return f"{links.rollout(rollout.id)}?done=aborted"


def cancel(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Cancel a pipeline run."""
    return f"{links.pipeline_run(visit.platform.pipelines.cancel(visit.actor, visit.path['run']).id)}?done=cancelled"


def resume(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Resume a pipeline run."""
    return f"{links.pipeline_run(visit.platform.pipelines.resume(visit.actor, visit.path['run']).id)}?done=resumed"


def state(visit: Visit, fields: Mapping[str, str]) -> str:
    """State something for a model card, or take it back."""
    model, number, field = visit.path["model"], visit.number("number"), fields.get("field", "")
    subject = number if fields.get("scope") == "version" else None
    back = links.card(model, number)
    if fields.get("act") == "withdraw":
        visit.platform.statements.withdraw(visit.actor, model, subject, field)
        return f"{back}?done=withdrawn"
    said = visit.platform.statements.state(visit.actor, model, subject, field, fields.get("text", ""))
    return f"{back}?done=stated#field-{said.field}"


def try_webhook(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Send a webhook an example."""
    answer = visit.platform.webhooks.test(visit.actor, visit.path["webhook"])
    return f"{links.webhook(visit.path['webhook'])}?done={'taken' if answer.succeeded else 'not-taken'}"


def enable_webhook(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Let a webhook be told again."""
    return f"{links.webhook(_set_status(visit, 'ACTIVE'))}?done=enabled"


def disable_webhook(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Let a webhook be told nothing."""
    return f"{links.webhook(_set_status(visit, 'DISABLED'))}?done=disabled"


def _set_status(visit: Visit, status: str) -> str:
    return visit.platform.webhooks.update(visit.actor, visit.path["webhook"], status=status).id


def replay_delivery(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Send one delivery again."""
    again = visit.platform.webhooks.replay_delivery(visit.actor, visit.path["delivery"])
    return f"{links.delivery(again.webhook_id, again.id)}?done=sent-again"


MANAGE_WEBHOOKS = Permission.WEBHOOKS_MANAGE
FORMS = (
    Form("/approvals/{request}/approve", Permission.MODELS_APPROVE, approve),
    Form("/approvals/{request}/reject", Permission.MODELS_APPROVE, reject),
    Form("/models/{model}/versions/{number}/card", Permission.MODELS_WRITE, state),
    Form("/alarms/{alarm}/acknowledge", Permission.MONITORS_WRITE, acknowledge),
    Form("/rollouts/{rollout}/abort", Permission.ENDPOINTS_DEPLOY, abort),
    Form("/pipelines/{run}/cancel", Permission.PIPELINES_RUN, cancel),
    Form("/pipelines/{run}/resume", Permission.PIPELINES_RUN, resume),
    Form("/webhooks/{webhook}/test", MANAGE_WEBHOOKS, try_webhook),
    Form("/webhooks/{webhook}/enable", MANAGE_WEBHOOKS, enable_webhook),
    Form("/webhooks/{webhook}/disable", MANAGE_WEBHOOKS, disable_webhook),
    Form("/webhooks/{webhook}/{delivery}/replay", MANAGE_WEBHOOKS, replay_delivery),
)
