"""Sources as streams: dialects, blocks, stores, databases, dataframes; and what is wrong with a file, by row and column."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import json
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import obstore
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import from_url

from bailiwick.core.errors import Conflict, InvalidInput, Unavailable
from bailiwick.data.arrow_types import storable
from bailiwick.data.reading.delimited import DelimitedReader
from bailiwick.data.reading.json_lines import JsonLinesReader
from bailiwick.data.reading.model import Allowance, SourceOptions
from bailiwick.data.reading.places import LocalFile
from bailiwick.data.sources import frame_source, open_source, read_source
from bailiwick.data.statistics import compute_statistics
from tests_support import postgres, s3

ROWS = {"n": [1, 2, None], "t": ["x", None, "ü"]}


def _csv_in_blocks(path: Path, size: int, **options: object) -> pa.Table:
    reader = DelimitedReader(LocalFile(path), SourceOptions(**options), block_bytes=size)  # type: ignore[arg-type]
    schema = reader.schema()
    return pa.Table.from_batches(reader.batches(schema, schema.names), schema)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
            st.none() | st.text(st.sampled_from('ab,"\n é'), max_size=6),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 90),
)
def test_the_size_of_blocks_changes_neither_types_nor_values(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, str | None]], size: int
) -> None:
    def cell(value: str | None) -> str:
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    path = tmp_path_factory.mktemp("csv") / "a.csv"
    lines = [f"{'' if number is None else number},{cell(text)},end\n" for number, text in rows]
    path.write_text("n,t,e\n" + "".join(lines), encoding="utf-8")
    whole = read_source("a.csv", path.parent)
    assert _csv_in_blocks(path, size).equals(whole)
    assert whole["t"].to_pylist() == [text for _, text in rows] or all(text is None for _, text in rows)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "0.5"], pa.float64()),
        (["1", "x"], pa.string()),
        (["", "7"], pa.int64()),
        (["2013-01-01", "2013-01-01T05:00:00"], pa.timestamp("s")),
        (["true", "9"], pa.string()),
        (["0", "true", "1"], pa.bool_()),
        (["true", "1", "x"], pa.string()),
        (["2013-01-01T05:00:00Z", "2013-01-01T05:00:00.5Z"], pa.timestamp("ns", "UTC")),
    ],
)
def test_types_of_blocks_join_as_the_whole_file_would_be_typed(
    tmp_path: Path, values: list[str], expected: pa.DataType
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("v,w\n" + "".join(f"{value},1\n" for value in values), encoding="utf-8")
    table = _csv_in_blocks(path, 1)
    assert table.schema.field("v").type == expected == read_source("a.csv", tmp_path).schema.field("v").type
    assert table.equals(read_source("a.csv", tmp_path))


def test_csv_is_read_in_any_dialect_and_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("n;t\n1,5;'ü;'\n".encode("utf-16"))
    options = SourceOptions(delimiter=";", decimal=",", quote="'", encoding="utf-16")
    assert open_source("a.csv", tmp_path, options=options).table().to_pydict() == {"n": [1.5], "t": ["ü;"]}
    (tmp_path / "b.tsv").write_text("a comment\n1\tx\n", encoding="utf-8")
    bare = SourceOptions(names=("n", "t"), skip=1, types={"n": "number"})
    assert open_source("b.tsv", tmp_path, options=bare).table().to_pydict() == {"n": [1.0], "t": ["x"]}
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbfn\n1\n")
    assert read_source("c.csv", tmp_path).column_names == ["n"]
    with pytest.raises(InvalidInput, match="Encoding 'klingon' is not known"):
        open_source("a.csv", tmp_path, options=SourceOptions(encoding="klingon"))
    with pytest.raises(InvalidInput, match="one character"):
        SourceOptions(delimiter="||")
    with pytest.raises(InvalidInput, match="Type of column 'n' 'int' is not known"):
        open_source("b.tsv", tmp_path, options=SourceOptions(types={"n": "int"}))


def test_files_of_json_lines_may_leave_out_keys_as_lines_may(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"a": 1, "in": {"x": 1}}\n{"a": 2}\n', encoding="utf-8")
    (tmp_path / "2.jsonl").write_text('{"a": 2.5, "in": {"y": "é"}, "b": true}\n', encoding="utf-8")
    (tmp_path / "3.jsonl").write_text('{"b": false}\n', encoding="utf-8")
    assert read_source("*.jsonl", tmp_path).to_pylist() == [
        {"a": 1.0, "in": {"x": 1, "y": None}, "b": None},
        {"a": 2.0, "in": None, "b": None},
        {"a": 2.5, "in": {"x": None, "y": "é"}, "b": True},
        {"a": None, "in": None, "b": False},
    ]
    assert open_source("*.jsonl", tmp_path, columns=["b"]).table().to_pydict() == {"b": [None, None, True, False]}
    (tmp_path / "4.jsonl").write_text('{"a": "x"}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"4\.jsonl, column 'a': it is string here"):
        read_source("*.jsonl", tmp_path)


def test_times_of_day_are_kept_as_their_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("at,n\n10:30,1\n,2\n", encoding="utf-8")
    assert storable(read_source("a.csv", tmp_path))["at"].to_pylist() == ["10:30:00", None]
    parquet.write_table(pa.table({"at": pa.array([1, None], pa.time64("us"))}), tmp_path / "a.parquet")
    assert storable(read_source("a.parquet", tmp_path))["at"].to_pylist() == ["00:00:00.000001", None]
    assert compute_statistics(read_source("a.csv", tmp_path)).datasets[0].features[0].string_stats.unique == 1


def test_gzip_zstandard_arrow_and_delta_are_read(tmp_path: Path) -> None:
    table = pa.table(ROWS)
    text = b"n,t\n1,x\n2,\n,\xc3\xbc\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text[:8]) + gzip.compress(text[8:]))
    with pa.CompressedOutputStream(str(tmp_path / "a.csv.zst"), "zstd") as packed:
        packed.write(text)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pa.OSFile(str(tmp_path / "a.arrows"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    deltalake.write_deltalake(tmp_path / "delta", table)
    deltalake.write_deltalake(tmp_path / "delta", table, mode="append")
    for name in ("a.csv.gz", "a.csv.zst", "a.arrow", "a.arrows"):
        assert read_source(name, tmp_path).to_pydict() == ROWS, name
    assert read_source("delta", tmp_path).num_rows == 6
    assert open_source("delta", tmp_path, options=SourceOptions(version=0)).table().to_pydict() == ROWS
    with pytest.raises(InvalidInput, match="at version 9"):
        open_source("delta", tmp_path, options=SourceOptions(version=9))


def test_only_chosen_columns_are_read_and_types_of_files_are_widened(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"b": ["y"], "a": pa.array([2.5])}), tmp_path / "2.parquet")
    source = open_source("*.parquet", tmp_path, columns=["a"])
    assert source.schema == pa.schema([("a", pa.float64())])
    assert source.table().to_pydict() == {"a": [1.0, 2.5]}
    assert source.table() == source.table()  # a source can be read again
    with pytest.raises(InvalidInput, match=r"Did you mean 'a'|It has: a, b"):
        open_source("*.parquet", tmp_path, columns=["c"])


def test_dataframes_of_any_library_are_read_through_arrow() -> None:
    for frame in (
        pd.DataFrame({"n": [1, 2]}),
        pa.table({"n": [1, 2]}),
        duckdb.sql("SELECT unnest([1, 2])::BIGINT AS n"),
    ):
        source = frame_source(frame)
        assert source.table().to_pydict() == source.table().to_pydict() == {"n": [1, 2]}
    with pytest.raises(InvalidInput, match=r"builtins\.list is not a dataframe"):
        frame_source([1])


# Databases


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1, "x"]}), "Could not convert 'x'.*column a"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Duplicate column names found"),
        (pd.DataFrame({"x": [1j]}), "column x"),
        (pd.DataFrame({"x": pd.arrays.SparseArray([0, 1])}), "Sparse pandas data \\(column x\\)"),
    ],
)
def test_a_dataframe_that_arrow_does_not_take_is_refused_by_its_column(frame: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"dataframe cannot be read: .*{message}"):
        frame_source(frame)


def test_sqlite_gives_the_rows_of_a_query(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE f (n, x, t, b)")
        connection.executemany(
            "INSERT INTO f VALUES (?, ?, ?, ?)", [(1, 1, "ü", b"\0"), (None, 0.5, None, None), (3, None, "z", b"")]
        )
    table = read_source("sqlite:///a.db?query=SELECT * FROM f ORDER BY rowid", tmp_path)
    assert table.to_pydict() == {
        "n": [1, None, 3],
        "x": [1.0, 0.5, None],
        "t": ["ü", None, "z"],
        "b": [b"\0", None, b""],
    }
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("INSERT INTO f VALUES ('many', 1, 1, 1)")
    with pytest.raises(InvalidInput, match=r"row 4, column 'n': 'many' is str, and the rows before are int"):
        read_source("sqlite:///a.db?query=SELECT n FROM f", tmp_path)
    with pytest.raises(InvalidInput, match="no such table: g"):
        read_source("sqlite:///a.db?query=SELECT * FROM g", tmp_path)
    with pytest.raises(InvalidInput, match="readonly database"):
        read_source("sqlite:///a.db?query=DELETE FROM f RETURNING n", tmp_path)
    with pytest.raises(InvalidInput, match="say which rows"):
        read_source("sqlite:///a.db", tmp_path)
    with pytest.raises(InvalidInput, match=r"none\.db does not exist"):
        read_source("sqlite:///none.db?query=SELECT 1", tmp_path)


def test_duckdb_gives_the_rows_of_a_query_and_of_no_other_file(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "a.duckdb") as connection:
        connection.execute("CREATE TABLE f AS SELECT range AS n, 'v' || range AS t FROM range(100000)")
    source = open_source("duckdb:///a.duckdb?query=SELECT * FROM f ORDER BY n", tmp_path, columns=["t"])
    assert source.table()["t"].to_pylist()[-1] == "v99999"
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="disabled"):
        read_source(f"duckdb:///a.duckdb?query=SELECT * FROM '{tmp_path}/secret.csv'", tmp_path)


def _postgres() -> str:
    return postgres.fresh_database(lambda _: None)


def test_postgresql_gives_the_rows_of_a_query_in_exact_types(tmp_path: Path) -> None:
    import psycopg

    url = _postgres().replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE f (n bigint, s smallint, x double precision, d numeric(10, 2), t text, b boolean, "
            'day date, at timestamptz, "a""; DROP TABLE f; --" int)'
        )
        connection.execute(
            "INSERT INTO f VALUES (9223372036854775807, -1, 'NaN', 1.10, '', true, '2013-01-01', "
            "'2013-01-01 05:00:00.123456+02', 1), (NULL, NULL, '-Infinity', NULL, NULL, false, NULL, NULL, 2), "
            "(1, 1, 0.1, -2, E'a,\"b\\n', NULL, '1969-12-31', '1969-12-31 23:59:59Z', 3)"
        )
    source = open_source(url, tmp_path, options=SourceOptions(query="SELECT * FROM f ORDER BY 9"))
    kinds = [str(kind) for kind in source.schema.types]
    assert kinds == ["int64", "int16", "double", "decimal128(10, 2)", "string", "bool", "date32[day]",
                     "timestamp[us, tz=UTC]", "int32"]  # fmt: skip
    table = source.table()
    assert table["n"].to_pylist() == [2**63 - 1, None, 1]
    assert str(table["x"].to_pylist()) == "[nan, -inf, 0.1]"
    assert [None if each is None else str(each) for each in table["d"].to_pylist()] == ["1.10", None, "-2.00"]
    assert table["t"].to_pylist() == ["", None, 'a,"b\n']
    assert table["b"].to_pylist() == [True, False, None]
    assert [None if each is None else each.isoformat() for each in table["at"].to_pylist()] == [
        "2013-01-01T03:00:00.123456+00:00",
        None,
        "1969-12-31T23:59:59+00:00",
    ]
    joined = read_source(f"{url}{'&' if '?' in url else '?'}query=SELECT%20count(*)%20AS%20n%20FROM%20f", tmp_path)
    assert joined.to_pydict() == {"n": [3]}
    strange = 'a"; DROP TABLE f; --'
    only = open_source(url, tmp_path, columns=[strange], options=SourceOptions(query="SELECT * FROM f ORDER BY 9"))
    assert only.table()[strange].to_pylist() == [1, 2, 3]
    for query in (
        "SELECT 1; DROP TABLE f",
        "SELECT 1) TO PROGRAM 'true' --",
        "DELETE FROM f RETURNING n",
        "SELECT nix",
    ):
        with pytest.raises(InvalidInput, match="cannot be read"):
            open_source(url, tmp_path, options=SourceOptions(query=query))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("numeric(5, 2)", "NaN", r"column 'v': The string 'NaN' is not a valid decimal128 number\."),
        ("timestamp", "infinity", r"column 'v': timestamp\[us\]: invalid value 'infinity'\."),
    ],
)
def test_a_value_of_postgresql_that_arrow_has_not_is_named_with_its_column(
    tmp_path: Path, kind: str, value: str, message: str
) -> None:
    url = _postgres().replace("postgresql+psycopg://", "postgresql://")
    query = f"SELECT 1 AS n, '{value}'::{kind} AS v"
    with pytest.raises(InvalidInput, match=message):
        open_source(url, tmp_path, options=SourceOptions(query=query)).table()


def test_a_query_of_postgresql_leaves_nothing_behind(tmp_path: Path) -> None:
    import psycopg

    url = _postgres().replace("postgresql+psycopg://", "postgresql://")
    with contextlib.suppress(InvalidInput):  # PostgreSQL 16 refuses it, 15 does not
        open_source(url, tmp_path, options=SourceOptions(query="SELECT lo_create(0) AS n")).table()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchall() == [(0,)]


@pytest.mark.parametrize("feature", ["deletionVectors", "columnMapping", "v2Checkpoint"])
def test_a_delta_table_that_needs_more_of_its_readers_is_refused(tmp_path: Path, feature: str) -> None:
    deltalake.write_deltalake(tmp_path / "t", pa.table(ROWS))
    log = tmp_path / "t" / "_delta_log" / "00000000000000000000.json"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if "protocol" in line:
            features = {"readerFeatures": [feature], "writerFeatures": [feature]}
            line["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    log.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"needs {feature} of its readers"):
        read_source("t", tmp_path)


def test_what_a_library_says_to_its_authors_is_in_no_message(tmp_path: Path) -> None:
    deltalake.write_deltalake(tmp_path / "t", pa.table(ROWS))
    (tmp_path / "t" / "_delta_log" / "00000000000000000000.json").write_text("{bad", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_source("t", tmp_path)
    assert "\n" not in caught.value.message


def test_a_password_is_in_no_message_and_no_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        read_source("postgresql://me:hush@127.0.0.1:1/x?query=SELECT 1", tmp_path)
    assert "hush" not in str(refused.value)
    assert "me:***@" in str(refused.value)


# Object stores and the web


def test_objects_are_read_by_name_glob_and_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.fresh_bucket(monkeypatch)
    store = from_url(bucket)
    parquet.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    obstore.put(store, "in/1.parquet", (tmp_path / "a.parquet").read_bytes())
    obstore.put(store, "in/2.parquet", (tmp_path / "a.parquet").read_bytes())
    obstore.put(store, "in/deep/3.parquet", (tmp_path / "a.parquet").read_bytes())
    obstore.put(store, "in/a.csv.gz", gzip.compress(b"n\n1\n"))
    assert read_source(f"{bucket}/in/1.parquet", tmp_path).to_pydict() == ROWS
    assert read_source(f"{bucket}/in/*.parquet", tmp_path).num_rows == 6
    assert read_source(f"{bucket}/in/**/*.parquet", tmp_path).num_rows == 9
    assert read_source(f"{bucket}/in/a.csv.gz", tmp_path).to_pydict() == {"n": [1]}
    deltalake.write_deltalake(f"{bucket}/delta", pa.table(ROWS))
    assert read_source(f"{bucket}/delta", tmp_path).to_pydict() == ROWS
    marks = open_source(f"{bucket}/in/*.parquet", tmp_path).marks()
    assert [mark.name for mark in marks] == [f"{bucket}/in/1.parquet", f"{bucket}/in/2.parquet"]
    assert all(mark.digest.startswith("etag:") for mark in marks)
    with pytest.raises(InvalidInput, match="No object matches"):
        read_source(f"{bucket}/out/*.parquet", tmp_path)
    with pytest.raises(InvalidInput, match="does not exist"):
        read_source(f"{bucket}/in/9.parquet", tmp_path)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_of_a_web_server_is_read(tmp_path: Path, web: str) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n", encoding="utf-8")
    assert read_source(f"{web}/a.csv", Path("/")).to_pydict() == {"n": [1]}


# What is wrong with a file


def test_a_ragged_row_far_into_a_file_is_numbered_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 500 + "3\n" + "1,2\n" * 5, encoding="utf-8")
    for size in (1, 100, 10_000):
        with pytest.raises(InvalidInput, match=r"a\.csv, row 502: expected 2 columns, found 1"):
            _csv_in_blocks(path, size)


def test_a_value_of_another_type_than_declared_is_named_by_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 500 + "1,many\n", encoding="utf-8")
    for size in (1, 100, 10_000):
        with pytest.raises(InvalidInput, match=r"a\.csv, row 502, column 'b': not a value of type int64: .*'many'"):
            _csv_in_blocks(path, size, types={"b": "integer"})


def test_text_of_another_encoding_is_named_by_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"1,x\n" * 100 + b"1,\xff\n")
    for size in (50, 10_000):
        with pytest.raises(InvalidInput, match=r"a\.csv, column 'b': the text is not UTF-8 in row 102"):
            _csv_in_blocks(path, size)
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "x"}\n{"a": "\xff"}\n')
    with pytest.raises(InvalidInput, match=r"a\.jsonl, row 2: the text is not UTF-8"):
        read_source("a.jsonl", tmp_path)
    with pytest.raises(InvalidInput, match=r"the text is not utf-16"):
        open_source("a.jsonl", tmp_path, options=SourceOptions(encoding="utf-16"))


def test_json_lines_in_blocks_join_their_columns_and_types(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 0.5, "b": {"c": [1]}}\n{"b": null}\n', encoding="utf-8")
    reader = JsonLinesReader(LocalFile(path), SourceOptions(), block_bytes=1)
    schema = reader.schema()
    table = pa.Table.from_batches(reader.batches(schema, schema.names), schema)
    assert table.to_pydict() == {"a": [1.0, 0.5, None], "b": [None, {"c": [1]}, None]}
    path.write_text('{"a": 1}\n{"a": "x"}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"column 'a': it is string from about row 2 on, and int64 before"):
        JsonLinesReader(LocalFile(path), SourceOptions(), block_bytes=1).schema()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.jsonl", b"", r"empty\.jsonl cannot be read: it has no rows"),
        ("empty.parquet", b"", r"empty\.parquet cannot be read"),
        ("empty.arrow", b"", r"empty\.arrow cannot be read"),
        (
            "torn.csv.gz",
            gzip.compress(b"a,b\n1,2\n" * 999)[:-20],
            r"torn\.csv\.gz cannot be read: it ends in the middle",
        ),
        ("not.csv.gz", b"a\n1\n", r"not\.csv\.gz cannot be read: it is not gzip"),
        ("not.csv.zst", b"a\n1\n", r"not\.csv\.zst cannot be read: it is not Zstandard"),
        ("list.jsonl", b'{"a": 1}\n[1]\n', r"list\.jsonl cannot be read: row 2 is not an object"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInput, match=message):
        read_source(name, tmp_path)


def test_a_file_that_names_a_column_twice_is_refused_in_every_format(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, twice.schema) as writer:
        writer.write_table(twice)
    for name in ("a.parquet", "a.arrow"):
        with pytest.raises(InvalidInput, match="names a column twice: a"):
            read_source(name, tmp_path)
    with pytest.raises(InvalidInput, match="names a column twice: a"):
        frame_source(twice)


def test_ten_thousand_columns_and_columns_without_a_value_are_read(tmp_path: Path) -> None:
    names = [f'c{number}"; DROP TABLE x; --' for number in range(10_000)]
    lines = [",".join('"' + name.replace('"', '""') + '"' for name in names), *[",".join(["NaN"] * 10_000)] * 3]
    (tmp_path / "wide.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = read_source("wide.csv", tmp_path)
    assert table.column_names == names
    assert all(pa.types.is_null(kind) for kind in table.schema.types)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n", encoding="utf-8")
    source = open_source("a.csv", tmp_path)
    path.write_text("a\n1\n2\n", encoding="utf-8")
    with pytest.raises(Conflict, match=r"a\.csv changed while it was read"):
        source.table()
    path.unlink()
    with pytest.raises(Conflict, match="changed"):
        source.marks() if path.exists() else source.verify_unchanged()


def test_a_file_larger_than_the_memory_that_is_allowed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    row = ",".join(["123456789.125"] * 16) + "\n"
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(f"c{number}" for number in range(16)) + "\n")
        for _ in range(1_000):
            file.write(row * 1_600)
    program = (
        "import resource, sys, json; from pathlib import Path; from bailiwick.data.sources import open_source\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = sum(batch.num_rows for batch in open_source(sys.argv[1], Path('/')))\n"
        "print(json.dumps([rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    rows, kilobytes = json.loads(done.stdout)
    assert rows == 1_600_000
    assert path.stat().st_size > 340 << 20
    assert kilobytes < 256 << 10
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0


def test_csv_files_share_one_allowance_and_what_exceeds_it_is_read_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("n,t\n" + "".join(f"{i},x{i}\n" for i in range(1000)))
    allowance = Allowance(25_000)
    readers = [DelimitedReader(LocalFile(tmp_path / f"{n}.csv"), SourceOptions(), allowance=allowance) for n in "ab"]
    schemas = [reader.schema() for reader in readers]
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("n,t\n7,y\n")
    rows = [
        sum(map(len, reader.batches(schema, schema.names))) for reader, schema in zip(readers, schemas, strict=True)
    ]
    assert rows == [1000, 1]


def test_rows_that_were_kept_are_widened_as_their_text_would_be(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,e,t\n9007199254740993,,1\n1,,2\n0.5,x,007\n2,,y\n")
    assert _csv_in_blocks(tmp_path / "a.csv", 20).to_pydict() == {
        "n": [9007199254740992.0, 1.0, 0.5, 2.0],
        "e": [None, None, "x", None],
        "t": ["1", "2", "007", "y"],
    }
    (tmp_path / "b.csv").write_text("n,e\n9007199254740993,\n1,\n0.5,x\n")
    assert _csv_in_blocks(tmp_path / "b.csv", 20).to_pydict() == {
        "n": [9007199254740992.0, 1, 0.5],
        "e": [None, None, "x"],
    }
