"""What inspections leave in the catalogue, on both databases, and the rows that a snapshot added."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Corrupted, NotAllowed
from bailiwick.data.inspection import Inspection, Verdict, read_inspection
from bailiwick.data.service import DataService
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records


@pytest.fixture
def data(records: Records, tables: DeltaTables, blobs: BlobStore) -> DataService:
    return DataService(records, tables, blobs)


def test_earlier_inspected_snapshots_are_found_newest_first(data: DataService, admin: Actor) -> None:
    kept = [data.ingest(admin, "d", pa.table({"a": range(n)}), source="s") for n in (1, 2, 3, 4)]
    other = data.ingest(admin, "other", pa.table({"a": [1]}), source="s")
    for number in (0, 1, 3):
        data.keep_inspection(admin, kept[number].id, f"{number}" * 64, failed=[])
    data.keep_inspection(admin, other.id, "f" * 64, failed=[])
    found = data.inspected_before(kept[3], limit=10)  # all were kept in one millisecond
    assert [(each.id, digest[0]) for each, digest in found] == [(kept[1].id, "1"), (kept[0].id, "0")]
    assert len(data.inspected_before(kept[3], limit=1)) == 1
    data.delete_snapshot(admin, kept[1].id)
    assert [each.id for each, _ in data.inspected_before(kept[3], limit=10)] == [kept[0].id]


def test_an_inspection_is_kept_beside_the_tags_of_people(data: DataService, admin: Actor, viewer: Actor) -> None:
    kept = data.ingest(admin, "d", pa.table({"a": [1]}), source="s")
    assert data.inspection(admin.workspace, kept.id) == ""
    data.keep_inspection(admin, kept.id, "a" * 64, failed=["volume"])
    data.keep_inspection(admin, kept.id, "b" * 64, failed=[])
    assert data.inspection(admin.workspace, kept.id) == "b" * 64
    assert data.labels(admin.workspace, kept.id).tags == {}
    with pytest.raises(NotAllowed):
        data.keep_inspection(viewer, kept.id, "c" * 64, failed=[])


def test_rows_that_a_snapshot_added_are_read_alone(data: DataService, admin: Actor, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id\n1\n2\n")
    data.ingest_new(admin, "d", "*.csv", tmp_path)
    (tmp_path / "2.csv").write_text("id\n3\n")
    both = data.ingest_new(admin, "d", "*.csv", tmp_path)
    assert data.reader("default", both.id).read_all().to_pydict() == {"id": [1, 2, 3]}
    assert data.reader("default", both.id, ["id"], added=True).read_all().to_pydict() == {"id": [3]}
    empty = data.ingest(admin, "d", pa.table({"id": pa.array([], pa.int64())}), source="s")
    assert data.reader("default", empty.id).read_all().schema.names == ["id"]


def test_an_inspection_is_read_as_it_was_written() -> None:
    verdict = Verdict(kind="unique", name="unique id", severity="ERROR", change=False, passed=False, message="no")
    found = Inspection(
        snapshot="s",
        dataset="d",
        taken=1,
        rule="r",
        rows=2,
        span_ms=None,
        lag_ms=5,
        against="",
        false_alarms=0.01,
        profile="p",
        skipped=("id",),
        verdicts=(verdict,),
    )
    assert read_inspection(found.to_json()) == found
    assert found.failed == [verdict]
    with pytest.raises(Corrupted):
        read_inspection(b"{}")
