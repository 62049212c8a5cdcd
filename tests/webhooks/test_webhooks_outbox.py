"""The outbox: each entry once, in order, from where a webhook began; what fails waits, ages and is given up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.webhooks.conftest import URL, Post

from bailiwick.core.actor import Actor
from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.lifecycle.events.cloudevents import CloudEventsFormat
from bailiwick.store.journal.model import Entry
from bailiwick.store.journal.reader import JournalReader
from bailiwick.webhooks import outbox as outbox_module
from bailiwick.webhooks.file_sink import FileSink
from bailiwick.webhooks.model import Answer, Webhook
from bailiwick.webhooks.outbox import LONGEST_WAIT_MS, Outbox
from bailiwick.webhooks.ports import Announcement
from bailiwick.webhooks.tables import attempts

DAY = MILLISECONDS_PER_DAY


def test_a_webhook_hears_what_follows_it_once_and_in_order(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made", "thing.changed", "other.made")
    assert post.collect() == 4
    assert post.events(hook) == ["thing.made", "thing.changed", "other.made"]
    assert post.collect() == 0
    post.note(admin, "thing.deleted")
    post.collect()
    assert post.events(hook)[-1] == "thing.deleted"
    positions = [each.position for each in reversed(post.service.deliveries("default", hook.id))]
    assert positions == [1, 2, 3, 4]


def test_a_webhook_hears_nothing_from_before_it_was_made(post: Post, admin: Actor) -> None:
    post.note(admin, "thing.made")
    made = post.service.create(admin, "late", url=URL, events=["*"], format="cloudevents")
    post.note(admin, "thing.changed")
    post.collect()  # all three entries get their places at once
    assert post.events(made) == ["thing.changed"]


def test_a_webhook_hears_only_its_events_and_its_workspace(post: Post, admin: Actor, stranger: Actor) -> None:
    chosen = post.service.create(admin, "a", url=URL, events=["alias.*", "run.ended"], format="cloudevents")
    other = post.service.create(stranger, "b", url=URL, events=["*"], format="cloudevents")
    post.note(admin, "alias.set", "alias.removed", "run.started", "run.ended")
    post.note(stranger, "model.created")
    post.collect()
    assert post.events(chosen) == ["alias.set", "alias.removed", "run.ended"]
    assert post.events(other) == ["model.created"]


def test_a_disabled_webhook_is_told_nothing_and_can_be_caught_up(post: Post, admin: Actor, hook: Webhook) -> None:
    post.service.update(admin, hook.id, status="DISABLED")
    post.note(admin, "thing.made")
    post.collect()
    assert post.events(hook) == []
    post.service.update(admin, hook.id, status="ACTIVE")
    start = post.service.replay(admin, hook.id, position=2)
    post.collect()
    while post.outbox.catch_up():
        pass
    assert start == 2
    assert [each for each in post.events(hook) if each.startswith("thing")] == ["thing.made"]
    assert post.service.webhook("default", hook.id).catching_up_from is None


def test_without_webhooks_nothing_is_read_and_the_first_one_does_not_read_the_past(post: Post, admin: Actor) -> None:
    assert not post.outbox.needed()
    post.note(admin, *["thing.made"] * 20)
    made = post.service.create(admin, "a", url=URL, events=["*"], format="cloudevents")
    assert post.outbox.needed()
    post.sequencer.integrate()
    assert post.outbox.collect() == 21
    assert post.events(made) == []


def test_collecting_goes_on_in_batches(
    post: Post, admin: Actor, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "BATCH", 3)
    post.note(admin, *[f"thing.n{n}" for n in range(10)])
    assert post.collect() == 11
    assert post.events(hook) == [f"thing.n{n}" for n in range(10)]
    post.service.replay(admin, hook.id, position=0)
    post.collect()
    steps = 0
    while post.outbox.catch_up():
        steps += 1
    assert steps == 4
    events = post.events(hook)
    assert sorted(events) == sorted([*(f"thing.n{n}" for n in range(10)), "webhook.created", "webhook.replayed"])


def test_two_outboxes_at_once_make_each_delivery_once(post: Post, admin: Actor, hook: Webhook) -> None:
    other = Outbox(post.records, post.vault, (CloudEventsFormat(),))
    post.note(admin, "thing.made")
    post.sequencer.integrate()
    advance = post.outbox._advance

    def overtaken(*arguments: object) -> bool:
        other.collect()
        return advance(*arguments)  # type: ignore[arg-type]

    post.outbox._advance = overtaken  # type: ignore[method-assign, assignment]
    post.outbox.collect()
    assert post.events(hook) == ["thing.made"]


def test_an_entry_that_cannot_be_told_is_kept_as_failed_and_holds_up_nothing(
    post: Post, admin: Actor, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    class Stumbling(CloudEventsFormat):
        def announce(self, entry: Entry) -> list[Announcement]:
            if entry.action == "thing.odd":
                raise KeyError("surprise")
            return super().announce(entry)

    post.outbox._formats["cloudevents"] = Stumbling()
    post.note(admin, "thing.odd", "thing.fine")
    post.collect()
    assert "cannot be told" in caplog.text
    odd, fine = reversed(post.service.deliveries("default", hook.id))
    assert (odd.event, odd.status, odd.body) == ("thing.odd", "FAILED", "")
    assert "KeyError: 'surprise'" in odd.problem
    assert (fine.event, fine.status) == ("thing.fine", "PENDING")
    with pytest.raises(Exception, match=f"Replay the webhook from journal position {odd.position}"):
        post.service.replay_delivery(admin, odd.id)
    post.outbox._formats["cloudevents"] = CloudEventsFormat()
    post.service.replay(admin, hook.id, position=odd.position)
    post.outbox.catch_up()
    again = {each.id: each for each in post.service.deliveries("default", hook.id)}[odd.id]
    assert (again.status, json.loads(again.body)["type"]) == ("PENDING", "dev.bailiwick.thing.odd")


def test_the_next_delivery_waits_for_the_one_before_it(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.first", "thing.second")
    post.collect()
    assert [each.delivery.event for each in post.outbox.heads()] == ["thing.first"]
    assert post.fail_once(hook) == "PENDING"
    assert post.outbox.heads() == []
    post.clock.advance(1_000)
    assert [each.delivery.event for each in post.outbox.heads()] == ["thing.first"]
    assert post.fail_once(hook, Answer(204)) == "DELIVERED"
    assert [each.delivery.event for each in post.outbox.heads()] == ["thing.second"]


def test_waiting_doubles_to_ten_minutes_and_no_less_than_was_asked_for(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made")
    post.collect()
    waits = []
    for _ in range(12):
        post.fail_once(hook)
        (delivery,) = post.service.deliveries("default", hook.id)
        waits.append(delivery.due - post.clock())
        post.clock.advance(waits[-1])
    assert waits[:5] == [1_000, 2_000, 4_000, 8_000, 16_000]
    assert waits[-1] == LONGEST_WAIT_MS
    post.fail_once(hook, Answer(429, retry_after_ms=3_600_000))
    (delivery,) = post.service.deliveries("default", hook.id)
    assert delivery.due - post.clock() == 3_600_000


@pytest.mark.parametrize("status", [None, 408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(post: Post, admin: Actor, hook: Webhook, status: int | None) -> None:
    post.note(admin, "thing.made")
    post.collect()
    assert post.fail_once(hook, Answer(status, problem="silence")) == "PENDING"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 422])
def test_what_is_refused_once_is_given_up(post: Post, admin: Actor, hook: Webhook, status: int) -> None:
    post.note(admin, "thing.made", "thing.next")
    post.collect()
    assert post.fail_once(hook, Answer(status)) == "FAILED"
    assert [each.delivery.event for each in post.outbox.heads()] == ["thing.next"]
    failed = post.service.deliveries("default", hook.id, status="FAILED")[0]
    assert failed.response_status == status
    assert ("redirects are not followed" in failed.problem) == (status < 400)


def test_a_delivery_is_given_up_after_three_days(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made")
    post.collect()
    post.fail_once(hook)
    post.clock.advance(3 * DAY)
    assert post.fail_once(hook) == "FAILED"


def test_a_webhook_that_fails_for_five_days_is_disabled_and_the_journal_says_so(
    post: Post, admin: Actor, hook: Webhook
) -> None:
    post.note(admin, "thing.first")
    post.collect()
    post.fail_once(hook)
    assert post.service.webhook("default", hook.id).failing_since == post.clock()
    post.clock.advance(3 * DAY)
    post.note(admin, "thing.second")
    post.collect()
    post.fail_once(hook)
    assert post.service.webhook("default", hook.id).status == "ACTIVE"
    post.clock.advance(2 * DAY)
    post.fail_once(hook)
    disabled = post.service.webhook("default", hook.id)
    assert disabled.status == "DISABLED"
    assert disabled.problem == "Disabled: every attempt failed for 5 days. Last: The receiver answered 503."
    entry = JournalReader(post.records.database).entries("default", limit=1)[0]
    assert (entry.action, entry.actor) == ("webhook.disabled", "system:webhooks")
    assert post.outbox.heads() == []
    healed = post.service.update(admin, hook.id, status="ACTIVE")
    assert (healed.problem, healed.failing_since) == ("", None)


def test_one_success_forgives_all_failures(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.first", "thing.second")
    post.collect()
    post.fail_once(hook)
    post.clock.advance(2 * DAY)
    post.fail_once(hook, Answer(200))
    assert post.service.webhook("default", hook.id).failing_since is None


def test_a_receiver_that_says_it_is_gone_is_left_alone(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made")
    post.collect()
    assert post.fail_once(hook, Answer(410)) == "FAILED"
    assert post.service.webhook("default", hook.id).status == "DISABLED"


def test_of_two_processes_that_made_one_attempt_the_first_counts(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.made")
    post.collect()
    outgoing = post.outbox.head(hook.id)
    assert outgoing is not None
    post.outbox.finish(outgoing, Answer(200))
    post.outbox.finish(outgoing, Answer(500))
    (delivery,) = post.service.deliveries("default", hook.id)
    assert (delivery.status, delivery.attempts) == ("DELIVERED", 1)


def test_what_ended_a_month_ago_is_forgotten(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.first", "thing.second")
    post.collect()
    post.fail_once(hook, Answer(200))
    post.clock.advance(31 * DAY)
    assert post.outbox.prune() == 1
    assert post.outbox.prune() == 0
    assert post.events(hook) == ["thing.second"]
    with post.records.read() as connection:
        assert connection.execute(select(attempts)).all() == []


def test_a_replay_from_a_time_repeats_under_old_ids(post: Post, admin: Actor, hook: Webhook) -> None:
    post.note(admin, "thing.early")
    post.clock.advance(1000)
    middle = post.clock()
    post.note(admin, "thing.late")
    post.collect()
    for _ in range(2):
        post.fail_once(hook, Answer(200))
    before = {each.event: each.id for each in post.service.deliveries("default", hook.id)}
    assert post.service.replay(admin, hook.id, since=middle) == 2
    post.outbox.catch_up()
    waiting = post.service.deliveries("default", hook.id, status="PENDING")
    assert [(each.event, each.id) for each in waiting] == [("thing.late", before["thing.late"])]


def test_a_replay_from_a_time_that_is_yet_to_come_tells_nothing_of_the_past(
    post: Post, admin: Actor, hook: Webhook
) -> None:
    post.note(admin, "thing.made")
    post.collect()
    assert post.service.replay(admin, hook.id, since=post.clock() + DAY) == 2
    post.outbox.catch_up()
    assert post.service.webhook("default", hook.id).catching_up_from is None


def test_a_file_gets_each_event_as_a_line(post: Post, admin: Actor, stranger: Actor, tmp_path: Path) -> None:
    path = tmp_path / "events" / "log.jsonl"
    sink = FileSink(post.records.database, CloudEventsFormat(), path)
    assert sink.collect() == 0
    post.note(admin, "thing.made")
    post.note(stranger, "thing.changed")
    post.sequencer.integrate()
    assert sink.collect() == 2
    assert sink.collect() == 0
    path.write_bytes(path.read_bytes() + b'{"torn')
    post.note(admin, "thing.deleted")
    post.sequencer.integrate()
    sink.collect()
    types = [json.loads(line)["type"] for line in path.read_text().splitlines()]
    assert types == [f"dev.bailiwick.thing.{verb}" for verb in ("made", "changed", "deleted")]


def test_a_file_that_cannot_be_written_keeps_the_cursor_where_it_is(post: Post, admin: Actor, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file, not a folder")
    post.note(admin, "thing.made")
    post.sequencer.integrate()
    with pytest.raises(Exception, match="cannot be appended to"):
        FileSink(post.records.database, CloudEventsFormat(), tmp_path / "blocked" / "log").collect()
    good = FileSink(post.records.database, CloudEventsFormat(), tmp_path / "log")
    assert good.collect() == 1
