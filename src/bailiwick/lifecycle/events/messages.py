"""Alarms in words, for people: as mail, and for chats that take Slack's `{"text": …}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from bailiwick.core.clock import to_text
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.signing import standard_headers
from bailiwick.store.journal.model import Entry
from bailiwick.webhooks.ports import Announcement

EVERYTHING = "*"
ACTIONS = ("alarm.raised", "snapshot.accepted")
LONGEST = 100
"""An event's name is kept in so many characters; of longer ones that begin alike, a receiver of one is told of all."""
_SUBSCRIPTION = re.compile(r"(alarm\.raised|snapshot\.accepted)(/(dataset|endpoint)/[^/\s]{1,250})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def event_of(action: str, kind: str, name: str) -> str:
    """The event that a receiver subscribes to: `alarm.raised/dataset/flights`."""
    return f"{action}/{kind}/{name}"[:LONGEST]


Words = Callable[[str, str, str], str]
"""The body of a title, a text, and where and when it was."""


class _Messages:
    """Which entries are told, and to whom."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def check_subscription(self, subscription: str) -> str:
        """`*`, an action, or an action about one dataset or endpoint."""
        if subscription != EVERYTHING and not _SUBSCRIPTION.fullmatch(subscription):
            raise InvalidInput(
                f"Event {subscription[:200]!r} is not understood.",
                hint=f"Use '*', one of {', '.join(ACTIONS)}, or e.g. 'alarm.raised/dataset/flights'.",
            )
        return subscription[:LONGEST]

    def matches(self, subscription: str, event: str) -> bool:
        """Whether the event is that one, or under it."""
        return subscription in {EVERYTHING, event, event.partition("/")[0]}

    def announce(self, entry: Entry) -> list[Announcement]:
        """One for an alarm that is raised and for a snapshot that is accepted."""
        if entry.action not in ACTIONS:
            return []
        detail: Mapping[str, Any] = entry.detail
        if entry.action == "snapshot.accepted":
            dataset = entry.resource.partition("/")[2]
            title = f"Accepted: snapshot {detail['snapshot']} of dataset {dataset}"
            text = f"{entry.actor} accepts it in spite of its alarms: {detail['reason']}"
            return [self._told(event_of(entry.action, "dataset", dataset), title, text, entry)]
        what = str(detail["kind"]).replace("_", " ")
        if detail.get("dataset"):
            title = f"{str(detail['severity']).capitalize()}: {what}, dataset {detail['dataset']}"
            event = event_of(entry.action, "dataset", str(detail["dataset"]))
            return [self._told(event, title, f"{detail['message']}{_way_on(detail)}", entry)]
        event = event_of(entry.action, "endpoint", str(detail["endpoint"]))
        return [self._told(event, f"Alarm: {what}, endpoint {detail['endpoint']}", str(detail["message"]), entry)]

    def example(self, subscription: str, workspace: str, time: int) -> Announcement:
        """A message that says that it is a test."""
        self.check_subscription(subscription)
        text = "This is a test of a webhook. Nothing has happened."
        return Announcement("example.sent", self._words("Test", text, f"Workspace {workspace}, {to_text(time)}."))

    def _told(self, event: str, title: str, text: str, entry: Entry) -> Announcement:
        where = f"Workspace {entry.workspace}, {to_text(entry.time)}, {entry.resource}."
        return Announcement(event, self._words(_CONTROL.sub(" ", title), text, where))


class MailFormat(_Messages):
    """Plain text, whose first line is the subject. Webhooks of this format are `mailto:` addresses."""

    name = "email"
    content_type = "text/plain; charset=utf-8"

    def __init__(self) -> None:
        super().__init__(lambda title, text, where: f"{title}\n\n{text}\n\n{where}\n")

    def headers(self, *, delivery: str, time: int, body: bytes, secret: str) -> Mapping[str, str]:
        """Subject, date, and an id that stays when a message is sent again. Mail is not signed."""
        del secret
        moment = datetime.fromtimestamp(time / 1000, UTC)
        subject = body.partition(b"\n")[0].decode()
        return {
            "Subject": f"[bailiwick] {subject}"[:300],
            "Date": format_datetime(moment),
            "Message-ID": f"<{delivery}@bailiwick>",
            "Auto-Submitted": "auto-generated",
        }


class ChatFormat(_Messages):
    """`{"text": …}` as Slack's incoming webhooks take it, and those of Mattermost, Rocket.Chat and Google Chat."""

    name = "slack"
    content_type = "application/json; charset=utf-8"

    def __init__(self) -> None:
        super().__init__(_chat)

    def headers(self, *, delivery: str, time: int, body: bytes, secret: str) -> Mapping[str, str]:
        """Those of Standard Webhooks, which chats ignore."""
        return standard_headers(delivery=delivery, time=time, body=body, secret=secret)


def _chat(title: str, text: str, where: str) -> str:
    return json.dumps({"text": f"*{_plain(title)}*\n{_plain(text)}\n_{_plain(where)}_"}, ensure_ascii=False)


def _plain(text: str) -> str:
    """Nothing in a name becomes a link, a mention or a call of the whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _way_on(detail: Mapping[str, Any]) -> str:
    if detail["severity"] != "ERROR" or not detail["snapshot"]:
        return ""
    return (
        "\nNothing is trained on this snapshot until it is accepted: "
        f"bailiwick data accept {detail['snapshot']} --reason '…'"
    )
