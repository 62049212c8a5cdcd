"""The verbs of webhooks: who may, what is refused, what is kept and what is never shown."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from tests.webhooks.conftest import URL, Post

from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError, Conflict, Corrupted, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.store.journal.reader import JournalReader
from bailiwick.webhooks import service as service_module
from bailiwick.webhooks.model import Answer, Webhook, WebhookStatus
from bailiwick.webhooks.tables import webhooks
from tests_support.receiver import OK, answers, receiving, status

REFUSED = Answer(400, "bad")


def test_a_webhook_is_made_changed_listed_and_deleted(post: Post, admin: Actor) -> None:
    made = post.service.create(
        admin, "team.one", url=URL, events=["alias.set", "alias.set", "run.*"], format="cloudevents", description="d"
    )
    assert (made.events, made.status, made.signed) == (("alias.set", "run.*"), WebhookStatus.ACTIVE, False)
    changed = post.service.update(admin, made.id, name="two", status="DISABLED", events=["*"], secret="s" * 20)
    assert (changed.name, changed.status, changed.events, changed.signed) == ("two", "DISABLED", ("*",), True)
    assert (changed.url, changed.description) == (URL, "d")
    assert changed.updated > made.updated
    assert post.service.update(admin, made.id) == changed
    assert post.service.webhooks("default") == [changed] == [post.service.webhook("default", made.id)]
    post.service.delete(admin, made.id)
    assert post.service.webhooks("default") == []
    for again in (post.service.delete, post.service.update):
        with pytest.raises(NotFound, match=f"Webhook with ID {made.id} not found"):
            again(admin, made.id)


def test_webhooks_are_listed_newest_first_by_pages(post: Post, admin: Actor) -> None:
    made = [post.service.create(admin, f"n{n}", url=URL, events=["*"], format="cloudevents") for n in range(5)]
    first = post.service.webhooks("default", limit=2)
    rest = post.service.webhooks("default", before=first[-1].id, format="cloudevents")
    assert [each.name for each in [*first, *rest]] == [each.name for each in reversed(made)]
    assert post.service.webhooks("default", format="mlflow") == []


def test_only_who_may_manage_webhooks_can_and_only_in_their_workspace(
    post: Post, admin: Actor, viewer: Actor, stranger: Actor
) -> None:
    made = post.service.create(admin, "mine", url=URL, events=["*"], format="cloudevents")
    with pytest.raises(NotAllowed, match=r"webhooks\.manage"):
        post.service.create(viewer, "no", url=URL, events=["*"], format="cloudevents")
    for refused in (
        lambda: post.service.update(viewer, made.id, name="no"),
        lambda: post.service.delete(viewer, made.id),
        lambda: post.service.test(viewer, made.id),
        lambda: post.service.replay(viewer, made.id, position=0),
    ):
        with pytest.raises(NotAllowed):
            refused()
    with pytest.raises(NotFound):
        post.service.webhook("elsewhere", made.id)
    with pytest.raises(NotFound):
        post.service.delete(stranger, made.id)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "1 to 63"),
        ("name", "a" * 64, "1 to 63"),
        ("name", "-a", "beginning and ending"),
        ("name", "ä", "letters"),
        ("name", "a\n", "letters"),
        ("events", [], "cannot be empty"),
        ("events", ["alias"], "not understood"),
        ("events", ["Alias.Set"], "not understood"),
        ("format", "carrier-pigeon", "choose one of: cloudevents"),
        ("status", "SLEEPY", "choose one of: ACTIVE, DISABLED"),
        ("description", "x\x00", "NUL"),
        ("description", "x" * 5001, "at most 5000"),
        ("secret", "x" * 1001, "at most 1000"),
        ("secret", "\ud800", "surrogate"),
        ("url", "   ", "cannot be empty or just whitespace"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(post: Post, admin: Actor, field: str, value: object, said: str) -> None:
    given: dict[str, object] = {"name": "n", "url": URL, "events": ["*"], "format": "cloudevents", field: value}
    with pytest.raises((InvalidInput, LimitExceeded), match=said):
        post.service.create(admin, **given)  # type: ignore[arg-type]
    assert post.service.webhooks("default") == []


def test_a_workspace_has_room_for_so_many(post: Post, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_WEBHOOKS", 2)
    for name in ("a", "b"):
        post.service.create(admin, name, url=URL, events=["*"], format="cloudevents")
    with pytest.raises(LimitExceeded, match="at most 2 webhooks"):
        post.service.create(admin, "c", url=URL, events=["*"], format="cloudevents")


def test_a_secret_is_encrypted_and_opens_for_its_own_webhook_only(post: Post, admin: Actor) -> None:
    secret = "do not tell anybody"
    first, second = (
        post.service.create(admin, name, url=URL, events=["*"], format="cloudevents", secret=secret) for name in "ab"
    )
    with post.records.read() as connection:
        stored = {row.id: row.secret for row in connection.execute(select(webhooks))}
        everything = str(connection.execute(select(webhooks)).all())
    assert secret not in everything
    assert secret not in str(JournalReader(post.records.database).entries("default"))
    assert secret not in str(first)
    assert stored[first.id] != stored[second.id]
    assert post.vault.open(stored[first.id] or "", first.id) == secret
    for wrong in (stored[second.id], "aes256gcm:AAAA", "nonsense"):
        with pytest.raises(Corrupted, match="cannot be decrypted"):
            post.vault.open(wrong or "", first.id)


def test_the_journal_is_told_the_host_and_not_the_path(post: Post, admin: Actor) -> None:
    made = post.service.create(
        admin, "a", url="https://hooks.example.com/T0/secret", events=["*"], format="cloudevents"
    )
    entry = JournalReader(post.records.database).entries("default")[0]
    assert (entry.action, entry.resource) == ("webhook.created", f"webhook/{made.id}")
    assert entry.detail["host"] == "hooks.example.com"
    assert "secret" not in str(entry.detail)


def test_a_test_sends_an_example_and_says_what_came_back(post: Post, admin: Actor) -> None:
    with receiving(answers(OK, status(404, body="nobody here"))) as receiver:
        made = post.service.create(
            admin, "a", url=receiver.url, events=["alias.set"], format="cloudevents", status="DISABLED"
        )
        answer = post.service.test(admin, made.id)
        assert (answer.status, answer.text, answer.succeeded) == (200, "ok", True)
        answer = post.service.test(admin, made.id, event="run.*")
        assert (answer.status, answer.text, answer.succeeded) == (404, "nobody here", False)
        assert [got.json["type"] for got in receiver.got] == ["dev.bailiwick.alias.set", "dev.bailiwick.run.example"]
    assert post.service.deliveries("default", made.id) == []


def test_a_test_of_a_receiver_that_is_not_there_says_so(post: Post, admin: Actor) -> None:
    with receiving() as receiver:
        url = receiver.url
    made = post.service.create(admin, "a", url=url, events=["*"], format="cloudevents")
    answer = post.service.test(admin, made.id)
    assert answer.status is None
    assert "refused" in answer.problem


def test_a_delivery_is_replayed_under_its_old_id(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made")
    post.collect()
    (delivery,) = post.service.deliveries("default", hook.id)
    with pytest.raises(Conflict, match="will be tried by itself"):
        post.service.replay_delivery(admin, delivery.id)
    assert post.fail_once(hook, REFUSED) == "FAILED"
    again = post.service.replay_delivery(admin, delivery.id)
    assert (again.id, again.status, again.failures, again.attempts) == (delivery.id, "PENDING", 0, 1)
    shown, attempts = post.service.delivery("default", delivery.id)
    assert shown == again
    assert [(each.number, each.response_status) for each in attempts] == [(1, 400)]
    for workspace, delivery_id in (("elsewhere", delivery.id), ("default", "missing")):
        with pytest.raises(NotFound):
            post.service.delivery(workspace, delivery_id)


def test_deliveries_can_be_chosen_by_status(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made", "thing.broken")
    post.collect()
    post.fail_once(hook, REFUSED)
    assert [each.event for each in post.service.deliveries("default", hook.id, status="FAILED")] == ["thing.made"]
    assert [each.event for each in post.service.deliveries("default", hook.id, status="PENDING")] == ["thing.broken"]
    with pytest.raises(InvalidInput, match="choose one of: DELIVERED, FAILED, PENDING"):
        post.service.deliveries("default", hook.id, status="LOST")
    with pytest.raises(NotFound):
        post.service.deliveries("default", "missing")


def test_a_replay_begins_at_a_time_or_a_position(post: Post, admin: Actor, hook: Webhook) -> None:
    for wrong in ({}, {"since": 1, "position": 1}, {"position": -1}):
        with pytest.raises(InvalidInput):
            post.service.replay(admin, hook.id, **wrong)
    with pytest.raises(NotFound):
        post.service.replay(admin, "missing", position=0)


def test_a_webhook_with_a_history_can_be_deleted(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made")
    post.collect()
    post.fail_once(hook, REFUSED)
    post.service.delete(admin, hook.id)
    assert post.outbox.heads() == []


def test_a_secret_that_cannot_be_opened_is_said_and_nothing_goes_out_unsigned(post: Post, admin: Actor) -> None:
    with receiving() as receiver:
        made = post.service.create(
            admin, "a", url=receiver.url, events=["*"], format="cloudevents", secret="a secret of some length"
        )
        with post.records.database.write() as connection:
            connection.execute(update(webhooks).values(secret="aes256gcm:" + "A" * 80))
        with pytest.raises(BailiwickError, match="cannot be decrypted"):
            post.service.test(admin, made.id)
        post.note(admin, "thing.made")
        post.collect()
        post.send()
        (delivery,) = post.service.deliveries("default", made.id)
        assert (delivery.status, receiver.got) == ("PENDING", [])
        assert "cannot be decrypted" in delivery.problem
