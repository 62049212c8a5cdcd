"""What was counted of a snapshot's rows is kept, and rows added later are merged with it: as if all were counted at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Corrupted
from bailiwick.data.origin import Origin
from bailiwick.data.passing import Pass
from bailiwick.data.service import DataService
from bailiwick.data.statistics import compute_statistics, packing
from bailiwick.data.statistics.merging import Part, count_part
from bailiwick.data.statistics.packing import pack, unpack
from bailiwick.data.statistics.streaming import Counting
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records

SCHEMA = pa.schema(
    [
        ("x", pa.float64()),
        ("n", pa.int64()),
        ("t", pa.string()),
        ("raw", pa.binary()),
        ("l", pa.list_(pa.list_(pa.string()))),
        ("at", pa.timestamp("us", "UTC")),
        ("s", pa.struct([("a", pa.int64())])),
    ]
)
ROW = st.tuples(
    st.none() | st.floats(),
    st.none() | st.integers(-(2**53), 2**53),
    st.none() | st.text(max_size=3),
    st.none() | st.binary(max_size=3),
    st.none() | st.lists(st.none() | st.lists(st.text(max_size=2), max_size=2), max_size=2),
    st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    st.none() | st.fixed_dictionaries({"a": st.integers(0, 9)}),
)


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def _kept(part: Part) -> Part:
    packed = pack(part)
    assert packed is not None
    found = unpack(packed)
    assert found is not None
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, max_size=20), st.lists(ROW, max_size=20))
def test_kept_counts_and_those_of_new_rows_make_the_statistics_of_all(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    old, new = _table(before), _table(after)
    merged = _kept(count_part(old)).merge(count_part(new))
    assert merged.finish(order=SCHEMA.names) == compute_statistics(pa.concat_tables([old, new]))


def test_estimates_are_kept_too() -> None:
    rng = np.random.default_rng(1)
    table = pa.table({"x": rng.normal(size=40_000), "t": rng.integers(0, 10**12, 40_000).astype(str)})
    with pytest.MonkeyPatch.context() as patched, Counting() as counting:
        patched.setattr("bailiwick.data.statistics.counts._MOST_DISTINCT", 5000)
        patched.setattr("bailiwick.data.statistics.texts._MOST_DISTINCT", 5000)
        for start in range(0, 40_000, 10_000):
            counting.add(table.slice(start, 10_000))
            counting.part()
        part = counting.part()
    assert not part.columns["x"].exact
    assert not part.columns["t"].exact
    assert _kept(part).finish("d") == part.finish("d")


def test_what_is_no_count_is_refused_and_another_format_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(count_part(pa.table({"n": [1]})))
    assert packed is not None
    for damaged in (b"", b"12345678junk", packed[:-3]):
        with pytest.raises(Corrupted, match="not what was counted"):
            unpack(damaged)
    later = msgspec.msgpack.encode({"format": 2, "new": True})
    assert unpack(len(later).to_bytes(8, "little") + pa.compress(later, codec="zstd", asbytes=True)) is None
    monkeypatch.setattr(packing, "MOST_BYTES", 10)
    assert pack(count_part(pa.table({"n": [1]}))) is None


@pytest.fixture
def data(records: Records, tables: DeltaTables, blobs: BlobStore) -> DataService:
    return DataService(records, tables, blobs)


def _counted_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    take = Pass.take

    def watched(self: Pass, rows: pa.Table, *, counted: bool = False) -> pa.Table:
        found.append(0 if counted else rows.num_rows)
        return take(self, rows, counted=counted)

    monkeypatch.setattr(Pass, "take", watched)
    return found


def test_only_new_rows_are_counted_when_a_snapshot_is_added_to(
    data: DataService, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blobs: BlobStore
) -> None:
    for part in range(3):
        rows = pa.table({"id": range(part * 100, part * 100 + 100), "t": [f"v{n % 7}" for n in range(100)]})
        parquet.write_table(rows, tmp_path / f"{part}.parquet")
        counted = _counted_rows(monkeypatch)
        made = data.ingest_new(admin, "d", "*.parquet", tmp_path)
        assert sum(counted) == 100
        monkeypatch.undo()
    whole = pa.concat_tables([parquet.read_table(tmp_path / f"{part}.parquet") for part in range(3)])
    assert data.statistics("default", made.id) == compute_statistics(whole, "d").SerializeToString(deterministic=True)
    origin = Origin.from_json(blobs.get(made.origin))
    kept = unpack(blobs.get(origin.counted))
    assert kept is not None
    assert kept.rows == 300


def test_a_snapshot_that_kept_no_counts_is_counted_again(
    data: DataService, admin: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blobs: BlobStore
) -> None:
    parquet.write_table(pa.table({"id": range(100)}), tmp_path / "0.parquet")
    with monkeypatch.context() as patched:
        patched.setattr(packing, "MOST_BYTES", 10)
        first = data.ingest_new(admin, "d", "*.parquet", tmp_path)
    assert Origin.from_json(blobs.get(first.origin)).counted == ""
    parquet.write_table(pa.table({"id": range(100, 150)}), tmp_path / "1.parquet")
    counted = _counted_rows(monkeypatch)
    made = data.ingest_new(admin, "d", "*.parquet", tmp_path)
    assert sum(counted) == 150
    whole = pa.table({"id": range(150)})
    assert data.statistics("default", made.id) == compute_statistics(whole, "d").SerializeToString(deterministic=True)
