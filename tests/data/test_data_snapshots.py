"""Snapshots of sources: streamed, in place, added to, named, found by time, compared, exported; never half there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from obstore.store import from_url
from sqlalchemy import select
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.core.actor import Actor
from bailiwick.core.errors import AlreadyExists, Conflict, Corrupted, InvalidInput, NotAllowed, NotFound
from bailiwick.data.digest import BLOCK_ROWS, WHOLE, RunningDigest, table_digest
from bailiwick.data.exporting import write_file
from bailiwick.data.model import Labels
from bailiwick.data.service import DataService
from bailiwick.data.sources import Source, frame_source, open_source
from bailiwick.data.splits import Split, parts
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from tests_support import s3


@pytest.fixture
def data(records: Records, tables: DeltaTables, blobs: BlobStore) -> DataService:
    return DataService(records, tables, blobs)


def _rows(start: int, end: int) -> pa.Table:
    return pa.table({"id": range(start, end), "t": [f"v{n}" for n in range(start, end)]})


def _tables_of(tables: DeltaTables, dataset: str = "d") -> list[str]:
    return tables.tables_in(f"datasets/default/{dataset}")


def test_a_streamed_snapshot_is_the_one_that_the_same_rows_in_memory_make(
    data: DataService, admin: Actor, tmp_path: Path, tables: DeltaTables
) -> None:
    table = _rows(0, 300_000)
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=70_001)
    streamed = data.ingest_source(admin, "d", open_source("a.parquet", tmp_path), time_column="id")
    assert (streamed.digest, streamed.rows) == (table_digest(table), 300_000)
    assert (streamed.time_from, streamed.time_to) == (0, 299_999)
    assert streamed.statistics_rows == 300_000
    assert data.read("default", streamed.id).equals(table)
    assert data.ingest(admin, "d", table, source="memory") == streamed
    assert data.ingest_source(admin, "d", frame_source(table)) == streamed
    assert _tables_of(tables) == [f"s-{streamed.id}"]


def test_rows_of_many_files_and_batches_keep_their_order(
    data: DataService, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bailiwick.store.table_writer.FILE_BYTES", 1 << 20)
    table = _rows(0, 600_000)
    kept = data.ingest_source(admin, "d", frame_source(table))
    assert data.read("default", kept.id)["id"].to_pylist() == list(range(600_000))
    assert sum(batch.num_rows for batch in data.batches("default", kept.id, ["t"])) == 600_000


def test_the_digest_of_pieces_is_that_of_the_whole() -> None:
    table = _rows(0, 1000)
    running = RunningDigest(table.schema)
    for start in range(0, 1000, 37):
        running.update(table.slice(start, 37))
    assert running.hexdigest() == table_digest(table)


def test_digests_that_earlier_versions_stored_are_still_those_of_the_rows() -> None:
    known = "dace29a45eeacaa3f7b1f395e9e2cce0d43d11be8ec31b6c8a13612c538dbc06"
    assert table_digest(pa.table({"n": [1, None], "t": ["x", ""]})) == known


def test_statistics_are_of_all_rows_however_they_came(data: DataService, admin: Actor, tmp_path: Path) -> None:
    table = _rows(0, 300_000).append_column("x", pa.array([n % 7 / 3 for n in range(300_000)]))
    for number in range(3):
        parquet.write_table(table.slice(number * 100_000, 100_000), tmp_path / f"{number}.parquet")
    for number in range(3):  # one more file each time
        kept = data.ingest_new(admin, "d", f"[0-{number}].parquet", tmp_path)
    whole = data.ingest(admin, "e", table, source="memory")
    assert (kept.rows, kept.statistics_rows, len(kept.parts)) == (300_000, 300_000, 3)
    streamed, at_once = (
        statistics_pb2.DatasetFeatureStatisticsList.FromString(data.statistics("default", one.id)).datasets[0]
        for one in (kept, whole)
    )
    at_once.name = "d"
    text = streamed.features[1]  # of more different values than are kept apart
    assert {stat.name for stat in text.custom_stats} == {"unique_error", "count_error"}
    assert text.string_stats.unique == pytest.approx(300_000, rel=0.03)
    assert text.string_stats.avg_length == at_once.features[1].string_stats.avg_length
    for dataset in (streamed, at_once):
        del dataset.features[1]
    assert streamed == at_once


# In place


def test_rows_may_stay_in_their_files_which_every_read_checks(
    data: DataService, admin: Actor, tmp_path: Path, tables: DeltaTables
) -> None:
    for number in (1, 2):
        arrow_csv.write_csv(_rows(number * 10, number * 10 + 10), tmp_path / f"{number}.csv")
    kept = data.ingest_source(admin, "d", open_source("*.csv", tmp_path), in_place=True)
    assert (kept.table, _tables_of(tables)) == ("", [])
    assert data.read("default", kept.id).equals(_rows(10, 30))
    assert data.read("default", kept.id, ["t"]).column_names == ["t"]
    (tmp_path / "2.csv").write_text('"id","t"\n1,"x"\n', encoding="utf-8")
    with pytest.raises(Corrupted, match=r"2\.csv is not the file that was ingested"):
        data.read("default", kept.id)
    (tmp_path / "2.csv").unlink()
    with pytest.raises(InvalidInput, match=r"No file matches .*2\.csv|does not exist"):
        data.read("default", kept.id)
    with pytest.raises(InvalidInput, match="is not made of files"):
        data.ingest_source(admin, "d", frame_source(_rows(0, 1)), in_place=True)


# Only what is new


def test_files_that_are_new_are_added_once(
    data: DataService, admin: Actor, tmp_path: Path, tables: DeltaTables
) -> None:
    parquet.write_table(_rows(0, 10), tmp_path / "1.parquet")
    first = data.ingest_new(admin, "d", "*.parquet", tmp_path)
    assert data.ingest_new(admin, "d", "*.parquet", tmp_path) == first
    parquet.write_table(_rows(10, 25), tmp_path / "2.parquet")
    second = data.ingest_new(admin, "d", "*.parquet", tmp_path, time_column="id")
    assert second.digest == table_digest(_rows(0, 25))
    assert [part.rows for part in second.parts] == [10, 15]
    assert (second.time_from, second.time_to) == (0, 24)
    assert data.read("default", second.id).equals(_rows(0, 25))
    assert data.read("default", first.id).equals(_rows(0, 10))
    assert tables.read(second.table).num_rows == 15  # what was there is not written again
    assert data.ingest_new(admin, "d", "*.parquet", tmp_path) == second
    (tmp_path / "copy.parquet").write_bytes((tmp_path / "2.parquet").read_bytes())
    assert data.ingest_new(admin, "d", "*.parquet", tmp_path) == second
    parquet.write_table(_rows(10, 26), tmp_path / "2.parquet")
    with pytest.raises(Conflict, match=r"2\.parquet was ingested before and has other bytes now"):
        data.ingest_new(admin, "d", "*.parquet", tmp_path)


def test_rows_above_the_watermark_are_added_once(data: DataService, admin: Actor, tmp_path: Path) -> None:
    import sqlite3

    def insert(start: int, end: int) -> None:
        with sqlite3.connect(tmp_path / "a.db") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS f (id INTEGER, t TEXT)")
            connection.executemany("INSERT INTO f VALUES (?, ?)", [(n, f"v{n}") for n in range(start, end)])

    query = "sqlite:///a.db?query=SELECT * FROM f ORDER BY id"
    insert(0, 10)
    with pytest.raises(InvalidInput, match="say which column tells new rows"):
        data.ingest_new(admin, "d", query, tmp_path)
    first = data.ingest_new(admin, "d", query, tmp_path, watermark="id")
    insert(10, 12)
    second = data.ingest_new(admin, "d", query, tmp_path, watermark="id")
    assert data.ingest_new(admin, "d", query, tmp_path, watermark="id") == second
    assert second.digest == table_digest(_rows(0, 12))
    assert data.read("default", first.id).num_rows == 10
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("INSERT INTO f VALUES (NULL, 'x')")
    with pytest.raises(InvalidInput, match="Watermark column 'id' is missing in 1 rows"):
        data.ingest_new(admin, "d", query, tmp_path, watermark="id")


def test_rows_of_other_columns_are_not_added(data: DataService, admin: Actor, tmp_path: Path) -> None:
    parquet.write_table(_rows(0, 10), tmp_path / "1.parquet")
    data.ingest_new(admin, "d", "1.parquet", tmp_path)
    parquet.write_table(pa.table({"id": [1.5], "t": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(Conflict, match="columns are not those of snapshot"):
        data.ingest_new(admin, "d", "2.parquet", tmp_path)


def test_what_is_added_is_read_and_little_of_what_was_there(
    data: DataService, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bailiwick.store.table_writer.FILE_BYTES", 1 << 20)
    read: list[int] = []
    whole = data.batches

    def counting(*args: object, **named: object) -> Iterator[pa.RecordBatch]:
        for batch in whole(*args, **named):  # type: ignore[arg-type]
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(data, "batches", counting)
    size, found = 100_000, []
    for number in range(6):
        parquet.write_table(_rows(number * size, (number + 1) * size), tmp_path / f"{number}.parquet")
        read.clear()
        kept = data.ingest_new(admin, "d", "*.parquet", tmp_path, time_column="id")
        found.append(sum(read))
        assert kept.digest == table_digest(_rows(0, (number + 1) * size))
        assert (kept.time_from, kept.time_to) == (0, (number + 1) * size - 1)
    assert found == [0, *(n * size % BLOCK_ROWS for n in range(1, 6))]
    read.clear()
    parquet.write_table(_rows(6 * size, 6 * size + 1), tmp_path / "6.parquet")
    kept = data.ingest_new(admin, "d", "*.parquet", tmp_path)  # of another time column nothing is known
    assert sum(read) == 6 * size
    assert kept.digest == table_digest(_rows(0, 6 * size + 1))
    assert kept.statistics_rows == 6 * size + 1


@pytest.mark.parametrize("skip", [0, 1, 99_999, 100_000, 100_001, 180_000, 250_000, 299_999, 300_000])
def test_rows_are_read_from_any_one_on(
    data: DataService, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip: int
) -> None:
    monkeypatch.setattr("bailiwick.store.table_writer._GROUP_ROWS", 30_000)
    monkeypatch.setattr("bailiwick.store.table_writer.FILE_BYTES", 1 << 19)
    for number in range(3):
        parquet.write_table(_rows(number * 100_000, (number + 1) * 100_000), tmp_path / f"{number}.parquet")
        kept = data.ingest_new(admin, "d", f"[0-{number}].parquet", tmp_path)
    for columns in (["t", "id"], ["id"]):
        rows = [n for batch in data.batches("default", kept.id, columns, skip=skip) for n in batch["id"].to_pylist()]
        assert rows == list(range(skip, 300_000))


def test_the_same_many_rows_are_one_snapshot_though_an_earlier_version_kept_it(
    data: DataService, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _rows(0, 100_000)
    parquet.write_table(table, tmp_path / "a.parquet")
    with monkeypatch.context() as earlier:
        earlier.setattr(
            "bailiwick.data.digest.RunningDigest.__init__.__kwdefaults__", {"after": None, "block_rows": WHOLE}
        )
        old = data.ingest_source(admin, "d", open_source("a.parquet", tmp_path))
    assert old.digest == table_digest(table, block_rows=WHOLE) != table_digest(table)
    assert data.ingest_source(admin, "d", open_source("a.parquet", tmp_path)) == old
    assert data.ingest(admin, "d", table, source="memory") == old
    data.export(admin, old.id, tmp_path / "b.parquet")
    assert parquet.read_table(tmp_path / "b.parquet").equals(table)
    other = data.ingest_source(admin, "d", frame_source(table.take(list(range(99_999, -1, -1)))))
    assert other.id != old.id
    parquet.write_table(_rows(100_000, 100_010), tmp_path / "c.parquet")
    assert data.ingest_new(admin, "e", "[ac].parquet", tmp_path).digest == table_digest(_rows(0, 100_010))


# Nothing half


class _Broken(Source):
    def coded(self):  # type: ignore[no-untyped-def]
        yield from super().coded()
        raise InvalidInput("the source broke off")


def test_a_source_that_breaks_off_leaves_neither_record_nor_file(
    data: DataService, admin: Actor, tables: DeltaTables, tmp_path: Path
) -> None:
    source = frame_source(_rows(0, 600_000))
    source.__class__ = _Broken
    with pytest.raises(InvalidInput, match="broke off"):
        data.ingest_source(admin, "d", source)
    assert data.snapshots("default") == []
    assert [path for path in (tmp_path / "tables").rglob("*") if path.is_file()] == []


def test_a_file_that_changes_while_it_is_kept_makes_no_snapshot(
    data: DataService, admin: Actor, tmp_path: Path, tables: DeltaTables
) -> None:
    parquet.write_table(_rows(0, 10), tmp_path / "a.parquet")
    source = open_source("a.parquet", tmp_path)
    read = source.coded

    def edit_then_read() -> Iterator[pa.RecordBatch]:
        parquet.write_table(_rows(0, 11), tmp_path / "a.parquet")
        yield from read()

    source.coded = edit_then_read  # type: ignore[method-assign]
    with pytest.raises(Conflict, match=r"a\.parquet changed while it was read"):
        data.ingest_source(admin, "d", source)
    assert (data.snapshots("default"), [path for path in (tmp_path / "tables").rglob("*") if path.is_file()]) == (
        [],
        [],
    )


def test_a_process_killed_before_the_record_adds_new_rows_once_when_it_is_repeated(
    data: DataService, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    parquet.write_table(_rows(0, 10), tmp_path / "1.parquet")
    first = data.ingest_new(admin, "d", "*.parquet", tmp_path)
    parquet.write_table(_rows(10, 20), tmp_path / "2.parquet")
    with monkeypatch.context() as patched:
        patched.setattr(data, "_record", die)
        with pytest.raises(Killed):
            data.ingest_new(admin, "d", "*.parquet", tmp_path)
    assert data.snapshots("default") == [first]
    second = data.ingest_new(admin, "d", "*.parquet", tmp_path)
    assert second.digest == table_digest(_rows(0, 20))
    assert data.read("default", second.id).equals(_rows(0, 20))


_KILLED = """
import resource, signal, sys
from pathlib import Path
import pyarrow as pa
from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError
from bailiwick.core.settings import Settings
from bailiwick.data.sources import frame_source

