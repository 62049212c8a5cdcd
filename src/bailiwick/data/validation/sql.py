"""Checks in SQL, slices in SQL, and the rows that are to blame: DuckDB over the rows, which are table `data`.

Expressions read the rows, no files, no network and no variables of this program; they can set nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.duck import in_utc
from bailiwick.data.expressions import not_sql, one_expression, refuse_alike, within
from bailiwick.data.validation.anomalies import Anomaly

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
else:
    duckdb, pa = deferred("duckdb"), deferred("pyarrow")

MAX_ROWS = 100
_ROW = "__row"


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """`expression` must be true, or null, of each row; `severity` is ERROR or WARNING."""

    name: str
    expression: str
    severity: str = "ERROR"


@dataclass(frozen=True, slots=True)
class OffendingRows:
    """Rows of which a check is false: how many, and the first of them with their place from 0."""

    check: SqlCheck
    count: int
    rows: pa.Table
    places: list[int]


class Rows(Protocol):
    """Rows in batches, such as a `Source`."""

    schema: pa.Schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, from the first."""


def offending_rows(rows: pa.Table | Rows, checks: Iterable[SqlCheck], *, limit: int = MAX_ROWS) -> list[OffendingRows]:
    """For each check that is not true of every row, how many rows it is false of and the first `limit` of them.

    Rows that are no table go through a DuckDB file in the folder for temporary files, and so may be more than memory holds.
    Raises InvalidInput naming the check and the expression when it is not SQL that says true or false of a row.
    """
    return _offending(rows, checks, limit)[1]


def check_sql(rows: pa.Table | Rows, checks: Iterable[SqlCheck]) -> list[Anomaly]:
    """A CUSTOM_VALIDATION anomaly for each check that is false of some rows."""
    total, offending = _offending(rows, checks, 1)
    return [
        Anomaly(
            "",
            "CUSTOM_VALIDATION",
            found.check.severity,
            f"Check {found.check.name} failed",
            f"{found.count} of {total} rows are not {found.check.expression}; the first is row {found.places[0] + 1}.",
        )
        for found in offending
    ]


def _offending(rows: pa.Table | Rows, checks: Iterable[SqlCheck], limit: int) -> tuple[int, list[OffendingRows]]:
    found = []
    with _rows_in_duckdb(rows) as connection:
        for check in checks:
            condition = f"({one_expression(check.expression, check.name)}\n) IS FALSE"
            sql = f"SELECT count(*) FROM data WHERE {condition}"
            count = _run(connection, sql, check.expression, f"Check {check.name!r}").fetchall()[0][0]
            if count:
                sql = f"SELECT {_ROW} FROM data WHERE {condition} ORDER BY {_ROW} LIMIT {int(limit)}"
                places = [row[0] for row in _run(connection, sql, check.expression, check.name).fetchall()]
                found.append(OffendingRows(check, count, _taken(connection, rows, places), places))
        total = connection.execute("SELECT count(*) FROM data").fetchall()[0][0]
    return int(total), found


def _taken(connection: duckdb.DuckDBPyConnection, rows: pa.Table | Rows, places: list[int]) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows.take(places)
    listed = ", ".join(map(str, places))
    return connection.sql(
        f"SELECT * EXCLUDE ({_ROW}) FROM data WHERE {_ROW} IN ({listed}) ORDER BY {_ROW}"
    ).to_arrow_table()


def sql_slices(table: pa.Table, slices: Mapping[str, str]) -> dict[str, pa.Table]:
    """The rows of each slice, which is a name and an expression that is true of its rows."""
    cut = {}
    with _rows_in_duckdb(table) as connection:
        for name, expression in slices.items():
            sql = f"SELECT {_ROW} FROM data WHERE ({one_expression(expression, name)}\n) ORDER BY {_ROW}"
            places = [row[0] for row in _run(connection, sql, expression, f"Slice {name!r}").fetchall()]
            cut[name] = table.take(places)
    return cut


@contextmanager
def _rows_in_duckdb(rows: pa.Table | Rows) -> Iterator[duckdb.DuckDBPyConnection]:
    if _ROW in map(str.lower, rows.schema.names):
        raise InvalidInput(f"Column {_ROW!r} is a name kept for row numbers; rename the column.")
    refuse_alike(rows.schema.names)
    with TemporaryDirectory(prefix="bailiwick-rows-") as folder:
        held = isinstance(rows, pa.Table)
        safe = {"enable_external_access": False, "python_enable_replacements": False}
        place = ":memory:" if held else str(Path(folder) / "rows.duckdb")
        limits = {"memory_limit": "1GB", "temp_directory": str(Path(folder) / "spill")}
        with duckdb.connect(place, config={"threads": 2, **safe, **limits}) as connection:
            if isinstance(rows, pa.Table):
                numbers = pa.array(range(rows.num_rows), pa.int64())
                connection.register("data", rows.append_column(_ROW, numbers))
            else:
                _fill(connection, rows)
            in_utc(connection)
            connection.execute("SET lock_configuration = true")
            yield connection


def _fill(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    """Raises what reading the rows raises, not what DuckDB makes of it."""
    schema = rows.schema.append(pa.field(_ROW, pa.int64()))
    failed: list[Exception] = []

    def numbered() -> Iterator[pa.RecordBatch]:
        first = 0
        try:
            for batch in rows:
                places = pa.array(range(first, first + batch.num_rows), pa.int64())
                yield pa.RecordBatch.from_arrays([*batch.columns, places], schema=schema)
                first += batch.num_rows
        except Exception as error:
            failed.append(error)
            raise

    connection.register("arriving", pa.RecordBatchReader.from_batches(schema, numbered()))
    try:
        connection.execute("CREATE TABLE data AS SELECT * FROM arriving")
    except duckdb.Error as error:
        if failed:
            raise failed[0] from error
        raise InvalidInput(f"The rows could not be put into DuckDB: {error}.") from error
    connection.unregister("arriving")


def _run(connection: duckdb.DuckDBPyConnection, sql: str, expression: str, what: str) -> duckdb.DuckDBPyConnection:
    try:
        with within(connection, what, expression):
            return connection.execute(sql)
    except duckdb.Error as error:
        raise not_sql(what, expression, error) from error
