"""What reading fast is made of: blocks, threads that keep an order, arrays without pandas, a sort of many numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput
from bailiwick.data import plain_arrays
from bailiwick.data.reading.blocks import blocks
from bailiwick.data.reading.delimited import DelimitedReader
from bailiwick.data.reading.model import SourceOptions
from bailiwick.data.reading.places import LocalFile
from bailiwick.data.reading.turns import in_turn
from bailiwick.data.statistics.sorting import in_order


class _Arriving(LocalFile):
    """Bytes that arrive in small pieces."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        super().__init__(Path("a.csv"))
        self._data, self._cuts = data, cuts

    def chunks(self) -> Iterator[bytes]:
        ends = sorted({min(cut, len(self._data)) for cut in self._cuts} | {len(self._data)})
        start = 0
        for end in ends:
            if end > start:
                yield self._data[start:end]
            start = end


@settings(deadline=None)
@given(
    st.lists(st.text(st.sampled_from('ab,\n"'), max_size=8), max_size=20),
    st.lists(st.integers(0, 150), max_size=10),
    st.integers(1, 60),
    st.booleans(),
)
def test_blocks_are_the_file_and_end_where_a_record_ends_however_it_arrives(
    cells: list[str], cuts: list[int], size: int, quoted: bool
) -> None:
    data = "".join('"' + cell.replace('"', '""') + '"\n' for cell in cells).encode()
    found = list(blocks(_Arriving(data, cuts), encoding="utf-8", quote='"' if quoted else "", size=size))
    assert b"".join(found) == data
    assert all(found)
    for block in found:
        assert block.endswith(b"\n")
        assert not quoted or block.count(b'"') % 2 == 0
    assert found == list(blocks(_Arriving(data, []), encoding="utf-8", quote='"' if quoted else "", size=size))


def test_a_quotation_mark_left_open_is_named_in_the_last_of_many_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + '1,"x"\n' * 500 + '2,"open\n' + "3,x\n" * 3, encoding="utf-8")
    for size in (40, 10_000):
        with pytest.raises(InvalidInput, match=r"a\.csv, row 502: a quotation mark is opened and not closed"):
            DelimitedReader(LocalFile(path), SourceOptions(), block_bytes=size).schema()


def test_a_column_that_turns_into_another_type_late_is_that_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n" + "1,,2\n" * 300 + "1.5,x,\n" * 300 + "7,2,2013-01-01\n", encoding="utf-8")
    reader = DelimitedReader(LocalFile(path), SourceOptions(), block_bytes=64)
    schema = reader.schema()
    assert schema.types == [pa.float64(), pa.string(), pa.string()]
    table = pa.Table.from_batches(reader.batches(schema, schema.names), schema)
    assert table.num_rows == 601
    assert table.slice(598).to_pylist() == [
        {"a": 1.5, "b": "x", "c": None},
        {"a": 1.5, "b": "x", "c": None},
        {"a": 7.0, "b": "2", "c": "2013-01-01"},
    ]


def test_results_come_in_the_order_of_the_pieces_and_threads_end() -> None:
    before = threading.active_count()
    assert list(in_turn(lambda n: n * n, iter(range(50)))) == [(n, n * n) for n in range(50)]
    assert list(in_turn(str, iter(()))) == []
    left = in_turn(str, iter(range(50)))
    assert next(left) == (0, "0")
    left.close()  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        list(in_turn(lambda n: 1 // n, iter([1, 0, 1])))
    assert threading.active_count() == before


def test_no_more_pieces_are_made_than_are_worked_on() -> None:
    made = []

    def pieces() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    for piece, _ in in_turn(lambda n: n, pieces()):
        assert len(made) <= piece + 6


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["normal", "lognormal", "whole", "one", "outlier", "huge", "tiny", "zeros"]),
    st.integers(16_000, 40_000),
)
def test_numbers_are_sorted_as_numpy_sorts_them(seed: int, kind: str, count: int) -> None:
    rng = np.random.default_rng(seed)
    makers: dict[str, Callable[[], NDArray[Any]]] = {
        "normal": lambda: rng.normal(0, 1, count),
        "lognormal": lambda: rng.lognormal(0, 4, count),
        "whole": lambda: rng.integers(0, 50, count) * 1.5,
        "one": lambda: np.full(count, 2.5),
        "outlier": lambda: np.concatenate([[1e300], rng.normal(0, 1, count)]),
        "huge": lambda: rng.choice([-1.7e308, 1.7e308, 1.0], count) * rng.random(count),
        "tiny": lambda: rng.random(count) * 1e-310,
        "zeros": lambda: rng.choice([0.0, -0.0, 5e-324], count),
    }
    values = makers[kind]()
    kept = values.copy()
    assert np.array_equal(in_order(values), np.sort(values))
    assert np.array_equal(values, kept)


@settings(deadline=None)
@given(st.lists(st.integers(-100, 100), max_size=30), st.integers(0, 5), st.integers(0, 9))
def test_arrays_go_to_numpy_and_back_whatever_they_were_cut_from(values: list[int], start: int, cut: int) -> None:
    flags = [value > 0 for value in values]
    for kind in (pa.int8(), pa.int64(), pa.float32(), pa.float64()):
        array = pa.array(values, kind)
        whole = pa.chunked_array([array.slice(start, cut), array.slice(start + cut)], kind)
        for each in (array.slice(start), whole):
            assert plain_arrays.numbers_of(each).tolist() == each.to_pylist()
            assert plain_arrays.numbers_of(each).dtype == kind.to_pandas_dtype()
    truths = pa.array(flags, pa.bool_())
    whole = pa.chunked_array([truths.slice(start, cut), truths.slice(start + cut)], pa.bool_())
    for each in (truths.slice(start), whole):
        assert plain_arrays.truths_of(each).tolist() == each.to_pylist()
    assert plain_arrays.mask(np.array(flags, dtype=np.bool_)).equals(truths)
    assert plain_arrays.places(np.array(values, dtype=np.int32)).to_pylist() == values


@pytest.mark.parametrize("kind", [pa.int64(), pa.int8(), pa.string(), pa.binary(), pa.binary(16)])
def test_zeros_are_those_of_arrow(kind: pa.DataType) -> None:
    expected = {"string": "", "binary": b"", "fixed_size_binary[16]": bytes(16)}.get(str(kind), 0)
    assert plain_arrays.zero(kind).equals(pa.scalar(expected, kind))


_INGEST = """
import sys
from pathlib import Path
from typing import Any
from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.data.sources import open_source
platform = open_platform(Settings(home=Path(sys.argv[1])))
actor = Actor("u", "u", "default", frozenset(Permission))
kept = platform.data.ingest_source(actor, "d", open_source(sys.argv[2], Path(sys.argv[1])))
print(kept.rows, "pandas" in sys.modules)
platform.database.close()
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_snapshot_is_made_without_loading_pandas(tmp_path: Path, ending: str) -> None:
    rows = pa.table(
        {
            "n": [1, None, 3],
            "x": [0.5, float("nan"), None],
            "t": ["a", None, "b"],
            "c": pa.array(["a", "a", None]).dictionary_encode(),
            "f": [True, None, False],
            "at": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
        }
    )
    if ending == "csv":
        arrow_csv.write_csv(rows, tmp_path / "a.csv")
    else:
        parquet.write_table(rows, tmp_path / "a.parquet")
    done = subprocess.run(
        [sys.executable, "-c", _INGEST, tmp_path, f"a.{ending}"],
        capture_output=True,
        text=True,
        env=os.environ,
        check=True,
    )
    assert done.stdout == "3 False\n"
