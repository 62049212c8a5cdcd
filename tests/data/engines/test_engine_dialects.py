"""The SQL of each dialect, word for word: `BAILIWICK_WRITE_GOLDEN=1` writes it anew for a person to read."""

from __future__ import annotations

import math
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.data.engines import plan
from bailiwick.data.engines.bigquery_dialect import BigQueryDialect, bigquery_column
from bailiwick.data.engines.dialect import Dialect, is_query, name_parts
from bailiwick.data.engines.duckdb_dialect import DuckDialect, duckdb_column
from bailiwick.data.engines.model import Column, Kind
from bailiwick.data.engines.postgresql_dialect import PostgresDialect, postgresql_column
from bailiwick.data.engines.snowflake_dialect import SnowflakeDialect, snowflake_column
from bailiwick.data.engines.spark_dialect import DatabricksDialect, SparkDialect, spark_column
from tests_support.source import ROOT

GOLDEN = ROOT / "tests" / "golden" / "engines"
ODD = """x"; DROP TABLE t; -- `'\\ %s é"""

DIALECTS: dict[str, tuple[Dialect, dict[str, Column]]] = {
    "duckdb": (DuckDialect(), {
        "number": duckdb_column("n", "DOUBLE"), "moment": duckdb_column("m", "TIMESTAMP WITH TIME ZONE"),
        "flag": duckdb_column("f", "BOOLEAN"), "text": duckdb_column(ODD, "VARCHAR"), "bytes": duckdb_column("b", "BLOB"),
        "list": duckdb_column("l", "DOUBLE[]"), "nested": duckdb_column("k", "INTEGER[][]"),
    }),
    "postgresql": (PostgresDialect(), {
        "number": postgresql_column("n", "float8", 0), "moment": postgresql_column("m", "timestamptz", 0),
        "flag": postgresql_column("f", "bool", 0), "text": postgresql_column(ODD, "text", 0),
        "bytes": postgresql_column("b", "bytea", 0), "list": postgresql_column("l", "float8", 1),
        "nested": postgresql_column("k", "int4", 2),
    }),
    "spark": (SparkDialect(), {
        "number": spark_column("n", "double"), "moment": spark_column("m", "timestamp_ntz"),
        "flag": spark_column("f", "boolean"), "text": spark_column(ODD, "string"), "bytes": spark_column("b", "binary"),
        "list": spark_column("l", "array<double>"), "nested": spark_column("k", "array<array<int>>"),
    }),
    "databricks": (DatabricksDialect(), {
        "number": spark_column("n", "decimal(9,2)"), "moment": spark_column("m", "timestamp"),
        "flag": spark_column("f", "boolean"), "text": spark_column(ODD, "string collate UNICODE_CI"),
        "bytes": spark_column("b", "binary"), "list": spark_column("l", "array<double>"),
        "nested": spark_column("k", "array<array<int>>"),
    }),
    "bigquery": (BigQueryDialect(), {
        "number": bigquery_column("n", "FLOAT", "NULLABLE"), "moment": bigquery_column("m", "TIMESTAMP", "NULLABLE"),
        "flag": bigquery_column("f", "BOOLEAN", "NULLABLE"), "text": bigquery_column(ODD, "STRING", "NULLABLE"),
        "bytes": bigquery_column("b", "BYTES", "NULLABLE"), "list": bigquery_column("l", "FLOAT", "REPEATED"),
    }),
    "snowflake": (SnowflakeDialect(), {
        "number": snowflake_column("N", "FIXED", scale=2), "moment": snowflake_column("M", "TIMESTAMP_NTZ"),
        "flag": snowflake_column("F", "BOOLEAN"), "text": snowflake_column(ODD, "TEXT"),
        "bytes": snowflake_column("B", "BINARY"), "list": snowflake_column("L", "ARRAY"),
    }),
}  # fmt: skip


