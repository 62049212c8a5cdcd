"""CloudEvents 1.0 in structured JSON: every journal entry, as it is. https://github.com/cloudevents/spec"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bailiwick.core.clock import to_text
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.signing import standard_headers
from bailiwick.store.journal.model import Entry
from bailiwick.webhooks.ports import Announcement

PREFIX = "dev.bailiwick."
EVERYTHING = "*"
_SUBSCRIPTION = re.compile(r"[a-z][a-z0-9_]*\.(?:\*|[a-z][a-z0-9_]*)")


class CloudEventsFormat:
    """Type `dev.bailiwick.NOUN.VERB`. Subscriptions are `*`, `NOUN.*` or `NOUN.VERB`, with or without the prefix."""

    name = "cloudevents"
    content_type = "application/cloudevents+json; charset=utf-8"

    def check_subscription(self, subscription: str) -> str:
        """Without the prefix."""
        wanted = subscription.removeprefix(PREFIX)
        if wanted != EVERYTHING and not _SUBSCRIPTION.fullmatch(wanted):
            raise InvalidInput(
                f"Event {subscription[:200]!r} is not understood.",
                hint="Use a journal action such as 'alias.set', all of a noun as 'alias.*', or '*' for everything.",
            )
        return wanted

    def matches(self, subscription: str, event: str) -> bool:
        """Whether the action is the one, or of the noun, that is subscribed to."""
        return subscription in {EVERYTHING, event, f"{event.partition('.')[0]}.*"}

    def announce(self, entry: Entry) -> list[Announcement]:
        """One for each entry."""
        position = {"journalposition": str(entry.leaf_index)}
        told = _event(entry.id, entry.workspace, entry.time, entry.action, subject=entry.resource)
        data = {
            "action": entry.action,
            "resource": entry.resource,
            "workspace": entry.workspace,
            "actor": entry.actor,
            "identity": entry.identity,
            "detail": entry.detail,
        }
        return [Announcement(entry.action, json.dumps({**told, **position, "data": data}))]

    def example(self, subscription: str, workspace: str, time: int) -> Announcement:
        """An entry that nobody has made: its subject is `example/example`."""
        wanted = self.check_subscription(subscription)
        action = "example.sent" if wanted == EVERYTHING else wanted.replace("*", "example")
        told = _event("0" * 32, workspace, time, action, subject="example/example")
        data: dict[str, Any] = {"action": action, "resource": "example/example", "workspace": workspace, "detail": {}}
        return Announcement(action, json.dumps({**told, "data": data}))

    def headers(self, *, delivery: str, time: int, body: bytes, secret: str) -> Mapping[str, str]:
        """Those of Standard Webhooks."""
        return standard_headers(delivery=delivery, time=time, body=body, secret=secret)


def _event(event_id: str, workspace: str, time: int, action: str, *, subject: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/workspaces/{quote(workspace)}",
        "type": PREFIX + action,
        "subject": subject,
        "time": to_text(time),
        "datacontenttype": "application/json",
    }
