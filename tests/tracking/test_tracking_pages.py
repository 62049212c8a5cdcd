"""How many pages of the database a commit writes: each is summed, written and waited for while a client waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from bailiwick.core.actor import Actor
from bailiwick.store.database import Database
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.model import MetricPoint, RunStatus
from bailiwick.tracking.service import TrackingService

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
RUNS = 150


class Written:
    """The log of a database: what is added to it while something is done."""

    def __init__(self, database: Database) -> None:
        self._path = Path(database.url.removeprefix("sqlite:///"))
        self._connection = sqlite3.connect(self._path)

    def pages_each(self, times: int, act: Callable[[int], object]) -> float:
        """Pages written each time, on average over pages that are split now and then."""
        assert self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        for count in range(times):
            act(count)
        log = self._path.with_name(f"{self._path.name}-wal").read_bytes()
        frame = 24 + int.from_bytes(log[8:12], "big")
        return (len(log) - 32) / frame / times


@pytest.fixture
def written(database: Database) -> Written:
    return Written(database)


def test_parts_of_a_run_are_read_from_an_index_of_parts(records: Records, admin: Actor, database: Database) -> None:
    tracking = TrackingService(records)
    whole = tracking.start_run(admin, "training")
    parts = [tracking.start_run(admin, "training", parent=whole.id).id for _ in range(3)]
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert [each.id for each in tracking.children("default", whole.id)] == parts
    assert tracking.part_counts("default", [whole.id]) == {whole.id: 3}
    with database.read() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        cursor = driver.cursor()
        for query in [each for each in asked if "tracking_runs.parent" in each]:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}", [None] * query.count("?"))
            [plan] = cursor.fetchall()
            assert "ix_tracking_runs_parent" in plan[3]


def test_few_pages_are_written_for_each_step_of_a_run(
    records: Records, admin: Actor, clock: FakeClock, written: Written
) -> None:
    tracking = TrackingService(records)
    experiment = tracking.create_experiment(admin, "training")
    runs: list[str] = []

    def begin(_: int) -> None:
        clock.advance(7)
        runs.append(tracking.create_run(admin, experiment.id, name="r").id)

    def measure(count: int) -> None:
        clock.advance(7)
        tracking.log(admin, runs[0], metrics=[MetricPoint("loss", 0.5, clock.now, count)])

    def end(count: int) -> None:
        clock.advance(7)
        tracking.update_run(admin, runs[count], status=RunStatus.FINISHED)

    for count in range(RUNS):
        begin(count)
    # One each of: the run, its two listings, its tag, the index of tags, the journal; the rest is pages being split.
    assert written.pages_each(RUNS, begin) < 10.5
    # History, latest value, the index of latest values, the journal.
    assert written.pages_each(RUNS, measure) < 5
    # The run, the index of ended runs, the journal.
    assert written.pages_each(RUNS, end) < 4.5
