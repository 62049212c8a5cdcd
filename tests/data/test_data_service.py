"""Snapshots: immutable, idempotent by content, never half there, seen only by their workspace."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pytest
from sqlalchemy import func, select
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Corrupted, InvalidInput, NotAllowed, NotFound
from bailiwick.data.digest import table_digest
from bailiwick.data.model import Snapshot
from bailiwick.data.service import DataService
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

TABLE = pa.table(
    {
        "at": pa.array(
            [dt.datetime(2013, 1, 1, hour, tzinfo=dt.UTC) for hour in (5, 9, 7)], pa.timestamp("ns", "America/New_York")
        ),
        "carrier": pa.array(["UA", None, "B6"]).dictionary_encode(),
        "delay": [1.5, None, -3.0],
    }
)


@pytest.fixture
def data(records: Records, tables: DeltaTables, blobs: BlobStore) -> DataService:
    return DataService(records, tables, blobs)


def test_a_snapshot_keeps_rows_digest_time_range_and_statistics(
    data: DataService, admin: Actor, blobs: BlobStore
) -> None:
    snapshot = data.ingest(admin, "flights", TABLE, source="flights.csv", time_column="at", schema=b"feature {}")
    assert (snapshot.rows, snapshot.source, snapshot.dataset) == (3, "flights.csv", "flights")
    assert snapshot.columns == (("at", "timestamp[us, tz=UTC]"), ("carrier", "string"), ("delay", "double"))
    assert snapshot.digest == table_digest(TABLE)
    start = int(dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC).timestamp() * 1000)
    assert (snapshot.time_from, snapshot.time_to) == (start, start + 4 * 3_600_000)
    read = data.read("default", snapshot.id)
    assert table_digest(read) == snapshot.digest
    assert read["carrier"].to_pylist() == ["UA", None, "B6"]
    assert data.read("default", snapshot.id, ["delay", "at"]).column_names == ["delay", "at"]
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(data.statistics("default", snapshot.id))
    assert statistics.datasets[0].num_examples == 3
    assert blobs.get(snapshot.schema) == b"feature {}"
    assert data.snapshot("default", snapshot.id) == snapshot


def test_the_same_rows_again_are_the_same_snapshot_and_one_entry(
    data: DataService, admin: Actor, second: Actor, records: Records
) -> None:
    first = data.ingest(admin, "flights", TABLE, source="a.csv")
    rechunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)], promote_options="permissive")
    assert data.ingest(second, "flights", rechunked, source="b.csv") == first
    assert data.ingest(admin, "other", TABLE, source="a.csv").id != first.id
    with records.read() as connection:
        assert connection.scalar(select(func.count()).select_from(entries)) == 2


def test_a_process_killed_between_rows_and_record_leaves_no_snapshot_and_can_finish_later(
    data: DataService, admin: Actor, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(data, "_record", die)
    with pytest.raises(Killed):
        data.ingest(admin, "flights", TABLE, source="a.csv")
    assert data.snapshots("default") == []
    monkeypatch.undo()
    snapshot = data.ingest(admin, "flights", TABLE, source="a.csv")
    assert tables.version(snapshot.table) == 0
    assert data.read("default", snapshot.id).num_rows == 3


def test_a_writer_that_raced_to_append_the_same_rows_does_not_double_them(
    data: DataService, admin: Actor, tables: DeltaTables
) -> None:
    snapshot = data.ingest(admin, "flights", TABLE, source="a.csv")
    tables.append(snapshot.table, data.read("default", snapshot.id))
    assert data.read("default", snapshot.id).num_rows == 3


def test_a_table_that_holds_other_rows_is_refused(data: DataService, admin: Actor, tables: DeltaTables) -> None:
    tables.append(f"datasets/default/flights/{table_digest(TABLE)[:16]}", pa.table({"x": [1]}))
    with pytest.raises(Corrupted, match="holds other rows"):
        data.ingest(admin, "flights", TABLE, source="a.csv")


def test_a_loser_of_the_race_for_the_record_returns_the_winners(
    data: DataService, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = data.ingest(admin, "flights", TABLE, source="a.csv")
    monkeypatch.setattr(data, "_find", _blind_once(data._find))
    assert data.ingest(admin, "flights", TABLE, source="b.csv") == winner


def _blind_once(find: Callable[..., Snapshot | None]) -> Callable[..., Snapshot | None]:
    calls: list[object] = []

    def answer(*key: str) -> Snapshot | None:
        calls.append(key)
        return None if len(calls) == 1 else find(*key)

    return answer


def test_snapshots_are_listed_newest_first_by_dataset(data: DataService, admin: Actor, clock: FakeClock) -> None:
    old = data.ingest(admin, "flights", TABLE, source="a")
    clock.advance(1000)
    new = data.ingest(admin, "flights", TABLE.slice(1), source="b")
    other = data.ingest(admin, "weather", TABLE, source="c")
    assert data.snapshots("default", "flights") == [new, old]
    assert {snapshot.id for snapshot in data.snapshots("default")} == {old.id, new.id, other.id}
    assert data.datasets("default") == ["flights", "weather"]


def test_another_workspace_sees_nothing_and_shares_nothing(data: DataService, admin: Actor, stranger: Actor) -> None:
    mine = data.ingest(admin, "flights", TABLE, source="a")
    assert data.snapshots("elsewhere") == []
    with pytest.raises(NotFound):
        data.snapshot("elsewhere", mine.id)
    with pytest.raises(NotFound):
        data.read("elsewhere", mine.id)
    theirs = data.ingest(stranger, "flights", TABLE, source="a")
    assert theirs.table != mine.table


def test_a_viewer_may_read_and_not_ingest(data: DataService, viewer: Actor) -> None:
    with pytest.raises(NotAllowed, match=r"data\.write"):
        data.ingest(viewer, "flights", TABLE, source="a")


def test_whole_milliseconds_and_dates_are_times_and_text_is_not(data: DataService, admin: Actor) -> None:
    table = pa.table({"ms": [5, None, 3], "day": [dt.date(1970, 1, 2)] * 3, "t": ["a"] * 3})
    assert data.ingest(admin, "a", table, source="", time_column="ms").time_from == 3
    assert data.ingest(admin, "b", table, source="", time_column="day").time_to == 86_400_000
    with pytest.raises(InvalidInput, match="'t' is string"):
        data.ingest(admin, "c", table, source="", time_column="t")
    with pytest.raises(InvalidInput, match=r"Time column 'dau' is not known.*Did you mean 'day'"):
        data.ingest(admin, "c", table, source="", time_column="dau")


def test_a_dataset_without_rows_is_a_snapshot_too(data: DataService, admin: Actor) -> None:
    snapshot = data.ingest(admin, "empty", TABLE.slice(0, 0), source="a", time_column="at")
    assert (snapshot.rows, snapshot.time_from, snapshot.time_to) == (0, None, None)
    assert data.read("default", snapshot.id).num_rows == 0


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "a b"])
def test_a_dataset_name_that_could_leave_its_folder_is_refused(data: DataService, admin: Actor, name: str) -> None:
    with pytest.raises(InvalidInput, match="Dataset name"):
        data.ingest(admin, name, TABLE, source="a")


def test_a_column_that_is_not_there_is_named(data: DataService, admin: Actor) -> None:
    snapshot = data.ingest(admin, "flights", TABLE, source="a")
    with pytest.raises(InvalidInput, match="Did you mean 'delay'"):
        data.read("default", snapshot.id, ["delai"])


def test_a_snapshot_is_known_by_its_id_its_digest_and_how_that_begins(
    data: DataService, admin: Actor, stranger: Actor
) -> None:
    snapshot = data.ingest(admin, "flights", TABLE, source="flights.csv")
    words = {snapshot.id, snapshot.digest, snapshot.digest[:36], snapshot.digest[:16], snapshot.digest[:8], "0" * 32}
    assert data.snapshots_named("default", words) == dict.fromkeys(words - {snapshot.digest[:8], "0" * 32}, snapshot.id)
    assert data.snapshots_named(stranger.workspace, words) == {}
    assert data.snapshots_named("default", []) == {}
