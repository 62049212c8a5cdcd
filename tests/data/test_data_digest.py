"""The digest tells values, not layout: equal for any chunking or encoding, different after any edit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable, type_name
from bailiwick.data.digest import BLOCK_ROWS, WHOLE, RunningDigest, table_digest
from bailiwick.data.sources import read_source

_TYPES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), st.text(max_size=5)),
    (pa.binary(), st.binary(max_size=5)),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates()),
    (
        pa.timestamp("us", "UTC"),
        st.datetimes(timezones=st.just(dt.UTC)),
    ),
    (pa.decimal128(6, 2), st.integers(-9999, 9999).map(lambda n: Decimal(n) / 100)),
    (pa.list_(pa.int32()), st.lists(st.none() | st.integers(-5, 5), max_size=3)),
    (pa.list_(pa.list_(pa.string())), st.lists(st.lists(st.text(max_size=2), max_size=2), max_size=2)),
    (
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.none() | st.text(max_size=2)}),
    ),
]


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 12))
    columns = {}
    for number in range(draw(st.integers(1, 4))):
        arrow_type, values = draw(st.sampled_from(_TYPES))
        drawn = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        columns[f"c{number}"] = pa.array(drawn, arrow_type)
    return pa.table(columns)


def _chunked(table: pa.Table, cuts: list[int]) -> pa.Table:
    borders = sorted({0, table.num_rows, *(cut % (table.num_rows + 1) for cut in cuts)})
    pieces = [table.slice(a, b - a) for a, b in pairwise(borders)]
    return pa.concat_tables(pieces) if pieces else table


@settings(deadline=None)
@given(_tables(), st.lists(st.integers(0, 100), max_size=4))
def test_chunking_does_not_change_the_digest(table: pa.Table, cuts: list[int]) -> None:
    assert table_digest(_chunked(table, cuts)) == table_digest(table)


@settings(deadline=None)
@given(_tables(), st.data())
def test_any_edit_of_a_value_changes_the_digest(table: pa.Table, data: st.DataObject) -> None:
    if not table.num_rows:
        return
    index = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    column = table.column(index)
    values = column.to_pylist()
    strategy = next(values for arrow_type, values in _TYPES if arrow_type == column.type)
    edited = data.draw((st.none() | strategy).filter(lambda value: value != values[row]))
    changed = table.set_column(
        index, table.field(index), pa.array([*values[:row], edited, *values[row + 1 :]], column.type)
    )
    assert table_digest(changed) != table_digest(table)


@settings(deadline=None)
@given(_tables())
def test_renaming_dropping_and_retyping_a_column_change_the_digest(table: pa.Table) -> None:
    digest = table_digest(table)
    assert table_digest(table.rename_columns(["renamed", *table.column_names[1:]])) != digest
    assert table_digest(table.append_column("more", pa.nulls(table.num_rows, pa.int64()))) != digest
    if table.num_rows:
        assert table_digest(table.slice(1)) != digest


def test_the_digest_is_the_same_on_every_machine_and_version() -> None:
    table = pa.table({"n": [1, None, 3], "t": ["a", "", None], "x": [0.5, -0.0, None]})
    assert table_digest(table) == "0af8aa2a28f5d086c74608c609c02deb10c3509f17c2851b46f69b66f3909fc7"


def test_row_order_and_column_order_matter() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    assert table_digest(table.take([1, 0])) != table_digest(table)
    assert table_digest(table.select(["b", "a"])) != table_digest(table)


def test_nulls_differ_from_zeros_and_lists_from_their_neighbours() -> None:
    assert table_digest(pa.table({"a": [None, 0]})) != table_digest(pa.table({"a": [0, None]}))
    assert table_digest(pa.table({"a": ["ab", "c"]})) != table_digest(pa.table({"a": ["a", "bc"]}))
    assert table_digest(pa.table({"a": [[1], [2]]})) != table_digest(pa.table({"a": [[1, 2], []]}))
    assert table_digest(pa.table({"a": pa.array([1], pa.int32())})) != table_digest(pa.table({"a": [1]}))


def test_encoding_and_parquet_layout_do_not_matter(tmp_path: Path) -> None:
    plain = pa.table({"t": ["a", "b", None, "a"] * 50, "n": range(200)})
    coded = plain.set_column(0, "t", plain["t"].dictionary_encode())
    large = plain.set_column(0, "t", plain["t"].cast(pa.large_string()))
    parquet.write_table(plain, tmp_path / "a.parquet", row_group_size=7)
    for other in (coded, large, parquet.read_table(tmp_path / "a.parquet")):
        assert table_digest(other) == table_digest(plain)


@settings(max_examples=40, deadline=None)
@given(_tables(), st.integers(1, 5))
def test_files_of_every_format_give_the_digest_of_the_rows_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, group: int
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    settled = storable(table)
    parquet.write_table(settled, folder / "a.parquet", row_group_size=group, compression="zstd")
    with pa.OSFile(str(folder / "a.arrow"), "wb") as file, pa.ipc.new_file(file, settled.schema) as writer:
        writer.write_table(settled, max_chunksize=group)
    deltalake.write_deltalake(folder / "delta", settled)
    expected = table_digest(table)
    for name in ("a.parquet", "a.arrow", "delta"):
        assert table_digest(read_source(name, folder)) == expected, name
    running = RunningDigest(settled.schema)
    for start in range(0, settled.num_rows, group):
        running.update(settled.slice(start, group))
    assert running.hexdigest() == expected


@settings(max_examples=30, deadline=None)
@given(_tables())
def test_settling_types_twice_changes_nothing(table: pa.Table) -> None:
    once = storable(table)
    assert storable(once).equals(once)


def test_types_are_settled_to_what_delta_can_hold() -> None:
    table = pa.table(
        {
            "u": pa.array([1], pa.uint32()),
            "ns": pa.array([1_999], pa.timestamp("ns")),
            "half": pa.array([1.5], pa.float16()),
            "none": pa.nulls(1),
            "list": pa.array([[1]], pa.large_list(pa.uint8())),
        }
    )
    settled = storable(table)
    assert [type_name(field.type) for field in settled.schema] == [
        "int64", "timestamp[us, tz=UTC]", "float", "string", "list<int16>",
    ]  # fmt: skip
    assert settled["ns"].cast(pa.int64()).to_pylist() == [1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"d": pa.array([1], pa.duration("s"))}), "'d' has the Arrow type duration"),
        (pa.table({"a": [1], "A": [2]}), "'a' and 'A' have the same name"),
        (pa.table({"": [1]}), "no name"),
        (pa.table({}), "no columns"),
        (pa.table({"u": pa.array([2**64 - 1], pa.uint64())}), "'u' cannot be kept as int64"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(table: pa.Table, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        storable(table)


@settings(deadline=None, max_examples=60)
@given(_tables(), st.integers(1, 6), st.lists(st.integers(0, 100), max_size=4), st.integers(0, 12))
def test_the_digest_is_the_same_however_rows_come_and_wherever_it_went_on(
    table: pa.Table, block: int, cuts: list[int], so_far: int
) -> None:
    rows = storable(table)
    expected = table_digest(rows, block_rows=block)
    before = RunningDigest(rows.schema, block_rows=block)
    before.update(_chunked(rows, cuts).slice(0, so_far))
    before.hexdigest()
    kept = before.digested()
    assert kept.rows <= min(so_far, rows.num_rows) < kept.rows + block or rows.num_rows == kept.rows
    running = RunningDigest(rows.schema, after=kept, block_rows=block)
    borders = sorted({0, rows.num_rows - kept.rows, *(cut % (rows.num_rows - kept.rows + 1) for cut in cuts)})
    for start, end in pairwise(borders):
        running.update(rows.slice(kept.rows + start, end - start))
    if kept.rows != block or rows.num_rows > block:
        assert running.hexdigest() == expected
    if rows.num_rows <= block:
        assert expected == table_digest(rows, block_rows=WHOLE)
    elif rows.num_rows > block:
        assert expected != table_digest(rows, block_rows=WHOLE)


def test_an_edit_in_any_block_changes_the_digest_and_blocks_do_not_change_places() -> None:
    rows = pa.table({"n": list(range(12))})
    digests = {table_digest(rows, block_rows=4)}
    for place in range(12):
        digests.add(table_digest(pa.table({"n": [*range(place), -1, *range(place + 1, 12)]}), block_rows=4))
    digests.add(table_digest(rows.take([4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11]), block_rows=4))
    digests.add(table_digest(rows.slice(0, 8), block_rows=4))
    digests.add(table_digest(rows.rename_columns(["m"]), block_rows=4))
    assert len(digests) == 16


def test_the_digest_of_many_rows_is_the_same_on_every_machine_and_version() -> None:
    count = 3 * BLOCK_ROWS + 5
    rows = pa.table({"n": range(count), "t": (["a", None, "bc", "", "ü"] * (count // 5 + 1))[:count]})
    assert table_digest(rows) == "acf69bb8f7f1dfabf4b6057f9033c23b5bb139d45dcdd5d37585980578bb0605"
    running = RunningDigest(rows.schema)
    for start in range(0, rows.num_rows, 50_000):
        running.update(rows.slice(start, 50_000))
    assert running.hexdigest() == "acf69bb8f7f1dfabf4b6057f9033c23b5bb139d45dcdd5d37585980578bb0605"
