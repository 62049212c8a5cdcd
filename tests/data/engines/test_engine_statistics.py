"""Statistics that an engine computed are those of `compute_statistics`, on the table that is hard for engines."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import Conflict, InvalidInput, Unavailable
from bailiwick.data.engines import ladder
from bailiwick.data.engines.duckdb_engine import DuckEngine
from bailiwick.data.engines.engine import Engine, Row
from bailiwick.data.engines.model import Kind
from bailiwick.data.engines.postgresql_engine import PostgresEngine
from bailiwick.data.engines.statistics import add_slices, engine_statistics
from bailiwick.data.schema import infer_schema, schema_text
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.validation import validate
from bailiwick.testing.engines import conformance_table, differences
from tests_support import postgres
from tests_support.engine_tables import into_postgresql


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return conformance_table()


@pytest.fixture(scope="module", params=["duckdb", "postgresql"])
def engine(request: pytest.FixtureRequest, table: pa.Table) -> Iterator[Engine]:
    if request.param == "duckdb":
        opened: Engine = DuckEngine.of_table(table)
    else:
        url = postgres.fresh_database()
        into_postgresql(url, "hard", table)
        opened = PostgresEngine.of_source(url, "hard")
    yield opened
    opened.close()


def test_an_engine_tells_what_is_told_of_the_rows_themselves(engine: Engine, table: pa.Table) -> None:
    assert differences(engine_statistics(engine, "hard"), table) == []


def test_a_schema_inferred_on_an_engine_is_the_one_inferred_of_the_rows(engine: Engine, table: pa.Table) -> None:
    found = engine_statistics(engine, "hard")
    schema = infer_schema(compute_statistics(table, "hard"))
    assert schema_text(infer_schema(found)) == schema_text(schema)
    assert validate(found, schema) == []


def test_quantiles_found_in_many_passes_are_those_found_in_one(
    engine: Engine, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "FEW", 3)
    assert differences(engine_statistics(engine), table) == []


def test_an_answer_is_short_however_many_rows_there_are() -> None:
    longest = 0

    class Watching(DuckEngine):
        def ask(self, sql: str) -> list[Row]:
            nonlocal longest
            rows = super().ask(sql)
            longest = max(longest, len(rows))
            return rows

    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT random() AS x, uuid() AS y FROM range(200000)")
    engine_statistics(Watching(connection, "t", "t"))
    assert longest <= ladder.FEW


def test_slices_are_told_as_datasets_of_their_own(engine: Engine, table: pa.Table) -> None:
    flag = next(column for column in engine.columns() if column.name == "small")
    slices = [(f"small_{value}", engine.over(engine.dialect.where(engine.relation, flag, value), value))
              for value in ("1", "3", "nowhere")]  # fmt: skip
    found = engine_statistics(engine, "All Examples")
    add_slices(found, slices)
    assert [dataset.name for dataset in found.datasets] == ["All Examples", "small_1", "small_3"]
    assert found.datasets[2].num_examples == table.column("small").to_pylist().count(3)


def test_a_table_that_is_not_there_is_told_with_the_reason_of_the_engine(engine: Engine) -> None:
    other = engine.over(engine.dialect.relation('gone"; DROP TABLE hard; --'), "gone")
    with pytest.raises(InvalidInput, match="gone"):
        engine_statistics(other)


@given(st.lists(st.floats(width=64), min_size=1, max_size=80), st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_whatever_the_numbers_their_statistics_are_those_of_numpy(values: list[float], edges: int) -> None:
    table = pa.table({"x": pa.array(values, pa.float64())})
    few, many = ladder.FEW, ladder.EDGES
    ladder.FEW, ladder.EDGES = 2, edges
    try:
        found = engine_statistics(DuckEngine.of_table(table))
    finally:
        ladder.FEW, ladder.EDGES = few, many
    finite = np.array([value for value in values if math.isfinite(value)])
    number = found.datasets[0].features[0].num_stats
    assert number.histograms[0].num_nan == sum(map(math.isnan, values))
    if len(finite):
        ordered = np.sort(finite)
        middle = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        assert middle[0] <= number.median <= middle[1]
        expected = compute_statistics(table).datasets[0].features[0].num_stats
        assert [b.sample_count for b in number.histograms[0].buckets] == [
            b.sample_count for b in expected.histograms[0].buckets
        ]
        assert number.histograms[1].buckets[0].low_value == expected.histograms[1].buckets[0].low_value


def test_rows_that_change_between_two_statements_are_noticed() -> None:
    class Growing(DuckEngine):
        asked = 0

        def ask(self, sql: str) -> list[Row]:
            self.asked += 1
            if "UNION ALL" not in sql and " AS b " in sql:
                self._connection.execute("INSERT INTO t SELECT 0.5 FROM range(10)")
            return super().ask(sql)

    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT range::DOUBLE AS x FROM range(100)")
    with pytest.raises(Conflict, match="'x' changed while it was read"):
        engine_statistics(Growing(connection, "t", "t"))


def test_duckdb_reads_a_table_or_a_query_of_a_database_file_and_parquet(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2, 3]})
    with duckdb.connect(str(tmp_path / "x.db")) as connection:
        connection.register("t", table)
        connection.execute('CREATE TABLE "odd.name" AS SELECT * FROM t')
    pq.write_table(table, tmp_path / "it's.parquet")
    for source, database in (('"odd.name"', "x.db"), ('SELECT a FROM "odd.name";', "x.db"), ("it's.parquet", None)):
        engine = DuckEngine.of_source(source, tmp_path, database=tmp_path / database if database else None)
        assert engine_statistics(engine).datasets[0].num_examples == 3
        engine.close()
    with pytest.raises(InvalidInput, match="does not exist"):
        DuckEngine.of_source("t", tmp_path, database=tmp_path / "none.db")


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(Unavailable, match=r"me@127.0.0.1:1") as caught:
        PostgresEngine.of_source("postgresql://me:secret@127.0.0.1:1/x", "t")
    assert "secret" not in str(caught.value)


def test_types_without_a_counterpart_are_told_as_text_and_structs_only_counted() -> None:
    connection = duckdb.connect()
    connection.execute("""CREATE TABLE t AS SELECT uuid() AS u, TIME '01:02:03' AS t, {'a': 1} AS s, NULL::INTEGER[][] AS n,
        TIMESTAMP_NS '2020-01-01' AS m, 170141183460469231731687303715884105727::HUGEINT AS h""")
    engine = DuckEngine(connection, "t", "t")
    kinds = {column.name: (column.kind, column.depth) for column in engine.columns()}
    assert kinds == {"u": (Kind.TEXT, 0), "t": (Kind.TEXT, 0), "s": (Kind.STRUCT, 0), "n": (Kind.WHOLE, 2),
                     "m": (Kind.MOMENT, 0), "h": (Kind.WHOLE, 0)}  # fmt: skip
    features = {feature.path.step[0]: feature for feature in engine_statistics(engine).datasets[0].features}
    assert features["t"].string_stats.top_values[0].value == "01:02:03"
    assert features["s"].struct_stats.common_stats.num_non_missing == 1
    assert features["h"].num_stats.max == pytest.approx(2.0**127)


_FAR = pa.table(
    {
        "moment": pa.array(
            [dt.datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")
        ),
        "giant": [1.7e308, -1.7e308],
        "nothing": pa.nulls(2, pa.list_(pa.list_(pa.int64()))),
    }
)


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("which", ["duckdb", "postgresql"])
def test_far_moments_giant_numbers_and_lists_of_nothing_are_told_alike(which: str, rows: int) -> None:
    table = _FAR.slice(0, rows)
    if which == "duckdb":
        opened: Engine = DuckEngine.of_table(table)
    else:
        table = table.drop_columns(["nothing"])  # how deep an array goes is told by its values alone there
        url = postgres.fresh_database()
        into_postgresql(url, "far", table)
        opened = PostgresEngine.of_source(url, "far")
    with closing(opened):
        assert differences(engine_statistics(opened, "far"), table) == []


def test_a_name_is_a_tables_and_never_one_of_this_program(tmp_path: Path) -> None:
    table = pa.table({"secret": [1]})  # DuckDB would read a frame of a caller by the name of its variable
    with (
        closing(DuckEngine.of_source("table", tmp_path)) as engine,
        pytest.raises(InvalidInput, match="does not exist"),
    ):
        engine.columns()
    assert table.num_rows == 1
