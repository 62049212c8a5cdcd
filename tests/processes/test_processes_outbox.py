"""Events leave the control plane by itself; a worker takes over, and whoever is killed, another goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.lifecycle import outbox
from bailiwick.lifecycle.outbox import OUTBOX, WORK, OutboxKeeper
from bailiwick.lifecycle.platform import Platform
from tests_support.receiver import Receiver, receiving
from tests_support.server import answers, bailiwick, free_port, until

ADMIN = Actor("u-ada", "ada", "default", frozenset(Permission))


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(Settings(home=tmp_path / "home", webhooks_private=True))
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as listening:
        yield listening


def subscribe(platform: Platform, receiver: Receiver) -> None:
    platform.webhooks.create(
        ADMIN, "a", url=receiver.url, events=["thing.*"], format="cloudevents", secret="a secret of some length"
    )


def note(platform: Platform, action: str) -> None:
    with platform.records.change(ADMIN, Permission.READ) as change:
        change.record(action, "thing/one")


def types(receiver: Receiver) -> list[str]:
    return [got.json["type"].removeprefix("dev.bailiwick.") for got in receiver.got]


def test_control_alone_delivers_within_seconds_until_a_worker_does(
    platform: Platform, receiver: Receiver, tmp_path: Path
) -> None:
    port = free_port()
    home = tmp_path / "home"
    allowed = {"BAILIWICK_WEBHOOKS_PRIVATE": "1"}
    with bailiwick("control", "--port", str(port), home=home, **allowed) as control:
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), "control to answer")
        subscribe(platform, receiver)
        note(platform, "thing.first")
        receiver.wait_for(1, 5.0)
        mine = platform.duties.holder(OUTBOX)
        with bailiwick("work", home=home, **allowed) as work:
            until(lambda: platform.duties.holder(WORK), "the worker to be on duty")
            until(lambda: platform.duties.holder(OUTBOX) not in {"", mine}, "the worker to take over the outbox", 20)
            note(platform, "thing.second")
            receiver.wait_for(2, 5.0)
            work.send_signal(signal.SIGKILL)
            work.wait()
        note(platform, "thing.third")
        until(lambda: "thing.third" in types(receiver), "the third event, when the leases of the dead have ended", 30)
        control.send_signal(signal.SIGTERM)
        assert control.wait(20) == 0
    # The worker may have died between the receiver's answer and keeping it; then the same delivery came once more.
    assert list(dict.fromkeys(types(receiver))) == ["thing.first", "thing.second", "thing.third"]
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 3
    assert platform.duties.holder(OUTBOX) == ""
    assert all("webhook-signature" in got.headers for got in receiver.got)


def test_nothing_is_held_or_placed_while_there_is_nobody_to_tell(platform: Platform, receiver: Receiver) -> None:
    keeper = OutboxKeeper(platform, "me")
    try:
        note(platform, "thing.before")
        until(lambda: not keeper._holds(), "a look")
        assert platform.duties.holder(OUTBOX) == ""
        subscribe(platform, receiver)
        note(platform, "thing.after")
        receiver.wait_for(1, 5.0)
        assert platform.duties.holder(OUTBOX) == "me"
    finally:
        keeper.stop()
    assert platform.duties.holder(OUTBOX) == ""
    assert types(receiver) == ["thing.after"]


def test_entries_do_not_wait_without_end_for_a_place(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "TAIL_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "LONGEST_TAIL", 5)
    for number in range(4):
        note(platform, f"thing.n{number}")
    keeper = OutboxKeeper(platform, "me")
    try:
        until(lambda: not keeper._holds(), "a look")
        assert platform.journal.checkpoint() is None
        note(platform, "thing.last")
        until(lambda: platform.journal.checkpoint() is not None, "places for five")
    finally:
        keeper.stop()
    assert not platform.journal.is_waiting()


def test_one_owner_at_a_time(platform: Platform, receiver: Receiver) -> None:
    subscribe(platform, receiver)
    first, second = OutboxKeeper(platform, "first"), OutboxKeeper(platform, "second")
    try:
        for number in range(5):
            note(platform, f"thing.n{number}")
        receiver.wait_for(5, 10.0)
        holder = platform.duties.holder(OUTBOX)
        leaving, staying = (first, "second") if holder == "first" else (second, "first")
        leaving.stop()
        note(platform, "thing.last")
        receiver.wait_for(6, 15.0)
        assert platform.duties.holder(OUTBOX) == staying
    finally:
        first.stop()
        second.stop()
    assert types(receiver) == [*(f"thing.n{number}" for number in range(5)), "thing.last"]


def test_run_events_are_appended_to_the_file_that_is_set(tmp_path: Path) -> None:
    path = tmp_path / "lineage.jsonl"
    platform = open_platform(Settings(home=tmp_path / "home", openlineage_file=str(path)))
    keeper = OutboxKeeper(platform, "me")
    try:
        run = platform.tracking.start_run(ADMIN, "flights")
        platform.tracking.finish_run(ADMIN, run.id)
        until(lambda: path.exists() and len(path.read_text().splitlines()) == 2, "two events in the file", 10)
    finally:
        keeper.stop()
        platform.close()
    assert [json.loads(line)["eventType"] for line in path.read_text().splitlines()] == ["START", "COMPLETE"]


def test_a_journal_that_was_changed_is_told_of_no_further(
    platform: Platform, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy import update

    from bailiwick.store.journal.tables import checkpoints

    subscribe(platform, receiver)
    note(platform, "thing.first")
    keeper = OutboxKeeper(platform, "me")
    try:
        receiver.wait_for(1, 5.0)
        with platform.database.write() as connection:
            connection.execute(update(checkpoints).values(root=bytes(32)))
        note(platform, "thing.second")
        until(lambda: "journal: " in caplog.text, "the refusal to be logged", 10)
    finally:
        keeper.stop()
    assert types(receiver) == ["thing.first"]
