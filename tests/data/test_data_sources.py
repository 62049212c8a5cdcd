"""Files become Arrow, or the error names the file and the place in it."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.data.sources import read_source


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv_files_of_a_glob_are_read_in_order_of_name(tmp_path: Path) -> None:
    _write(tmp_path, "f-2.csv", "n,t\n3,c\n")
    _write(tmp_path, "f-1.csv", 'n,t\n1,a\n2.5,"NA"\n,NA\n')
    table = read_source("f-*.csv", tmp_path)
    assert table.to_pydict() == {"n": [1.0, 2.5, None, 3.0], "t": ["a", "NA", None, "c"]}


def test_types_are_settled_by_the_whole_file_not_its_beginning(tmp_path: Path) -> None:
    _write(tmp_path, "long.csv", "n\n" + "1\n" * 2_000_000 + "0.5\n")
    assert read_source("long.csv", tmp_path).schema.field("n").type == pa.float64()


def test_gzipped_csv_and_json_lines_and_parquet_are_read(tmp_path: Path) -> None:
    rows = {"n": [1, 2], "t": ["x", None]}
    _write(tmp_path, "a.csv.gz", gzip.compress(b"n,t\n1,x\n2,\n"))
    _write(tmp_path, "a.jsonl", '{"n": 1, "t": "x"}\n{"n": 2, "t": null}\n')
    parquet.write_table(pa.table(rows), tmp_path / "a.parquet")
    for name in ("a.csv.gz", "a.jsonl", "a.parquet"):
        assert read_source(name, tmp_path).to_pydict() == rows
    assert read_source(str(tmp_path / "a.parquet"), Path("/nowhere")).to_pydict() == rows


def test_iso_times_become_timestamps(tmp_path: Path) -> None:
    _write(tmp_path, "t.csv", "at\n2013-01-01T05:15:00Z\n")
    assert read_source("t.csv", tmp_path)["at"].to_pylist() == [dt.datetime(2013, 1, 1, 5, 15, tzinfo=dt.UTC)]


def test_a_file_with_brackets_in_its_name_is_a_file(tmp_path: Path) -> None:
    _write(tmp_path, "a[1].csv", "n\n1\n")
    assert read_source("a[1].csv", tmp_path).num_rows == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "ragged.csv",
            "a,b\n1,2\n3\n4\n",
            r"ragged\.csv, row 3: expected 2 columns, found 1\. \(2 rows are like this\.\)",
        ),
        ("twice.csv", "a,a\n1,2\n", r"twice\.csv names a column twice: a"),
        ("empty.csv", "", r"empty\.csv cannot be read: Empty CSV file"),
        ("latin.csv", b"a\n\xff\n", r"latin\.csv, column 'a': the text is not UTF-8"),
        ("bad.jsonl", '{"a": 1}\n{bad\n', r"bad\.jsonl cannot be read: row 2 is not JSON"),
        ("mixed.jsonl", '{"a": 1}\n{"a": "x"}\n', r"mixed\.jsonl cannot be read: .*/a.*number to string in row 2"),
        ("torn.parquet", b"PAR1 nothing", r"torn\.parquet cannot be read: .*[Pp]arquet"),
        ("table.xlsx", "x", r"file type '\.xlsx' is not known; choose one of: \.arrow"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    _write(tmp_path, name, text)
    with pytest.raises(InvalidInput, match=message):
        read_source(name, tmp_path)


def test_what_is_not_there_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    _write(tmp_path, "flights.csv", "n\n1\n")
    with pytest.raises(InvalidInput, match=r"No file matches .*\*\.parquet"):
        read_source("*.parquet", tmp_path)
    with pytest.raises(InvalidInput, match=r"flight\.csv does not exist\. Did you mean 'flights\.csv'"):
        read_source("flight.csv", tmp_path)
    with pytest.raises(InvalidInput, match="is a folder"):
        read_source(".", tmp_path)
    with pytest.raises(InvalidInput, match=r"'ftp://host/x\.csv' is a URL of an unknown kind; use s3://"):
        read_source("ftp://host/x.csv", tmp_path)
    with pytest.raises(InvalidInput, match=r"flights\.csv has no column 'm', which is needed\. .*It has: n"):
        read_source("flights.csv", tmp_path, columns=["m"])


def test_files_of_one_source_must_have_the_same_columns_and_kinds(tmp_path: Path) -> None:
    _write(tmp_path, "a-1.csv", "carrier,n\nUA,1\n")
    _write(tmp_path, "a-2.csv", "carrier\nUA\n")
    _write(tmp_path, "b-1.csv", "n\n1\n")
    _write(tmp_path, "b-2.csv", "n\nmany\n")
    _write(tmp_path, "c-1.csv", "n\n1\n")
    _write(tmp_path, "c-2.csv", "n,more\n1,2\n")
    with pytest.raises(InvalidInput, match=r"a-2\.csv has no column 'n', which a-1\.csv has"):
        read_source("a-*.csv", tmp_path)
    with pytest.raises(InvalidInput, match=r"b-2\.csv, column 'n': it is string here and int64 in b-1\.csv"):
        read_source("b-*.csv", tmp_path)
    with pytest.raises(InvalidInput, match=r"c-2\.csv has columns that c-1\.csv lacks: more"):
        read_source("c-*.csv", tmp_path)
