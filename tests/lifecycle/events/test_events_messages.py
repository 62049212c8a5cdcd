"""Alarms in words: whom they reach, and that nothing in a name becomes more than a name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.messages import ChatFormat, MailFormat
from bailiwick.store.journal.model import Entry

TIME = 1_750_000_000_000


def entry(action: str, resource: str, **detail: Any) -> Entry:
    return Entry(1, "e" * 32, "default", TIME, "u-1", "ada", action, resource, detail, b"", 5)


RAISED = entry(
    "alarm.raised",
    "alarm/a1",
    endpoint="",
    dataset="flights",
    snapshot="s1",
    kind="data_schema",
    severity="ERROR",
    message="Snapshot s1 of flights: Column <!channel>\nis gone.",
)


def test_an_alarm_about_data_is_a_mail_with_the_way_on() -> None:
    [told] = MailFormat().announce(RAISED)
    assert told.event == "alarm.raised/dataset/flights"
    assert told.body == (
        "Error: data schema, dataset flights\n\n"
        "Snapshot s1 of flights: Column <!channel>\nis gone.\n"
        "Nothing is trained on this snapshot until it is accepted: bailiwick data accept s1 --reason '…'\n\n"
        "Workspace default, 2025-06-15T15:06:40.000Z, alarm/a1.\n"
    )
    headers = MailFormat().headers(delivery="d1", time=TIME, body=told.body.encode(), secret="")
    assert headers["Subject"] == "[bailiwick] Error: data schema, dataset flights"
    assert headers["Message-ID"] == "<d1@bailiwick>"


def test_nothing_in_a_chat_calls_the_whole_channel() -> None:
    [told] = ChatFormat().announce(RAISED)
    text = json.loads(told.body)["text"]
    assert "&lt;!channel&gt;" in text
    assert "<" not in text


def test_alarms_of_endpoints_and_acceptances_are_told_too() -> None:
    of_endpoint = entry("alarm.raised", "alarm/a", endpoint="late", kind="feature_drift", message="It moved.")
    [told] = MailFormat().announce(of_endpoint)
    assert (told.event, told.body.splitlines()[0]) == (
        "alarm.raised/endpoint/late",
        "Alarm: feature drift, endpoint late",
    )
    accepted = entry("snapshot.accepted", "dataset/flights", snapshot="s1", reason="known", alarms=[], kinds=[])
    [told] = MailFormat().announce(accepted)
    assert told.event == "snapshot.accepted/dataset/flights"
    assert "ada accepts it in spite of its alarms: known" in told.body
    assert MailFormat().announce(entry("run.started", "run/1")) == []


def test_a_subscription_is_of_all_of_an_action_or_of_one_subject() -> None:
    form, event = ChatFormat(), "alarm.raised/dataset/flights"
    assert all(form.matches(each, event) for each in ("*", "alarm.raised", event))
    assert not any(form.matches(each, event) for each in ("snapshot.accepted", "alarm.raised/dataset/flight"))
    long = f"alarm.raised/dataset/{'x' * 150}"
    [told] = form.announce(entry("alarm.raised", "alarm/a", **{**RAISED.detail, "dataset": "x" * 150}))
    assert form.matches(form.check_subscription(long), told.event)
    assert len(told.event) == 100
    for wrong in ("alias.set", "alarm.raised/flights", "alarm.*", ""):
        with pytest.raises(InvalidInput):
            form.check_subscription(wrong)
    assert "This is a test" in form.example("*", "default", TIME).body