def _statements(dialect: Dialect, columns: dict[str, Column]) -> list[str]:
    flat = tuple(columns[name] for name in ("number", "moment", "flag"))
    texts, number = (columns["text"], columns["flag"]), columns["number"]
    lists = tuple(column for name, column in columns.items() if name in {"list", "nested"})
    numeric_list = next((column for column in lists if column.kind.numeric), None)
    operations: list[plan.Operation] = [
        plan.Presence(tuple(columns.values())),
        plan.Totals(flat),
        plan.Sums((plan.Centred(number, 0.5, 2e-308, 1), plan.Centred(columns["moment"], 1.5e12, 1e10, 2))),
        plan.Bins(
            (plan.Binned(number, (-1.5, 0.0, 1e300), -2.0, 1e300), plan.Binned(number, (5e-324, 1.0), upper=True))
        ),
        plan.Numbers((plan.Spans(number, ((-1.0, -0.5), (0.25, 1 / 3))),)),
        plan.Groups((*texts, columns["bytes"])),
        plan.Top((plan.Ranking(texts[0], 1000), plan.Ranking(texts[1], 100, earlier=True, at_least=5))),
        plan.Repeats(texts),
        plan.Among((plan.Known(texts[0], ("a", "it's", "back\\slash", 'quo"te', "new\nline", "🦆")),)),
        plan.Lengths(lists),
        plan.Levels(tuple(plan.Nesting(column, level) for column in lists for level in range(column.depth))),
        plan.Failing(("arrival >= departure", "n > 0 -- always")),
    ]
    if numeric_list is not None:
        operations += [plan.Totals((numeric_list,)), plan.Bins((plan.Binned(numeric_list, (0.0,), -1.0, 1.0),))]
    relation = dialect.relation('lake."odd""schema".trips')
    told = [f"-- {type(operation).__name__}\n{dialect.write(operation, relation)};\n" for operation in operations]
    part = dialect.where(dialect.relation("SELECT * FROM t;"), columns["text"], "it's")
    return [*told, f"-- a slice of a query\n{dialect.write(plan.Presence((number,)), part)};\n"]


@pytest.mark.parametrize("name", DIALECTS)
def test_the_plan_is_written_as_it_was_reviewed(name: str) -> None:
    written = "\n".join(_statements(*DIALECTS[name]))
    path = GOLDEN / f"{name}.sql"
    if os.environ.get("BAILIWICK_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written, encoding="utf-8")
    assert written == path.read_text(encoding="utf-8")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_in_sql_reads_back_to_the_last_bit(value: float) -> None:
    for dialect, _ in DIALECTS.values():
        told = dialect.number(value).removesuffix("D").removeprefix("'").partition("'")[0]
        assert struct.pack("<d", float(told)) == struct.pack("<d", value), dialect.name


@pytest.mark.parametrize(("given_name", "parts"), [
    ("t", ["t"]), ("a.b.c", ["a", "b", "c"]), ('a."b.c"', ["a", "b.c"]), ('"say ""hi"""', ['say "hi"']),
    ("`x``y`.z", ["x`y", "z"]), ('o"d', ['o"d']),
])  # fmt: skip
def test_names_of_tables_are_cut_at_dots_outside_quotes(given_name: str, parts: list[str]) -> None:
    assert name_parts(given_name) == parts


def test_a_select_is_told_from_a_table() -> None:
    for query in ("select 1", "WITH a AS (SELECT 1) SELECT * FROM a", "FROM t SELECT *"):
        assert is_query(query)
    for table in ("selected", "sales.select"):
        assert not is_query(table)


def test_moments_and_types_by_their_native_names() -> None:
    assert bigquery_column("a", "datetime", "").kind is Kind.MOMENT
    assert bigquery_column("a", "GEOGRAPHY", "").kind is Kind.TEXT
    assert snowflake_column("a", "FIXED", scale=0).kind is Kind.WHOLE
    assert snowflake_column("a", "VARIANT").kind is Kind.TEXT
    assert spark_column("a", "array<struct<x:array<int>>>") == Column("a", Kind.STRUCT, 1, "struct<x:array<int>>")
    assert duckdb_column("a", "ENUM('x[]', 'y')").depth == 0
    assert math.isclose(float(BigQueryDialect().number(0.1)), 0.1)