platform = open_platform(Settings(home=Path(sys.argv[1])))
actor = Actor("u", "u", "default", frozenset(Permission))
batch = pa.record_batch({"id": range(65536), "t": ["some text"] * 65536})
if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
    batch = pa.record_batch({"x": __import__("numpy").random.default_rng(1).random(1 << 20)})

def endless():
    number = 0
    while True:
        number += 1
        if number == 60:
            print("busy", flush=True)
        yield batch

stream = pa.RecordBatchReader.from_batches(batch.schema, endless())
try:
    platform.data.ingest_source(actor, "d", frame_source(stream))
except BailiwickError as error:
    print(error, flush=True)
"""


def test_kill_in_the_middle_leaves_no_snapshot_and_its_files_are_swept_a_day_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bailiwick.app import open_platform
    from bailiwick.core.actor import Permission
    from bailiwick.core.settings import Settings

    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, tmp_path, "kill"], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    platform = open_platform(Settings(home=tmp_path))
    try:
        actor = Actor("u", "u", "default", frozenset(Permission))
        assert platform.data.snapshots("default") == []
        left = platform.tables.tables_in("datasets/default/d")
        assert len(left) == 1
        kept = platform.data.ingest_source(actor, "d", frame_source(_rows(0, 10)))
        assert left[0] in platform.tables.tables_in("datasets/default/d")  # it may still be at work
        later = time.time() + 2 * 86_400
        monkeypatch.setattr("bailiwick.data.keeping.time.time", lambda: later)
        other = platform.data.ingest_source(actor, "d", frame_source(_rows(0, 11)))
        assert platform.tables.tables_in("datasets/default/d") == sorted([f"s-{kept.id}", f"s-{other.id}"])
        assert platform.data.read("default", kept.id).num_rows == 10
    finally:
        platform.database.close()


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, tmp_path, "full"], capture_output=True, text=True, check=True, timeout=120
    )
    assert "could not be written: " in done.stdout
    assert "Is the disk full? Nothing was committed." in done.stdout
    assert list((tmp_path / "tables").rglob("*.parquet")) == []


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    program = (
        "import json, resource, sys, time; from pathlib import Path; import numpy as np, pyarrow as pa\n"
        "from bailiwick.app import open_platform; from bailiwick.core.settings import Settings\n"
        "from bailiwick.core.actor import Actor, Permission; from bailiwick.data.sources import frame_source\n"
        "platform = open_platform(Settings(home=Path(sys.argv[1])))\n"
        "actor = Actor('u', 'u', 'default', frozenset(Permission))\n"
        "def rows(count):\n"
        "    random = np.random.default_rng(0)\n"
        "    first = pa.record_batch({f'c{n}': random.random(65536) for n in range(8)})\n"
        "    return pa.RecordBatchReader.from_batches(first.schema, (first for _ in range(count)))\n"
        "def peak(count, name):\n"
        "    begun = time.monotonic()\n"
        "    platform.data.ingest_source(actor, name, frame_source(rows(count)))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, count * 65536 / (time.monotonic() - begun)\n"
        "print(json.dumps([peak(40, 'small'), peak(120, 'large')]))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    (small, _), (large, rate) = json.loads(done.stdout)
    print(f"peak {small >> 10} MiB for 160 MiB of rows, {large >> 10} MiB for 480 MiB; {rate:,.0f} rows/s")
    assert large - small < 200 << 10  # 320 MiB more of rows


# Finding


def test_a_snapshot_is_found_by_name_time_digest_and_part_of_its_id(
    data: DataService, admin: Actor, clock: FakeClock, stranger: Actor
) -> None:
    first = data.ingest(admin, "d", _rows(0, 3), source="a")
    clock.advance(1_000)
    second = data.ingest(admin, "d", _rows(0, 4), source="a")
    data.name_snapshot(admin, first.id, "golden")
    data.tag_snapshot(admin, first.id, "quality", "good")
    assert data.labels("default", first.id) == Labels(("golden",), {"quality": "good"})
    assert data.find("default", "d@golden") == data.find("default", first.id) == first
    assert data.find("default", first.id[-12:]) == data.find("default", first.digest[:12]) == first
    assert data.find("default", "d@latest") == second
    assert data.find("default", f"d@{first.created}") == data.as_of("default", "d", second.created - 1) == first
    with pytest.raises(NotFound, match="had no snapshot at"):
        data.as_of("default", "d", first.created - 1)
    data.name_snapshot(admin, second.id, "golden")
    assert data.find("default", "d@golden") == second
    data.tag_snapshot(admin, first.id, "quality", None)
    assert data.labels("default", first.id) == Labels()
    with pytest.raises(NotFound, match="Did you mean 'golden'"):
        data.find("default", "d@goldn")
    with pytest.raises(InvalidInput, match="names no snapshot"):
        data.find("default", "'; DROP TABLE x; --")
    for name in ("latest", "2026-01-01", "Ü", ""):
        with pytest.raises(InvalidInput, match="Name"):
            data.name_snapshot(admin, first.id, name)
    with pytest.raises(NotFound):
        data.name_snapshot(stranger, first.id, "mine")


def test_a_name_is_taken_away_and_moved_knowingly(
    data: DataService, records: Records, admin: Actor, stranger: Actor
) -> None:
    first = data.ingest(admin, "d", _rows(0, 3), source="a")
    second = data.ingest(admin, "d", _rows(0, 4), source="a")
    data.name_snapshot(admin, first.id, "golden")
    data.name_snapshot(admin, first.id, "golden", move=False)
    with pytest.raises(AlreadyExists, match=f"d@golden is snapshot {first.id}"):
        data.name_snapshot(admin, second.id, "golden", move=False)
    assert data.find("default", "d@golden") == first
    with pytest.raises(Conflict, match="bailiwick data unname d@golden"):
        data.delete_snapshot(admin, first.id)
    for who, dataset, name in ((stranger, "d", "golden"), (admin, "e", "golden"), (admin, "d", "goldn")):
        with pytest.raises(NotFound):
            data.unname_snapshot(who, dataset, name)
    assert data.unname_snapshot(admin, "d", "golden") == first
    assert data.labels("default", first.id) == Labels()
    with pytest.raises(NotFound, match="golden"):
        data.unname_snapshot(admin, "d", "golden")
    assert data.delete_snapshot(admin, first.id).deleted
    with records.read() as connection:
        (row,) = connection.execute(select(entries).where(entries.c.action == "snapshot.unnamed"))
    assert (row.resource, row.actor) == ("dataset/d", admin.name)
    assert json.loads(row.detail) == {"snapshot": first.id, "name": "golden"}


def test_a_viewer_may_export_and_neither_name_nor_delete(
    data: DataService, admin: Actor, viewer: Actor, tmp_path: Path
) -> None:
    kept = data.ingest(admin, "d", _rows(0, 3), source="a")
    verbs: tuple[Callable[[], object], ...] = (
        lambda: data.name_snapshot(viewer, kept.id, "x"),
        lambda: data.unname_snapshot(viewer, "d", "x"),
        lambda: data.tag_snapshot(viewer, kept.id, "x", "y"),
        lambda: data.delete_snapshot(viewer, kept.id),
        lambda: data.restore_snapshot(viewer, kept.id),
        lambda: data.ingest_source(viewer, "d", frame_source(_rows(0, 1))),
    )
    for verb in verbs:
        with pytest.raises(NotAllowed):
            verb()
    data.export(viewer, kept.id, tmp_path / "a.csv")


def test_a_deleted_snapshot_stays_on_record_and_can_be_restored(
    data: DataService, admin: Actor, clock: FakeClock
) -> None:
    kept = data.ingest(admin, "d", _rows(0, 3), source="a")
    data.name_snapshot(admin, kept.id, "golden")
    with pytest.raises(Conflict, match="is called golden"):
        data.delete_snapshot(admin, kept.id)
    other = data.ingest(admin, "d", _rows(0, 4), source="a")
    data.name_snapshot(admin, other.id, "golden")
    clock.advance(10)
    assert data.delete_snapshot(admin, kept.id, reason="wrong").deleted == clock()
    assert data.snapshots("default", "d") == [other]
    assert data.snapshot("default", kept.id).deleted
    with pytest.raises(Conflict, match="was deleted"):
        data.read("default", kept.id)
    with pytest.raises(Conflict, match="was deleted"):
        data.name_snapshot(admin, kept.id, "again")
    assert data.ingest(admin, "d", _rows(0, 3), source="a").id == kept.id  # the same rows bring it back
    assert data.read("default", kept.id).num_rows == 3


# Comparing and exporting


def test_two_snapshots_are_compared_in_columns_rows_and_statistics(data: DataService, admin: Actor) -> None:
    one = data.ingest(admin, "d", pa.table({"a": [1, 3], "b": ["x", None], "c": [1, 2]}), source="a")
    other = data.ingest(
        admin, "d", pa.table({"a": [2, 4, 9], "b": ["x", "y", "z"], "c": [0.5, 1, 2], "e": [1] * 3}), source="a"
    )
    found = data.compare("default", one.id, other.id)
    assert (found.equal, found.rows_added) == (False, 1)
    assert [(each.column, each.change) for each in found.columns] == [
        ("a", "same"), ("b", "same"), ("c", "retyped"), ("e", "added")
    ]  # fmt: skip
    assert found.columns[0].statistics["mean"] == (2.0, 5.0)
    assert found.columns[1].statistics["missing"] == (1.0, 0.0)
    assert found.columns[3].statistics["max"] == (None, 1.0)
    assert data.compare("default", one.id, one.id).equal


@pytest.mark.parametrize("values", [pa.array([[1]]), pa.array([{"x": 1}]), pa.array([b"\xff"])])
def test_what_csv_has_no_form_for_is_not_exported_to_it(
    data: DataService, admin: Actor, tmp_path: Path, values: pa.Array
) -> None:
    kept = data.ingest_source(admin, "d", frame_source(pa.table({"v": values})))
    with pytest.raises(InvalidInput, match=r"Column 'v' is .*, which CSV has no form for\. .*\.parquet"):
        data.export(admin, kept.id, tmp_path / "a.csv")
    assert list(tmp_path.glob("*.csv")) == []
    data.export(admin, kept.id, tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["v"].to_pylist() == values.to_pylist()


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow"])
def test_an_export_holds_the_rows_and_is_whole_or_not_there(
    data: DataService, admin: Actor, tmp_path: Path, ending: str, tables: DeltaTables
) -> None:
    kept = data.ingest_source(admin, "d", frame_source(_rows(0, 1000)))
    path = tmp_path / f"out.{ending}"
    data.export(admin, kept.id, path)
    assert open_source(path.name, tmp_path).table().equals(_rows(0, 1000))
    with pytest.raises(AlreadyExists):
        data.export(admin, kept.id, path)
    (file,) = (tmp_path / "tables").rglob("*.parquet")
    parquet.write_table(_rows(1, 1001), file)
    with pytest.raises(Corrupted, match=r"cannot be read|digest"):
        data.export(admin, kept.id, tmp_path / f"other.{ending}")
    assert [each.name for each in tmp_path.iterdir() if "other" in each.name] == []
    with pytest.raises(Corrupted, match="digest"):
        write_file(
            tmp_path / f"other.{ending}",
            "",
            _rows(0, 9).schema.empty_table(),
            iter(_rows(0, 9).to_batches()),
            kept.digest,
        )
    assert [each.name for each in tmp_path.iterdir() if "other" in each.name] == []
    with pytest.raises(InvalidInput, match="Export format"):
        data.export(admin, kept.id, tmp_path / "a.xlsx")


def test_snapshots_live_in_an_object_store_too(
    records: Records, blobs: BlobStore, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.fresh_bucket(monkeypatch)
    tables = DeltaTables(f"{bucket}/tables")
    data = DataService(records, tables, blobs)
    kept = data.ingest_source(admin, "d", frame_source(_rows(0, 1000)))
    assert data.read("default", kept.id).equals(_rows(0, 1000))
    assert data.ingest_source(admin, "d", frame_source(_rows(0, 1000))) == kept
    assert _tables_of(tables) == [f"s-{kept.id}"]
    assert deltalake.DeltaTable(tables.location(kept.table)).version() == 0
    assert from_url(bucket) is not None
    assert data.ingest(admin, "e", _rows(0, 5), source="x").rows == 5


# Splits


def test_a_split_is_recorded_with_the_snapshot_and_read_part_by_part(
    data: DataService, admin: Actor, viewer: Actor
) -> None:
    kept = data.ingest_source(admin, "d", frame_source(_rows(0, 200_000)))
    shares = (("train", 0.8), ("test", 0.2))
    for name, split in (
        ("by-chance", Split("random", shares, seed=7)),
        ("by-user", Split("group", shares, "t")),
        ("by-time", Split("time", shares, "id")),
    ):
        data.split_snapshot(admin, kept.id, name, split)
        data.split_snapshot(admin, kept.id, name, split)
        assert data.split_of("default", kept.id, name) == split
        seen = {
            part: [
                n
                for batch in data.part_batches("default", kept.id, name, part, ["id"])
                for n in batch["id"].to_pylist()
            ]
            for part, _ in shares
        }
        expected = parts(split, _rows(0, 200_000))
        assert seen == {part: rows["id"].to_pylist() for part, rows in expected.items()}
    with pytest.raises(Conflict, match="another split called 'by-time'"):
        data.split_snapshot(admin, kept.id, "by-time", Split("random", shares))
    with pytest.raises(InvalidInput, match="Part of split 'by-time' 'dev' is not known"):
        list(data.part_batches("default", kept.id, "by-time", "dev"))
    with pytest.raises(NotFound, match="There are: by-chance, by-time, by-user"):
        data.split_of("default", kept.id, "nix")
    with pytest.raises(InvalidInput, match="Column of snapshot"):
        data.split_snapshot(admin, kept.id, "x", Split("time", shares, "nix"))
    with pytest.raises(NotAllowed):
        data.split_snapshot(viewer, kept.id, "by-time", Split("time", shares, "id"))


def test_ten_thousand_columns_of_nothing_but_nan_with_names_like_sql_are_kept(data: DataService, admin: Actor) -> None:
    names = [f"c{number}\"; DROP TABLE dataset_snapshots; --'" for number in range(10_000)]
    table = pa.table({name: [float("nan")] * 3 for name in names})
    kept = data.ingest_source(admin, "wide", frame_source(table))
    found = data.read("default", kept.id, names[-2:])
    assert (found.column_names, found.num_rows) == (names[-2:], 3)
    assert data.snapshots("default", "wide") == [kept]
