"""Warehouses, by what is written to them and what comes back: kept answers in the shapes of each vendor's connector."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from bailiwick.adapters.engines import open_engine
from bailiwick.adapters.warehouses.bigquery import BigQueryEngine
from bailiwick.adapters.warehouses.databricks import DatabricksEngine
from bailiwick.adapters.warehouses.snowflake import SnowflakeEngine
from bailiwick.core.errors import InvalidInput, MissingExtra, Unavailable
from bailiwick.data.engines.engine import Row
from bailiwick.data.engines.profiling import build_engine_profile
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.data.profile import build_profile
from bailiwick.testing.engines import conformance_table, differences
from tests_support.source import ROOT

KEPT = ROOT / "tests" / "golden" / "engines"
SOURCE = "lake.sales.trips"
PROFILED = ["skewed", "text"]


class _Field(NamedTuple):
    """As google.cloud.bigquery.SchemaField."""

    name: str
    field_type: str
    mode: str


class _Described(NamedTuple):
    """As snowflake.connector.cursor.ResultMetadata."""

    name: str
    type_code: int
    display_size: int | None
    internal_size: int | None
    precision: int | None
    scale: int | None
    is_nullable: bool


_BIGQUERY = {"float": "FLOAT", "whole": "INTEGER", "flag": "BOOLEAN", "text": "STRING", "moment": "TIMESTAMP",
             "bytes": "BYTES", "skewed": "FLOAT", "price": "NUMERIC"}  # fmt: skip
_SPARK = {"float": "double", "whole": "bigint", "flag": "boolean", "text": "string", "moment": "timestamp",
          "bytes": "binary", "skewed": "double", "price": "decimal(9,2)"}  # fmt: skip
_SNOWFLAKE = {"float": (1, None), "whole": (0, 0), "flag": (13, None), "text": (2, None), "moment": (8, None),
              "bytes": (11, None), "skewed": (1, None), "price": (0, 2)}  # fmt: skip


class Answers:
    """Kept answers by the SQL that they answer: of the emulators in `test_warehouse_emulators`, Databricks' of Spark itself."""

    def __init__(self, name: str) -> None:
        self._kept: dict[str, list[list[Any]]] = json.loads((KEPT / f"{name}-answers.json").read_text("utf-8"))

    def of(self, sql: str) -> list[Row]:
        return [tuple(row) for row in self._kept[sql]]


class BigQueryClient:
    """`google.cloud.bigquery.Client`, as far as it is called."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def query(self, sql: str) -> BigQueryClient:
        self._sql = sql
        return self

    def result(self) -> Any:
        rows = RowIterator()
        if self._sql.startswith("SELECT * FROM"):
            rows.schema = [_Field(name, kind, "NULLABLE") for name, kind in _BIGQUERY.items()]
        else:
            rows.schema = []
            rows.extend(BigQueryRow(row) for row in self._answers.of(self._sql))
        return rows

    def close(self) -> None:
        pass


class RowIterator(list[Any]):
    schema: list[Any]


class BigQueryRow:
    def __init__(self, values: Row) -> None:
        self._values = tuple(values)

    def values(self) -> tuple[Any, ...]:
        return self._values


class Cursor:
    """A PEP 249 cursor; Snowflake's numbers of scale 0 are int, other sums Decimal."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def execute(self, sql: str) -> None:
        if sql.startswith("DESCRIBE QUERY"):
            self._rows: list[Row] = [(name, kind, None) for name, kind in _SPARK.items()]
        else:
            self._rows = self._answers.of(sql)

    def describe(self, sql: str) -> list[Any]:
        assert sql == f"SELECT * FROM {SOURCE}"
        return [_Described(name, code, None, None, None, scale, True) for name, (code, scale) in _SNOWFLAKE.items()]

    def fetchall(self) -> list[Row]:
        return [tuple(Decimal(value) if isinstance(value, int) and place else value for place, value in enumerate(row))
                for row in self._rows]  # fmt: skip

    def close(self) -> None:
        pass


class Connection:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def cursor(self) -> Cursor:
        return Cursor(self._answers)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", ["bigquery", "databricks", "snowflake"])
