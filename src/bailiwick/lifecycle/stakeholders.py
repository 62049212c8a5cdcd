"""Who a project names to be told of alarms about its data, as webhooks that tell them of nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import InvalidInput, NotAllowed
from bailiwick.lifecycle.events.messages import ACTIONS, event_of
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.sections import Stakeholder
from bailiwick.webhooks.mail import SCHEME
from bailiwick.webhooks.model import Webhook
from bailiwick.webhooks.service import MAX_WEBHOOKS

_OURS = "data-alarms."
_OTHERS = re.compile(r"[^a-z0-9]+")


def keep_stakeholders(platform: Platform, actor: Actor, project: Project) -> None:
    """Make, change and remove webhooks until they are those that `data.stakeholders` declares; repeated, it does nothing.

    Raises NotAllowed where something must change and `actor` may not manage webhooks, InvalidInput for an address that
    cannot be used and for a webhook that there is not.
    """
    known = platform.webhooks.webhooks(actor.workspace, limit=MAX_WEBHOOKS)
    mine = {each.name: each for each in known if each.name.startswith(_prefix(project.name))}
    names = {each.name for each in known}
    wanted: dict[str, Stakeholder] = {}
    for each in project.data.stakeholders:
        if not each.webhook:
            wanted[_name(project.name, each.name)] = each
        elif each.webhook not in names:
            raise InvalidInput.choice(f"data.stakeholders: webhook of {each.name!r}", each.webhook, names)
    try:
        _settle(platform, actor, project, mine, wanted)
    except NotAllowed as error:
        raise NotAllowed(
            f"data.stakeholders of project {project.name!r} have changed, and {error.message}", hint=error.hint
        ) from error


def told(project: Project | None) -> tuple[str, ...]:
    """Names and addresses of the stakeholders, for people."""
    return () if project is None else tuple(each.label for each in project.data.stakeholders)


def _settle(
    platform: Platform,
    actor: Actor,
    project: Project,
    mine: Mapping[str, Webhook],
    wanted: Mapping[str, Stakeholder],
) -> None:
    events = tuple(event_of(action, "dataset", project.name) for action in ACTIONS)
    for name, webhook in mine.items():
        if name not in wanted:
            platform.webhooks.delete(actor, webhook.id)
    for name, each in wanted.items():
        url = f"{SCHEME}{each.email}" if each.email else each.slack
        form = "email" if each.email else "slack"
        known = mine.get(name)
        if known is not None and known.format != form:
            platform.webhooks.delete(actor, known.id)
            known = None
        if known is None:
            platform.webhooks.create(actor, name, url=url, events=events, format=form, description=each.label)
        elif (known.url, known.events, known.description) != (url, events, each.label):
            platform.webhooks.update(actor, known.id, url=url, events=events, description=each.label)


def _prefix(project: str) -> str:
    return f"{_OURS}{_slug(project)}.{digest_of(project)[:6]}."


def _name(project: str, name: str) -> str:
    """At most 63 characters, and no two stakeholders' are the same."""
    return f"{_prefix(project)}{_slug(name)[:16]}.{digest_of(name)[:6]}"


def _slug(text: str) -> str:
    return _OTHERS.sub("-", text.lower()).strip("-")[:16] or "x"
