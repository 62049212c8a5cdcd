"""Delta tables: versions, exactly-once appends, names that stay inside."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from bailiwick.core.errors import InvalidInput, NotFound, Unavailable
from bailiwick.store.delta import DeltaTables


def _rows(*values: int) -> pa.Table:
    return pa.table({"a": pa.array(values, pa.int64())})


def test_appends_add_up_and_old_versions_stay(tables: DeltaTables) -> None:
    assert not tables.exists("x/y")
    assert tables.append("x/y", _rows(1)) == 0
    assert tables.append("x/y", _rows(2, 3)) == 1
    assert sorted(tables.read("x/y")["a"].to_pylist()) == [1, 2, 3]
    assert tables.read("x/y", version=0)["a"].to_pylist() == [1]
    assert tables.exists("x/y")
    assert tables.version("x/y") == 1


def test_what_an_application_committed_can_be_asked(tables: DeltaTables) -> None:
    assert tables.transaction_version("x", "shipper-0") is None
    tables.append("x", _rows(1), transaction=("shipper-0", 7))
    tables.append("x", _rows(2), transaction=("shipper-1", 1))
    assert tables.transaction_version("x", "shipper-0") == 7
    assert tables.transaction_version("x", "shipper-1") == 1
    assert tables.transaction_version("x", "another") is None


def test_another_process_sees_what_was_appended(tables: DeltaTables) -> None:
    tables.append("x", _rows(1))
    assert tables.read("x").num_rows == 1
    DeltaTables(tables.root).append("x", _rows(2))
    assert tables.read("x").num_rows == 2


def test_a_new_column_joins_the_schema(tables: DeltaTables) -> None:
    tables.append("x", _rows(1))
    tables.append("x", pa.table({"a": [2], "b": ["new"]}))
    assert sorted(tables.read("x").to_pylist(), key=lambda row: row["a"]) == [{"a": 1, "b": None}, {"a": 2, "b": "new"}]


def test_columns_are_read_alone(tables: DeltaTables) -> None:
    tables.append("x", pa.table({"a": [1], "b": ["b"]}))
    assert tables.read("x", columns=["b"]).column_names == ["b"]


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a//b", "A", "a b", "a/../b", "-a"])
def test_no_name_leaves_the_root(tables: DeltaTables, name: str) -> None:
    with pytest.raises(InvalidInput, match="may hold only"):
        tables.append(name, _rows(1))


def test_what_is_absent_is_not_found(tables: DeltaTables) -> None:
    for read in (tables.read, tables.version, tables.open):
        with pytest.raises(NotFound, match="'nothing'"):
            read("nothing")
    tables.append("x", _rows(1))
    with pytest.raises(NotFound, match="no version 9"):
        tables.read("x", version=9)


def test_a_root_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="Table x could not be written"):
        DeltaTables(str(tmp_path / "file")).append("x", _rows(1))


@pytest.mark.parametrize("name", ["with space", "100%", "ümlaut", "hash#and?mark"])
def test_a_folder_of_any_other_name_holds_tables(tmp_path: Path, name: str) -> None:
    DeltaTables(str(tmp_path / name)).append("x", _rows(1))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert DeltaTables(str(tmp_path / name)).read("x").num_rows == 1


def test_a_folder_that_looks_encoded_is_refused_before_anything_is_lost(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="two hex digits"):
        DeltaTables(str(tmp_path / "a%41"))


def test_batches_are_small_however_long_the_texts_are_and_hold_every_row_in_order(tables: DeltaTables) -> None:
    count = 60_000
    notes = pa.array([f"{number}{'x' * 2_000}" for number in range(count)])
    table = pa.table({"n": range(count), "note": notes})
    with tables.writer("long/notes", table.schema) as writer:
        for first in range(0, count, 5_000):
            writer.write(table.slice(first, 5_000))
        writer.commit(application="test")
    batches = list(tables.batches("long/notes", version=0, columns=["note", "n"]))
    assert max(batch.nbytes for batch in batches) < 40 << 20
    assert pa.Table.from_batches(batches).equals(table.select(["note", "n"]))


def test_batches_of_a_table_whose_schema_has_grown_have_its_columns_in_every_file(tables: DeltaTables) -> None:
    tables.append("grown", pa.table({"a": [1]}))
    tables.append("grown", pa.table({"a": [2], "b": ["x"]}))
    found = pa.Table.from_batches(list(tables.batches("grown", version=1, columns=["b", "a"])))
    assert sorted(zip(found["a"].to_pylist(), found["b"].to_pylist(), strict=True)) == [(1, None), (2, "x")]


def _coded(values: list[str | None], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, kind or pa.dictionary(pa.int32(), pa.string()))


def test_a_writer_takes_text_coded_or_plain_and_keeps_it_the_same(tables: DeltaTables) -> None:
    schema = pa.schema([("n", pa.int64()), ("t", pa.string()), ("l", pa.list_(pa.field("element", pa.string())))])
    lists = pa.array([["x"], None, []], schema.field("l").type)
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["a", None, "a"]))
    pieces = [
        _coded(["a", "b", None]),
        _coded(["c", "c", "a"]),
        pa.array(["plain", None, ""]),
        odd,
        _coded(["d", None, "e"], pa.dictionary(pa.int8(), pa.large_string())),
    ]
    with tables.writer("x", schema) as writer:
        for piece in pieces:
            writer.write(pa.table({"n": [1, 2, 3], "t": piece, "l": lists}))
        writer.commit(application="here")
    expected = [value for piece in pieces for value in piece.to_pylist()]
    found = pa.Table.from_batches(tables.batches("x", version=0, columns=schema.names))
    assert found.schema == schema
    assert found["t"].to_pylist() == expected
    assert tables.read("x")["t"].to_pylist() == expected
    assert tables.read("x")["l"].to_pylist() == lists.to_pylist() * len(pieces)


def test_numbers_that_hardly_repeat_are_kept_plain_and_no_text_is_kept_beside_the_rows(tables: DeltaTables) -> None:
    rows = 40_000
    schema = pa.schema([("far", pa.float64()), ("few", pa.int64()), ("t", pa.string())])
    with tables.writer("x", schema) as writer:
        words = [f"w{i % 9}" for i in range(rows)]
        writer.write(pa.table({"far": [i / 7 for i in range(rows)], "few": [i % 9 for i in range(rows)], "t": words}))
        writer.commit(application="here")
    (file,) = Path(tables.location("x")).glob("*.parquet")
    group = parquet.ParquetFile(file).metadata.row_group(0)
    encodings = ["RLE_DICTIONARY" in group.column(i).encodings for i in range(3)]
    assert encodings == [False, True, True]
    assert [group.column(i).is_stats_set for i in range(3)] == [True, True, False]
