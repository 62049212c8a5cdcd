"""What can be done with webhooks and workspaces from their pages."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.actor import Permission
from bailiwick.server.ui import links
from bailiwick.server.ui.fields import number, text
from bailiwick.server.ui.page import Form, Visit
from bailiwick.webhooks.model import MAX_DESCRIPTION_LENGTH, MAX_SECRET_LENGTH, WebhookStatus

WEBHOOKS, WORKSPACES = Permission.WEBHOOKS_MANAGE, Permission.WORKSPACES_MANAGE
MAX_ROOT = 2_048


def create(visit: Visit, fields: Mapping[str, str]) -> str:
    """Make a webhook."""
    made = visit.platform.webhooks.create(
        visit.actor,
        text(fields, "name"),
        url=text(fields, "url"),
        events=_events(fields),
        format=text(fields, "format"),
        secret=text(fields, "secret", most=MAX_SECRET_LENGTH),
        description=text(fields, "description", most=MAX_DESCRIPTION_LENGTH),
    )
    return f"{links.webhook(made.id)}?done=made"


def change(visit: Visit, fields: Mapping[str, str]) -> str:
    """Change a webhook; its secret stays as it is unless another is given, or it is to be forgotten."""
    secret = text(fields, "secret", most=MAX_SECRET_LENGTH)
    changed = visit.platform.webhooks.update(
        visit.actor,
        visit.path["webhook"],
        name=text(fields, "name"),
        url=text(fields, "url"),
        events=_events(fields),
        secret="" if fields.get("unsigned") == "1" else secret or None,
        description=text(fields, "description", most=MAX_DESCRIPTION_LENGTH),
    )
    return f"{links.webhook(changed.id)}?done=changed"


def delete(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Remove a webhook with all that waits for it."""
    visit.platform.webhooks.delete(visit.actor, visit.path["webhook"])
    return "/webhooks?done=gone"


def try_it(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Send a webhook an example."""
    answer = visit.platform.webhooks.test(visit.actor, visit.path["webhook"])
    return f"{links.webhook(visit.path['webhook'])}?done={'taken' if answer.succeeded else 'not-taken'}"


def enable(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Let a webhook be told again."""
    return f"{links.webhook(_set_status(visit, WebhookStatus.ACTIVE))}?done=enabled"


def disable(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Let a webhook be told nothing."""
    return f"{links.webhook(_set_status(visit, WebhookStatus.DISABLED))}?done=disabled"


def replay(visit: Visit, fields: Mapping[str, str]) -> str:
    """Tell a webhook again of everything from a journal position on."""
    visit.platform.webhooks.replay(visit.actor, visit.path["webhook"], position=number(fields, "position"))
    return f"{links.webhook(visit.path['webhook'])}?done=replaying"


def replay_delivery(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Send one delivery again."""
    again = visit.platform.webhooks.replay_delivery(visit.actor, visit.path["delivery"])
    return f"{links.delivery(again.webhook_id, again.id)}?done=sent-again"


def create_workspace(visit: Visit, fields: Mapping[str, str]) -> str:
    """Make a workspace."""
    made = visit.platform.workspaces.create(
        visit.actor,
        text(fields, "name"),
        description=text(fields, "description", most=MAX_DESCRIPTION_LENGTH),
        artifact_root=text(fields, "artifact_root", most=MAX_ROOT),
    )
    return f"/workspaces?done=made#workspace-{made.name}"


def change_workspace(visit: Visit, fields: Mapping[str, str]) -> str:
    """Describe a workspace, or have new experiments of it keep their artifacts elsewhere."""
    changed = visit.platform.workspaces.update(
        visit.actor,
        visit.path["workspace"],
        description=text(fields, "description", most=MAX_DESCRIPTION_LENGTH),
        artifact_root=text(fields, "artifact_root", most=MAX_ROOT),
    )
    return f"/workspaces?done=changed#workspace-{changed.name}"


def delete_workspace(visit: Visit, _fields: Mapping[str, str]) -> str:
    """Remove an empty workspace."""
    visit.platform.workspaces.delete(visit.actor, visit.path["workspace"])
    return "/workspaces?done=gone"


def _events(fields: Mapping[str, str]) -> list[str]:
    return text(fields, "events", required="Name at least one event, such as alias.*").replace(",", " ").split()


def _set_status(visit: Visit, status: str) -> str:
    return visit.platform.webhooks.update(visit.actor, visit.path["webhook"], status=status).id


FORMS = (
    Form("/webhooks", WEBHOOKS, create),
    Form("/webhooks/{webhook}", WEBHOOKS, change),
    Form("/webhooks/{webhook}/delete", WEBHOOKS, delete),
    Form("/webhooks/{webhook}/test", WEBHOOKS, try_it),
    Form("/webhooks/{webhook}/enable", WEBHOOKS, enable),
    Form("/webhooks/{webhook}/disable", WEBHOOKS, disable),
    Form("/webhooks/{webhook}/replay", WEBHOOKS, replay),
    Form("/webhooks/{webhook}/{delivery}/replay", WEBHOOKS, replay_delivery),
    Form("/workspaces", WORKSPACES, create_workspace),
    Form("/workspaces/{workspace}", WORKSPACES, change_workspace),
    Form("/workspaces/{workspace}/delete", WORKSPACES, delete_workspace),
)
