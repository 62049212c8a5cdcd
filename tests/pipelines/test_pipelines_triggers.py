"""Triggers and schedules: one cause, one run."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select

from bailiwick.core.actor import Actor
from bailiwick.core.clock import from_text
from bailiwick.core.errors import InvalidInput, NotAllowed, NotFound
from bailiwick.pipelines.model import Pipeline, PipelineRun, Step
from bailiwick.pipelines.service import PipelineService
from bailiwick.pipelines.tables import firings
from bailiwick.pipelines.triggers import Schedule, TriggerService
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

PIPELINE = Pipeline("train", [Step("fit", (), lambda _context: {}, "1")])


@pytest.fixture
def runs(records: Records) -> PipelineService:
    return PipelineService(records)


@pytest.fixture
def triggers(records: Records, runs: PipelineService) -> TriggerService:
    return TriggerService(records, runs)


def test_a_cause_starts_one_run(
    triggers: TriggerService, runs: PipelineService, admin: Actor, clock: FakeClock
) -> None:
    run = triggers.fire(admin, "retrain:flights", "alarm-1", PIPELINE, {"window": 60})
    assert run is not None
    assert (run.trigger, run.params, run.submitted_by) == ("retrain:flights", {"window": 60}, admin.identity)
    assert triggers.fire(admin, "retrain:flights", "alarm-1", PIPELINE, {"window": 60}) is None
    assert triggers.fired("default", "retrain:flights", "alarm-1") == run.id
    assert triggers.last_fired("default", "retrain:flights") == clock.now
    clock.advance(5)
    assert triggers.fire(admin, "retrain:flights", "alarm-2", PIPELINE, {}) is not None
    assert triggers.last_fired("default", "retrain:flights") == clock.now
    assert triggers.last_fired("default", "other") is None
    assert len(runs.runs("default")) == 2


def test_workspaces_fire_apart_and_viewers_not_at_all(
    triggers: TriggerService, admin: Actor, stranger: Actor, viewer: Actor
) -> None:
    assert triggers.fire(admin, "t", "k", PIPELINE, {}) is not None
    assert triggers.fired("elsewhere", "t", "k") is None
    assert triggers.fire(stranger, "t", "k", PIPELINE, {}) is not None
    with pytest.raises(NotAllowed):
        triggers.fire(viewer, "t", "new", PIPELINE, {})
    with pytest.raises(NotAllowed):
        triggers.due(viewer)


def test_many_at_once_fire_once(records: Records, triggers: TriggerService, admin: Actor) -> None:
    fired: list[PipelineRun | None] = []

    def fire() -> None:
        fired.append(triggers.fire(admin, "t", "same", PIPELINE, {}))

    threads = [threading.Thread(target=fire) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fired) == 6
    assert len([run for run in fired if run is not None]) == 1
    with records.read() as connection:
        assert connection.scalar(select(func.count()).select_from(firings)) == 1


def test_a_schedule_fires_at_its_time_and_makes_up_for_missed_ones_once(
    triggers: TriggerService, admin: Actor, clock: FakeClock
) -> None:
    clock.now = from_text("2026-11-21T12:00:00")
    made = triggers.schedule(admin, "nightly", cron="0 3 * * *", pipeline="train", params={"x": 1})
    assert made.next_fire == from_text("2026-11-22T03:00:00")
    assert triggers.due(admin) == triggers.due(admin, made.next_fire - 1) == []
    clock.now = made.next_fire
    (due,) = triggers.due(admin)
    run = triggers.fire_schedule(admin, due, PIPELINE)
    assert run is not None
    assert (run.trigger, run.pipeline, run.params) == ("schedule:nightly", "train", {"x": 1})
    assert triggers.due(admin) == []
    clock.now = from_text("2026-11-29T17:00:00")
    (missed,) = triggers.due(admin)
    assert triggers.fire_schedule(admin, missed, PIPELINE) is not None
    assert triggers.due(admin) == []
    assert triggers.schedule_named("default", "nightly").next_fire == from_text("2026-11-30T03:00:00")


def test_a_schedule_fires_once_however_many_fire_it(triggers: TriggerService, admin: Actor) -> None:
    schedule = triggers.schedule(admin, "s", cron="* * * * *", pipeline="train", params={})
    fired: list[PipelineRun | None] = []

    def fire() -> None:
        fired.append(triggers.fire_schedule(admin, schedule, PIPELINE, schedule.next_fire))

    threads = [threading.Thread(target=fire) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run is not None for run in fired) == [False, False, False, True]


def test_a_schedule_is_replaced_paused_and_removed(triggers: TriggerService, admin: Actor, clock: FakeClock) -> None:
    clock.now = from_text("2026-11-21T12:00:00")
    first = triggers.schedule(admin, "s", cron="0 3 * * *", pipeline="train", params={})
    clock.advance(86_400_000)
    same = triggers.schedule(admin, "s", cron="0 3 * * *", pipeline="train", params={"x": 2}, enabled=False)
    assert (same.next_fire, same.params, same.created) == (first.next_fire, {"x": 2}, first.created)
    assert triggers.due(admin) == []
    moved = triggers.schedule(admin, "s", cron="0 4 * * *", pipeline="train", params={})
    assert moved.next_fire == from_text("2026-11-23T04:00:00")
    triggers.unschedule(admin, "s")
    assert triggers.schedules("default") == []
    with pytest.raises(NotFound, match="Schedule 's'"):
        triggers.unschedule(admin, "s")


def test_keeping_a_schedule_as_it_is_writes_nothing(triggers: TriggerService, records: Records, admin: Actor) -> None:
    def kept() -> Schedule:
        return triggers.schedule(admin, "s", cron="0 3 * * *", pipeline="train", params={"x": 1.0, "y": [None]})

    first = kept()
    with records.read() as connection:
        before = connection.scalar(select(func.count()).select_from(entries))
    assert kept() == first
    with records.read() as connection:
        assert connection.scalar(select(func.count()).select_from(entries)) == before


def test_a_schedule_that_never_fires_is_refused(triggers: TriggerService, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="never fires"):
        triggers.schedule(admin, "s", cron="0 0 31 2 *", pipeline="train", params={})
    assert triggers.schedules("default") == []
