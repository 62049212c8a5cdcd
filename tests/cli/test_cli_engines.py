"""`--engine`: the commands on a database say what they say of the same rows in a file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests_support import postgres
from tests_support.command import Command
from tests_support.engine_tables import into_postgresql


@pytest.fixture
def table() -> pa.Table:
    rows = 400
    return pa.table({
        "carrier": pa.array([["AA", "UA", None, "it's"][row % 4] for row in range(rows)], pa.string()),
        "delay": pa.array([None if row % 50 == 0 else float(row % 97) for row in range(rows)], pa.float64()),
        "late": pa.array([row % 3 == 0 for row in range(rows)], pa.bool_()),
    })  # fmt: skip


@pytest.fixture(params=["duckdb", "postgresql"])
def engine(request: pytest.FixtureRequest, table: pa.Table, tmp_path: Path) -> str:
    pq.write_table(table, tmp_path / "flights.parquet")
    later = table.set_column(1, "delay", pa.array([float(row) + 500 for row in range(table.num_rows)], pa.float64()))
    if request.param == "postgresql":
        url = postgres.fresh_database()
        into_postgresql(url, "flights", table)
        into_postgresql(url, "later", later)
        return url
    with duckdb.connect(str(tmp_path / "lake.db")) as connection:
        for name, rows in (("flights", table), ("later", later)):
            connection.register("given", rows)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
    return "duckdb:///lake.db"


def test_statistics_on_an_engine_are_those_of_the_file(command: Command, engine: str) -> None:
    here = command("data", "stats", "flights.parquet", "--by", "carrier", "--json").json
    there = command("data", "stats", "flights", "--by", "carrier", "--engine", engine, "--json").json
    names = ["All Examples", "carrier_AA", "carrier_UA", "carrier_it's"]
    assert [dataset["name"] for dataset in there["datasets"]] == names
    for one, other in zip(here["datasets"], there["datasets"], strict=True):
        assert one["num_examples"] == other["num_examples"]
        for mine, theirs in zip(one["features"], other["features"], strict=True):
            assert mine.get("type") == theirs.get("type")
            assert mine.get("string_stats") == theirs.get("string_stats")
            if "num_stats" in mine:
                assert mine["num_stats"]["histograms"] == theirs["num_stats"]["histograms"]


def test_a_schema_is_inferred_and_checked_on_an_engine(command: Command, engine: str) -> None:
    assert command("data", "schema", "infer", "flights", "--engine", engine, "--out", "s.pbtxt").code == 0
    fits = command("data", "validate", "SELECT * FROM flights", "--schema", "s.pbtxt", "--engine", engine)
    assert (fits.code, fits.err) == (0, "")
    broken = command("data", "validate", "flights", "--schema", "s.pbtxt", "--engine", engine, "--check", "delay < 90",
                     "--check", "late IS NOT NULL")  # fmt: skip
    assert broken.code == 1
    assert "CUSTOM_VALIDATION" in broken.out
    assert "rows are not delay < 90" in broken.out.replace("\n", " ")
    assert command("data", "schema", "update", "flights", "--schema", "s.pbtxt", "--engine", engine).code == 0


def test_two_tables_of_an_engine_are_compared_there(command: Command, engine: str) -> None:
    ended = command("data", "compare", "flights", "later", "--engine", engine, "--json")
    assert ended.code == 1
    assert {drift["feature"]: drift["drifted"] for drift in ended.json} == {
        "carrier": False,
        "delay": True,
        "late": False,
    }
    assert command("data", "compare", "flights", "flights", "--engine", engine).code == 0
    other = command("data", "compare", "flights", "later", "--engine", engine, "--column", "dely")
    assert other.code == 2
    assert "delay" in other.err
    dates = "SELECT DATE '2020-01-01' AS day"
    refused = command("data", "compare", dates, dates, "--engine", engine, "--column", "day")
    assert (refused.code, "'day' is " in refused.err) == (2, True), refused


def test_what_is_not_computed_on_an_engine_is_refused_by_name(command: Command) -> None:
    for option in (["--correlations"], ["--label", "late"], ["--meanings"]):
        ended = command("data", "stats", "flights", "--engine", "duckdb", *option)
        assert (ended.code, option[0] in ended.err) == (2, True), ended
    ended = command("data", "stats", "flights", "--engine", "mysql://x")
    assert ended.code == 2
    assert "postgresql://" in ended.err.replace("\n", " ")
    ended = command("data", "stats", "delay", "--engine", "duckdb", "--by", "x")
    assert ended.code == 2
