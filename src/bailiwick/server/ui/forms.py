"""What can be done from a page: one verb each, then back to where its effect shows."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.actor import Permission
from bailiwick.server.ui import links, registry_forms, webhook_forms
from bailiwick.server.ui.fields import text
from bailiwick.server.ui.page import Form, Visit


def approve(visit: Visit, fields: Mapping[str, str]) -> str:
    """Approve a request, from the version's page or the list."""
    request = visit.platform.governance.approve(visit.actor, visit.path["request"], text(fields, "comment"))
    return f"{links.version(request.model, request.number)}?done=approved"


def reject(visit: Visit, fields: Mapping[str, str]) -> str:
    """Reject a request; the author must learn why."""
    comment = text(fields, "comment", required="Say why it is rejected; its author will read it.")
    request = visit.platform.governance.reject(visit.actor, visit.path["request"], comment)
    return f"{links.version(request.model, request.number)}?done=rejected"


def acknowledge(visit: Visit, fields: Mapping[str, str]) -> str:
    """Acknowledge an alarm."""
    alarm = visit.platform.monitors.acknowledge(visit.actor, visit.path["alarm"], text(fields, "note"))
    page = links.monitor(alarm.endpoint) if alarm.endpoint else "/monitor"
    return f"{page}?done=acknowledged#alarms"


def abort(visit: Visit, fields: Mapping[str, str]) -> str:
    """Abort a rollout."""
    reason = text(fields, "reason", required="Say why the rollout is aborted; the journal keeps it.")
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


def delete_run(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Hide a run."""
    return f"{links.run(visit.platform.tracking.delete_run(visit.actor, visit.path['run']).id)}?done=deleted"


def restore_run(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Show a run again."""
    return f"{links.run(visit.platform.tracking.restore_run(visit.actor, visit.path['run']).id)}?done=restored"


def delete_experiment(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Hide an experiment and its runs."""
    found = visit.platform.tracking.delete_experiment(visit.actor, visit.path["experiment"])
    return f"{links.experiment(found.id)}?done=deleted"


def restore_experiment(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Show an experiment and its runs again."""
    found = visit.platform.tracking.restore_experiment(visit.actor, visit.path["experiment"])
    return f"{links.experiment(found.id)}?done=restored"


def delete_logged_model(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Hide a logged model."""
    visit.platform.logged_models.delete(visit.actor, visit.path["logged_model"])
    return f"{links.logged_model(visit.path['logged_model'])}?done=hidden"


FORMS = (
    Form("/approvals/{request}/approve", Permission.MODELS_APPROVE, approve),
    Form("/approvals/{request}/reject", Permission.MODELS_APPROVE, reject),
    Form("/models/{model}/versions/{number}/card", Permission.MODELS_WRITE, state),
    *registry_forms.FORMS,
    Form("/alarms/{alarm}/acknowledge", Permission.MONITORS_WRITE, acknowledge),
    Form("/rollouts/{rollout}/abort", Permission.ENDPOINTS_DEPLOY, abort),
    Form("/pipelines/{run}/cancel", Permission.PIPELINES_RUN, cancel),
    Form("/pipelines/{run}/resume", Permission.PIPELINES_RUN, resume),
    Form("/runs/{run}/delete", Permission.TRACKING_WRITE, delete_run),
    Form("/runs/{run}/restore", Permission.TRACKING_WRITE, restore_run),
    Form("/experiments/{experiment}/delete", Permission.TRACKING_WRITE, delete_experiment),
    Form("/experiments/{experiment}/restore", Permission.TRACKING_WRITE, restore_experiment),
    Form("/logged-models/{logged_model}/delete", Permission.TRACKING_WRITE, delete_logged_model),
    *webhook_forms.FORMS,
)
