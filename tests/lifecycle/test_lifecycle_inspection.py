"""Snapshots are inspected before anything learns from them: changes raise alarms, and errors stand in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import CheckFailed, InvalidInput, NotAllowed
from bailiwick.data.changes import LEAST_HISTORY
from bailiwick.data.model import Snapshot
from bailiwick.lifecycle.inspection import Taking, found_before, inspect, require_usable
from bailiwick.lifecycle.platform import Platform
from bailiwick.monitoring.model import AlarmStatus, Kind
from bailiwick.testing.clock import FakeClock
from tests_support.fraud_project import DAY, PROJECT, START, rows
from tests_support.fraud_project import run_pipeline as run

CHECKS = """\
  checks:
    unique: [{columns: [id]}]
    volume: {least: 1000}
    freshness: {max_age: 9000d, severity: warning}
"""
CHECKED = PROJECT.replace("features:", CHECKS + "features:", 1)


def day(number: int, *, count: int = 300, shift: float = 0.0, seed: int | None = None) -> pa.Table:
    random = np.random.default_rng(number if seed is None else seed)
    return pa.table(
        {
            "order": np.arange(number * 10_000, number * 10_000 + count),
            "at": START + number * DAY + np.sort(random.integers(0, DAY, count)),
            "amount": random.normal(shift, 1, count),
            "country": random.choice(["AT", "BE"], count),
        }
    )


class Daily:
    """A dataset that gets a snapshot a day."""

    def __init__(self, platform: Platform, actor: Actor, clock: FakeClock) -> None:
        self.platform = platform
        self.actor = actor
        self.clock = clock

    def arrive(self, number: int, table: pa.Table) -> Snapshot:
        self.clock.now = START + (number + 1) * DAY + 3_600_000
        kept = self.platform.data.ingest(self.actor, "sales", table, source="sales", time_column="at")
        inspect(self.platform, "default", kept, taking=Taking(self.clock.now))
        return kept

    def alarms(self, snapshot: Snapshot) -> dict[str, str]:
        return {alarm.kind.value: alarm.severity for alarm in self.platform.data_alarms.about("default", snapshot.id)}


@pytest.fixture
def daily(platform: Platform, admin: Actor, clock: FakeClock) -> Daily:
    return Daily(platform, admin, clock)


def test_an_unchanged_source_raises_no_alarm(daily: Daily) -> None:
    for number in range(12):
        kept = daily.arrive(number, day(number, count=300 + number % 3))
        assert daily.alarms(kept) == {}
    found = found_before(daily.platform, "default", kept.id)
    assert found is not None
    assert [(each.kind, each.passed) for each in found.verdicts] == [
        ("schema", True),
        ("volume", True),
        ("freshness", True),
        ("distribution", True),
    ]


def test_a_sudden_change_raises_an_alarm_of_its_kind(daily: Daily) -> None:
    for number in range(LEAST_HISTORY + 1):
        first = daily.arrive(number, day(number, count=2000 + number))
    number += 1
    columns = daily.arrive(number, day(number, count=2004).drop_columns(["country"]))
    assert daily.alarms(columns) == {"data_schema": "ERROR"}
    volume = daily.arrive(number, day(number, count=700))
    assert daily.alarms(volume) == {"data_volume": "ERROR"}
    late = daily.arrive(number + 9, day(number, count=2005))
    assert daily.alarms(late) == {"data_freshness": "ERROR"}
    moved = daily.arrive(number + 1, day(number + 1, count=2006, shift=1.0))
    assert daily.alarms(moved) == {"data_distribution": "WARNING"}
    message = daily.platform.data_alarms.about("default", moved.id)[0].message
    assert f"unlike snapshot {first.id}: amount (" in message  # those that may not be used are nobody's measure
    assert "at most once in 300 snapshots" in message


def test_a_snapshot_with_an_error_is_used_only_once_it_is_accepted(daily: Daily, admin: Actor) -> None:
    platform = daily.platform
    daily.arrive(0, day(0))
    bad = daily.arrive(1, day(1).drop_columns(["country"]))
    with pytest.raises(CheckFailed) as refused:
        require_usable(platform, "default", bad)
    said = str(refused.value)
    assert "Column country is gone" in said
    assert f"bailiwick data accept {bad.id} --reason" in said
    assert "Told: nobody" in said
    reader = Actor("r", "reader", "default", frozenset({Permission.READ, Permission.DATA_WRITE}))
    with pytest.raises(NotAllowed, match=r"monitors\.write"):
        platform.data_alarms.accept(reader, "sales", bad.id, "because")
    with pytest.raises(InvalidInput, match="for a reason"):
        platform.data_alarms.accept(admin, "sales", bad.id, " ")
    [accepted] = platform.data_alarms.accept(admin, "sales", bad.id, "The source dropped it on purpose.")
    assert (accepted.status, accepted.note) == (AlarmStatus.ACKNOWLEDGED, "The source dropped it on purpose.")
    assert platform.data_alarms.accept(admin, "sales", bad.id, "again") == []
    require_usable(platform, "default", bad)
    entries = platform.journal.entries("default", limit=50)
    told = [entry for entry in entries if entry.action == "snapshot.accepted"]
    assert [(entry.resource, entry.detail["reason"]) for entry in told] == [
        ("dataset/sales", "The source dropped it on purpose.")
    ]
    inspect(platform, "default", bad, taking=Taking(daily.clock.now))
    assert len(platform.data_alarms.about("default", bad.id)) == 1  # what was accepted is not raised again


def test_an_alarm_about_data_is_closed_with_a_note_only(daily: Daily, admin: Actor) -> None:
    daily.arrive(0, day(0))
    bad = daily.arrive(1, day(1).drop_columns(["country"]))
    [alarm] = daily.platform.data_alarms.about("default", bad.id)
    assert (alarm.kind, alarm.dataset, alarm.snapshot, alarm.endpoint) == (Kind.DATA_SCHEMA, "sales", bad.id, "")
    with pytest.raises(InvalidInput, match="say why"):
        daily.platform.monitors.acknowledge(admin, alarm.id)
    daily.platform.monitors.resolve(admin, alarm.id, "A known change.")
    require_usable(daily.platform, "default", bad)


def test_what_was_not_inspected_is_inspected_before_it_is_used(
    platform: Platform, admin: Actor, clock: FakeClock
) -> None:
    platform.data.ingest(admin, "sales", day(0), source="s")
    clock.now += DAY
    first = platform.data.snapshots("default", "sales")[0]
    inspect(platform, "default", first)
    second = platform.data.ingest(admin, "sales", day(1).drop_columns(["amount"]), source="s")
    with pytest.raises(CheckFailed, match="Column amount is gone"):
        require_usable(platform, "default", second)


def test_an_inspection_killed_before_its_alarm_raises_it_when_repeated(
    daily: Daily, monkeypatch: pytest.MonkeyPatch
) -> None:
    daily.arrive(0, day(0))
    platform = daily.platform
    daily.clock.now += DAY
    bad = platform.data.ingest(daily.actor, "sales", day(1).drop_columns(["amount"]), source="s")
    with monkeypatch.context() as patched:

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("bailiwick.monitoring.data_alarms._raise", die)
        with pytest.raises(KeyboardInterrupt):
            inspect(platform, "default", bad)
    assert found_before(platform, "default", bad.id) is not None
    assert daily.alarms(bad) == {}
    inspect(platform, "default", bad)
    assert daily.alarms(bad) == {"data_schema": "ERROR"}


def test_the_tag_of_an_inspection_is_nobodys_to_set(daily: Daily, admin: Actor) -> None:
    kept = daily.arrive(0, day(0))
    with pytest.raises(InvalidInput, match="kept for what inspections find"):
        daily.platform.data.tag_snapshot(admin, kept.id, "inspection", "x")


def test_a_run_stops_at_a_failed_check_before_anything_is_learnt(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    (folder / "bailiwick.yaml").write_text(CHECKED, encoding="utf-8")
    bad = rows(days=2)
    pq.write_table(pa.concat_tables([bad, bad]), folder / "data" / "first.parquet")
    refused = run(platform, admin, folder)
    assert refused.status == "FAILED"
    assert {step.name: step.status.value for step in refused.steps}["features"] not in {"FINISHED", "CACHED"}
    assert "800 rows share 400 values of id: rows 1, 2, 3 and 797 more." in refused.message
    assert "800 rows are fewer than the 1,000" in refused.message
    snapshot = platform.data.snapshots("default", "fraud")[0]
    [alarm] = platform.data_alarms.about("default", snapshot.id)
    assert (alarm.kind, alarm.severity) == (Kind.DATA_CHECK, "ERROR")
    assert not (folder / "schema.pbtxt").exists()
    platform.data_alarms.accept(admin, "fraud", snapshot.id, "A replay of two days.")
    again = run(platform, admin, folder)
    assert "alarms stand" not in again.message
    pq.write_table(rows(), folder / "data" / "first.parquet")
    assert run(platform, admin, folder).status == "FINISHED"


def test_a_source_that_cannot_be_read_raises_an_alarm_a_day(
    platform: Platform, admin: Actor, folder: Path, clock: FakeClock
) -> None:
    pq.write_table(rows().drop_columns(["amount"]), folder / "data" / "first.parquet")
    for _ in range(2):
        assert "no column 'amount'" in run(platform, admin, folder).message
    found = platform.monitors.alarms("default")
    assert [(alarm.kind, alarm.dataset, alarm.snapshot) for alarm in found] == [(Kind.DATA_SCHEMA, "fraud", "")]
    assert found[0].message.startswith("Dataset fraud: The source cannot be read: ")
    clock.now += DAY
    run(platform, admin, folder)
    assert len(platform.monitors.alarms("default")) == 2


def test_data_that_does_not_fit_its_schema_is_told_without_its_values(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    assert run(platform, admin, folder).status == "FINISHED"
    bad = rows(seed=2)
    pq.write_table(bad.set_column(3, "country", pa.array(["XX"] * bad.num_rows)), folder / "data" / "first.parquet")
    assert "XX" in run(platform, admin, folder).message
    told = [alarm for alarm in platform.monitors.alarms("default") if alarm.kind is Kind.DATA_SCHEMA]
    assert len(told) == 1
    assert (told[0].severity, "country" in told[0].message, "XX" in told[0].message) == ("WARNING", True, False)


def test_changed_rules_are_applied_to_what_was_inspected(platform: Platform, admin: Actor, folder: Path) -> None:
    assert run(platform, admin, folder).status == "FINISHED"
    (folder / "bailiwick.yaml").write_text(CHECKED.replace("least: 1000", "least: 5000"), encoding="utf-8")
    assert "2,000 rows are fewer than the 5,000" in run(platform, admin, folder).message


def test_of_a_dataset_that_grows_the_new_rows_are_judged(
    platform: Platform, admin: Actor, clock: FakeClock, tmp_path: Path
) -> None:
    for number in range(LEAST_HISTORY + 2):
        short = number == LEAST_HISTORY + 1
        pq.write_table(day(number, count=40 if short else 300), tmp_path / f"{number:02}.parquet")
        clock.now += DAY
        kept = platform.data.ingest_new(admin, "sales", "*.parquet", tmp_path, time_column="at")
        found = inspect(platform, "default", kept, taking=Taking(clock.now))
        assert [each.kind for each in found.failed] == (["volume"] if short else []), number
    assert kept.rows == 300 * (LEAST_HISTORY + 1) + 40


def test_a_snapshot_without_rows_is_inspected_too(daily: Daily) -> None:
    for number in range(LEAST_HISTORY):
        daily.arrive(number, day(number))
    assert daily.alarms(daily.arrive(LEAST_HISTORY, day(LEAST_HISTORY, count=0))) == {"data_volume": "ERROR"}
    assert daily.alarms(daily.arrive(LEAST_HISTORY + 1, day(LEAST_HISTORY + 1))) == {}
