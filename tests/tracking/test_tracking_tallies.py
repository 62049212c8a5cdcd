"""Counts of runs and of parts: only what is active, only what is in the workspace, whatever is asked for."""

from __future__ import annotations

import pytest

from bailiwick.core.actor import Actor
from bailiwick.store.records import Records
from bailiwick.tracking.service import TrackingService


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


def test_an_experiment_has_as_many_runs_as_are_active_and_the_newest_of_them(
    tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    first = tracking.create_experiment(admin, "first")
    empty = tracking.create_experiment(admin, "empty")
    runs = [tracking.create_run(admin, first.id, started=1_000 * (place + 1)) for place in range(4)]
    tracking.delete_run(admin, runs[3].id)
    found = tracking.activity("default", [first.id, empty.id, "77"])
    assert list(found) == [first.id]
    assert (found[first.id].runs, found[first.id].newest) == (3, 3_000)
    assert tracking.activity(stranger.workspace, [first.id]) == tracking.activity("default", []) == {}


def test_a_run_has_as_many_parts_as_are_active(tracking: TrackingService, admin: Actor, stranger: Actor) -> None:
    whole = tracking.start_run(admin, "sweep")
    parts = [tracking.start_run(admin, "sweep", parent=whole.id) for _ in range(3)]
    tracking.delete_run(admin, parts[0].id)
    assert tracking.part_counts("default", [whole.id, parts[1].id]) == {whole.id: 2}
    assert tracking.part_counts(stranger.workspace, [whole.id]) == {}
    assert [run.id for run in tracking.children("default", whole.id, limit=1)] == [parts[1].id]