def test_what_a_warehouse_answered_is_told_as_of_the_rows_themselves(name: str) -> None:
    table = conformance_table().select(list(_BIGQUERY)).slice(0, 200)
    engine: Any
    if name == "bigquery":
        engine = BigQueryEngine(None, "", SOURCE)
        engine._client = BigQueryClient(Answers(name))
    else:
        engine = (DatabricksEngine if name == "databricks" else SnowflakeEngine)(None, "", SOURCE)
        engine._connection = Connection(Answers(name))
    engine.relation = engine.dialect.relation(SOURCE)
    assert differences(engine_statistics(engine, SOURCE), table) == []
    assert build_engine_profile(engine, PROFILED) == build_profile(table, PROFILED)
    engine.close()


@pytest.mark.parametrize(("url", "extra", "package"), [
    ("bigquery://project", "bigquery", "google-cloud-bigquery"),
    ("databricks://host.example/sql/1.0/warehouses/1", "databricks", "databricks-sql-connector"),
    ("snowflake://me@account/db/schema", "snowflake", "snowflake-connector-python"),
    ("local[1]", "spark", "pyspark"),
])  # fmt: skip
def test_a_connector_that_is_missing_is_named_with_the_line_that_installs_it(
    url: str, extra: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("google.cloud", "databricks", "snowflake", "pyspark", "pyspark.sql", "pyspark.errors"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=f"{package} is not installed") as caught:
        open_engine(url, "t", tmp_path)
    assert caught.value.hint == f'Install it: pip install "bailiwick[{extra}]"'


def test_an_engine_that_is_not_known_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Engine 'mysql://me@host/x' is not known"):
        open_engine("mysql://me:secret@host/x", "t", tmp_path)
    with pytest.raises(InvalidInput, match="Engine 'localhost:5432/x' is not known"):
        open_engine("localhost:5432/x", "t", tmp_path)
    for url in ("databricks://host", "snowflake:///db"):
        with pytest.raises(InvalidInput, match="names no"):
            open_engine(url, "t", tmp_path)


@pytest.mark.parametrize("name", ["bigquery", "databricks", "snowflake"])
def test_an_error_of_a_warehouse_is_told_as_what_it_is(name: str) -> None:
    class ProgrammingError(Exception):
        code = 400

    class OperationalError(Exception):
        code = 503

    told = [
        (ProgrammingError("Syntax error\nat 1"), InvalidInput),
        (type("Error", (OperationalError,), {})("gone"), Unavailable),
        (KeyError("a bug"), KeyError),
    ]
    for error, expected in told:
        engine: Any
        if name == "bigquery":
            engine = BigQueryEngine(_Failing(error), "t", "t")
        else:
            engine = (DatabricksEngine if name == "databricks" else SnowflakeEngine)(_Failing(error), "t", "t")
        with pytest.raises(expected):
            engine.ask("SELECT 1")
        with pytest.raises(expected):
            engine.columns()


class _Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def cursor(self) -> _Failing:
        return self

    def query(self, sql: str) -> None:
        raise self._error

    execute = describe = query

    def close(self) -> None:
        pass


def test_connections_are_opened_as_the_url_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def module(name: str, **members: Any) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def connect(**settings: Any) -> Connection:
        asked.update(settings)
        return Connection(None)  # type: ignore[arg-type]

    connector = module("snowflake.connector", connect=connect)
    module("snowflake", connector=connector)
    sql = module("databricks.sql", connect=connect)
    module("databricks", sql=sql)
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "secret")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    open_engine("snowflake://me%40x@acc-1.eu/db/my%20schema?warehouse=w&role=r", "t", tmp_path).close()
    assert asked == {"account": "acc-1.eu", "user": "me@x", "password": "secret", "database": "db", "schema": "my schema",
                     "warehouse": "w", "role": "r"}  # fmt: skip
    asked.clear()
    open_engine("databricks://adb-1.example/sql/1.0/warehouses/abc", "t", tmp_path).close()
    assert asked == {
        "server_hostname": "adb-1.example",
        "http_path": "/sql/1.0/warehouses/abc",
        "access_token": "token",
    }
