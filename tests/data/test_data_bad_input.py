"""Bad input of every kind, given to what makes snapshots: the error says where, and nothing is left of the attempt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError
from bailiwick.data.comparison import compare
from bailiwick.data.profile import build_profile, count
from bailiwick.data.reading.model import SourceOptions
from bailiwick.data.schema import infer_schema, parse_schema, schema_text
from bailiwick.data.service import DataService
from bailiwick.data.sources import frame_source, open_source, read_source
from bailiwick.data.splits import Split, parts
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.slicing import slices_by
from bailiwick.data.statistics.streaming import stream_statistics
from bailiwick.data.validation import relax, validate
from bailiwick.data.validation.row_rules import schema_checks
from bailiwick.data.validation.sql import offending_rows
from bailiwick.store.blobs import BlobStore
from bailiwick.store.delta import DeltaTables
from bailiwick.store.records import Records

_GOOD = "id,t\n" + "".join(f"{row},x\n" for row in range(2, 902))


@pytest.fixture
def data(records: Records, tables: DeltaTables, blobs: BlobStore) -> DataService:
    return DataService(records, tables, blobs)


def _twice(path: Path) -> None:
    parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)


_BAD: list[tuple[str, str | bytes | Callable[[Path], None], str]] = [
    ("ragged.csv", _GOOD + "1\n", r"ragged\.csv, row 902: expected 2 columns, found 1"),
    ("quote.csv", _GOOD + '1,"x\n', r"quote\.csv, row 902: a quotation mark is opened and not closed"),
    ("torn.csv", _GOOD + '1,"x\n2,y\n3,"z"\n', r"torn\.csv, row 902: a quotation mark is opened and not closed"),
    ("latin.csv", _GOOD.encode() + b"1,\xff\n", r"latin\.csv, column 't': the text is not UTF-8 in row 902"),
    ("latin-names.csv", b"caf\xe9,b\n1,2\n", r"latin-names\.csv, row 1: a column's name is not UTF-8"),
    ("utf16.csv", _GOOD.encode("utf-16"), r"utf16\.csv.*not UTF-8"),
    ("utf16-unmarked.csv", _GOOD.encode("utf-16-le"), r"utf16-unmarked\.csv, row 1: the text is not UTF-8"),
    ("nul.csv", _GOOD.encode() + b"1,\x00\xfe\n", r"nul\.csv, column 't': the text is not UTF-8 in row 902"),
    ("twice.csv", "a,b,a\n1,2,3\n", r"twice\.csv names a column twice: a"),
    ("case.csv", "id,Id\n1,2\n", r"case\.csv: Columns 'id' and 'Id' have the same name"),
    ("nameless.csv", "id,\n1,2\n", r"nameless\.csv: Column 2 has no name"),
    ("empty.csv", "", r"empty\.csv cannot be read: Empty CSV file"),
    ("blank.csv", "\n\n\n", r"blank\.csv cannot be read"),
    ("json.jsonl", '{"id": 1}\n{"id": 2}\nnope\n', r"json\.jsonl cannot be read: row 3 is not JSON"),
    ("mixed.jsonl", '{"id": 1}\n{"id": "x"}\n', r"mixed\.jsonl cannot be read: .*id.* in row 2"),
    ("array.jsonl", '[{"id": 1}]\n', r"array\.jsonl cannot be read: row 1 is not an object"),
    ("empty.jsonl", "", r"empty\.jsonl cannot be read: it has no rows"),
    ("twice.parquet", _twice, r"twice\.parquet names a column twice: a"),
    ("torn.parquet", b"PAR1" + b"\0" * 64, r"torn\.parquet cannot be read"),
    ("empty.parquet", b"", r"empty\.parquet cannot be read"),
    ("torn.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3", r"torn\.csv\.gz cannot be read"),
]


def _make(path: Path, content: str | bytes | Callable[[Path], None]) -> None:
    if callable(content):
        content(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize(("name", "content", "message"), _BAD, ids=[name for name, _, _ in _BAD])
def test_a_bad_file_is_named_by_row_and_column_and_leaves_no_snapshot(
    data: DataService,
    admin: Actor,
    tmp_path: Path,
    name: str,
    content: str | bytes | Callable[[Path], None],
    message: str,
) -> None:
    _make(tmp_path / name, content)
    with pytest.raises(BailiwickError, match=message):
        data.ingest_source(admin, "d", open_source(name, tmp_path))
    _nothing_is_left(data, tmp_path)


def test_a_bad_file_among_good_ones_leaves_no_snapshot(data: DataService, admin: Actor, tmp_path: Path) -> None:
    _make(tmp_path / "1.csv", _GOOD)
    _make(tmp_path / "2.csv", _GOOD + "many,x\n")
    _make(tmp_path / "3.csv", _GOOD)
    expected = r"2\.csv, column 'id': it is string here and int64 in 1\.csv\. .*2\.csv, row 902, column 'id': .*'many'"
    with pytest.raises(BailiwickError, match=expected):
        data.ingest_source(admin, "d", open_source("*.csv", tmp_path))
    (tmp_path / "1.csv").unlink()
    with pytest.raises(BailiwickError, match=r"3\.csv, column 'id'.*2\.csv, row 902, column 'id': .*'many'"):
        data.ingest_source(admin, "d", open_source("*.csv", tmp_path))
    options = SourceOptions(types={"id": "integer"})
    with pytest.raises(BailiwickError, match=r"2\.csv, row 902, column 'id': not a value of type int64"):
        data.ingest_source(admin, "d", open_source("*.csv", tmp_path, options=options))
    _nothing_is_left(data, tmp_path)


def _nothing_is_left(data: DataService, home: Path) -> None:
    assert data.snapshots("default") == []
    assert [path for path in (home / "tables").rglob("*") if path.is_file()] == []


def test_commands_say_the_same_without_a_trace(tmp_path: Path) -> None:
    _make(tmp_path / "ragged.csv", _GOOD + "1\n")
    for command in (["stats", "ragged.csv"], ["snapshot", "ragged.csv", "--dataset", "d"]):
        told = subprocess.run(
            [sys.executable, "-m", "bailiwick", "--home", "home", "data", *command],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (told.returncode, told.stdout) == (2, "")
        assert "ragged.csv, row 902: expected 2 columns, found 1." in " ".join(told.stderr.split())
        assert "Traceback" not in told.stderr


# Names of columns ------------------------------------------------------------------------------------------------------

_NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
    | st.sampled_from(
        [
            '"; DROP TABLE t; --',
            "' OR 1=1 --",
            "a.b",
            "a b",
            "select",
            "%s",
            "{v}",
            "t",
            "v",
            "n",
            "count(*)",
            "é",
            "\n",
        ]
    ),
    min_size=3,
    max_size=3,
    unique_by=str.lower,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_NAMES)
def test_a_column_may_have_any_name_everywhere(names: list[str]) -> None:
    number, text, flag = names
    table = pa.table({number: [1.0, 2.0, None, 4.0] * 30, text: ["a", "b", "c", None] * 30, flag: [True] * 120})
    statistics = compute_statistics(table)
    assert [list(feature.path.step) for feature in statistics.datasets[0].features] == [[name] for name in names]
    assert stream_statistics([table, table]).datasets[0].num_examples == 240
    schema = parse_schema(schema_text(infer_schema(statistics)))
    assert [feature.name for feature in schema.feature] == names
    assert validate(statistics, schema) == []
    assert text_format.MessageToString(relax(schema, statistics)) == text_format.MessageToString(schema)
    assert len(slices_by(table, text)) >= 3
    schema.feature[1].string_domain.value.extend(["a", "b"])
    (found,) = offending_rows(table, schema_checks(schema, table.schema))
    assert (found.count, found.rows.column_names) == (30, names)
    bins = build_profile(table)
    assert not any(drift.drifted for drift in compare(bins, count(bins, table), alpha=0.05))
    divided = parts(Split("hash", (("train", 0.5), ("test", 0.5)), flag), table)
    assert sum(part.num_rows for part in divided.values()) == table.num_rows


def test_hostile_names_of_columns_and_values_reach_no_sql(
    data: DataService, admin: Actor, tmp_path: Path, records: Records
) -> None:
    hostile = 'a"; DROP TABLE dataset_snapshots; --'
    table = pa.table({hostile: ["'; DROP TABLE dataset_snapshots; --", "x"], "b'); --": [1, 2]})
    kept = data.ingest_source(admin, "d", frame_source(table))
    assert data.read("default", kept.id, [hostile]).column(hostile).to_pylist() == table.column(hostile).to_pylist()
    assert [snapshot.id for snapshot in data.snapshots("default")] == [kept.id]
    parquet.write_table(table, tmp_path / "a.parquet")
    assert open_source("a.parquet", tmp_path, columns=[hostile]).table().column_names == [hostile]


def test_quotation_marks_within_cells_that_do_not_begin_with_one_are_letters(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('n,t\n1,5" pipe\n2,"a ""b"" c"\n3,""\n', encoding="utf-8")
    assert read_source("a.csv", tmp_path)["t"].to_pylist() == ['5" pipe', 'a "b" c', ""]
