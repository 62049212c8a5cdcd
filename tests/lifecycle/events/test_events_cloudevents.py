"""CloudEvents: every entry as one event, in the specification's form, signed as Standard Webhooks has it."""

from __future__ import annotations

import json

import pytest
from tests.lifecycle.events.conftest import TIME, entry

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.events.cloudevents import CloudEventsFormat
from tests_support.source import ROOT

FORMAT = CloudEventsFormat()


def test_an_entry_is_told_as_it_is() -> None:
    (told,) = FORMAT.announce(entry("stage.set", "stage/late/Production", number=3, previous="Staging"))
    golden = json.loads((ROOT / "tests/golden/events/cloudevent.json").read_text(encoding="utf-8"))
    assert told.event == "stage.set"
    assert json.loads(told.body) == golden


@pytest.mark.parametrize(
    ("subscription", "event", "expected"),
    [
        ("*", "alias.set", True),
        ("alias.*", "alias.set", True),
        ("alias.set", "alias.set", True),
        ("alias.set", "alias.removed", False),
        ("alias.*", "model.created", False),
        ("dev.bailiwick.alias.*", "alias.removed", True),
    ],
)
def test_a_subscription_is_to_everything_a_noun_or_an_action(subscription: str, event: str, expected: bool) -> None:
    assert FORMAT.matches(FORMAT.check_subscription(subscription), event) is expected


@pytest.mark.parametrize("subscription", ["", "alias", "*.set", "alias.set.x", "ALIAS.SET", "alias.", "a b.c", "a.*x"])
def test_a_subscription_that_nothing_could_match_is_refused(subscription: str) -> None:
    with pytest.raises(InvalidInput, match=r"'\*' for everything"):
        FORMAT.check_subscription(subscription)


@pytest.mark.parametrize(
    ("subscription", "kind"), [("*", "example.sent"), ("run.*", "run.example"), ("run.ended", "run.ended")]
)
def test_an_example_has_the_type_that_is_subscribed_to(subscription: str, kind: str) -> None:
    told = FORMAT.example(subscription, "team-a", TIME)
    event = json.loads(told.body)
    assert (event["type"], event["source"]) == (f"dev.bailiwick.{kind}", "/workspaces/team-a")
    assert FORMAT.matches(FORMAT.check_subscription(subscription), told.event) or subscription == "*"


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of standardwebhooks.com."""
    headers = FORMAT.headers(
        delivery="msg_p5jXN8AQM9LWM0D4loKWxJek",
        time=1_614_265_330_000,
        body=b'{"test": 2432232314}',
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_that_is_no_key_in_base64_is_the_key_itself() -> None:
    plain = FORMAT.headers(delivery="d", time=TIME, body=b"", secret="whsec_not base64!")
    assert plain["webhook-signature"].startswith("v1,")
    assert plain != FORMAT.headers(delivery="d", time=TIME, body=b"", secret="other")
    assert "webhook-signature" not in FORMAT.headers(delivery="d", time=TIME, body=b"", secret="")
