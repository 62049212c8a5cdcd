"""Statistics of a person's own: aggregates in SQL, of all rows and of each slice, while the rows go by.

DuckDB takes the rows as they come, in a thread of its own, so that nothing is read twice and none is held. Expressions read the
rows, no files, no network and no variables of this program; they can set nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, Self

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.duck import in_utc, rows_of
from bailiwick.data.expressions import OF_ALL_ROWS, not_sql, one_expression

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
else:
    duckdb, pa = deferred("duckdb"), deferred("pyarrow")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_SLICE = "__slice"
_PATIENCE_SECONDS = 0.2
_SAFE: dict[str, Any] = {
    "threads": 1,
    "enable_external_access": False,
    "python_enable_replacements": False,
    "memory_limit": "1GB",
}


def parse_statistics(given: list[str]) -> dict[str, str]:
    """Expressions by name, of `NAME=SQL` each. Raises InvalidInput."""
    pairs = [each.partition("=") for each in given]
    for name, equals, expression in pairs:
        if not (equals and NAME.fullmatch(name.strip()) and expression.strip()):
            raise InvalidInput(
                f"--stat {name}{equals}{expression} is not NAME=SQL.",
                hint="E.g. --stat 'late=avg((arr_delay > 15)::INT)'",
            )
    return {name.strip(): expression.strip() for name, _, expression in pairs}


class CustomStatistics:
    """Aggregates by name, over columns of `schema` (storable types). Use it in a `with` block, which ends its thread.

    Raises InvalidInput for what is no aggregate in SQL.
    """

    def __init__(self, schema: pa.Schema, asked: Mapping[str, str], *, by: str = "") -> None:
        if _SLICE in map(str.lower, schema.names):
            raise InvalidInput(f"Column {_SLICE!r} is a name kept for slices; rename the column.")
        self._asked = dict(asked)
        self._by = by
        self._schema = schema.append(pa.field(_SLICE, pa.string()))
        self._columns = {name: _reads(name, each, schema.names) for name, each in self._asked.items()}
        self._queue: Queue[pa.Table | None] = Queue(maxsize=1)
        self._found: dict[str | None, tuple[Any, ...]] = {}
        with _connected() as connection:
            connection.register("data", schema.empty_table())
            for name, expression in self._asked.items():
                rows = _run(connection, f"SELECT ({expression}\n) FROM data", {name: expression})
                if len(rows) != 1:
                    raise InvalidInput(
                        f"Statistic {name!r}: {expression!r} is not one value of many rows.",
                        hint="It should be an aggregate, e.g. `avg((arr_delay > 15)::INT)`.",
                    )
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._running: Future[list[tuple[Any, ...]]] = self._pool.submit(self._query)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._put(None)
        self._pool.shutdown()

    def add(self, rows: pa.Table) -> None:
        """The next rows, in storable types."""
        self._put(rows.append_column(_SLICE, _slice_names(rows, self._by)))

    def finish(self) -> None:
        """All rows were there. Raises InvalidInput for an expression that cannot be computed of them."""
        self._put(None)
        for name, whole, *values in self._running.result():
            if whole or name is not None:
                self._found[None if whole else name] = tuple(values)

    def tell(self, dataset: Any, name: str | None = None) -> None:
        """Add those of all rows, or of a slice, each to the first column that it reads, or else to the first there is."""
        features = {feature.path.step[0]: feature for feature in dataset.features}
        values = self._found.get(name, ())
        for (own, expression), value in zip(self._asked.items(), values, strict=False):
            feature = features.get(self._columns[own])
            if feature is not None and value is not None:
                _tell(feature.custom_stats.add(name=own), value, own, expression)

    def _put(self, rows: pa.Table | None) -> None:
        while not self._running.done():
            try:
                self._queue.put(rows, timeout=_PATIENCE_SECONDS)
            except Full:
                continue
            return

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (rows := self._queue.get()) is not None:
            yield from rows.cast(self._schema).to_batches()

    def _query(self) -> list[tuple[Any, ...]]:
        told = ", ".join(f"({expression}\n)" for expression in self._asked.values())
        sets = f"GROUPING SETS ((), ({_SLICE}))" if self._by else "GROUPING SETS (())"
        sliced = f"{_SLICE}, grouping({_SLICE}) = 1" if self._by else "NULL, true"
        with _connected() as connection:
            connection.register("data", pa.RecordBatchReader.from_batches(self._schema, self._batches()))
            sql = f"SELECT {sliced}, {told} FROM data GROUP BY {sets}"
            return _run(connection, sql, self._asked)


def _connected() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_SAFE)
    in_utc(connection)
    connection.execute("SET lock_configuration = true")
    return connection


def _run(connection: duckdb.DuckDBPyConnection, sql: str, asked: Mapping[str, str]) -> list[tuple[Any, ...]]:
    try:
        return rows_of(connection, sql)
    except duckdb.Error as error:
        named = ", ".join(f"{name}={expression}" for name, expression in asked.items())
        raise not_sql("Statistics", named, error, OF_ALL_ROWS) from error


def _reads(name: str, expression: str, columns: list[str]) -> str:
    """The first column that an expression names; the first of all where it names none."""
    one_expression(expression, name, OF_ALL_ROWS)
    with duckdb.connect() as parser:
        parsed = parser.execute("SELECT json_serialize_sql(?)", [f"SELECT ({expression}\n)"]).fetchone()
    known = {column.lower(): column for column in columns}
    named = _named(json.loads(parsed[0] if parsed else "{}"))
    return next((known[each.lower()] for each in named if each.lower() in known), columns[0])


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield str(node["column_names"][-1])
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)


def _slice_names(rows: pa.Table, by: str) -> pa.ChunkedArray | pa.Array:
    if not by:
        return pa.nulls(rows.num_rows, pa.string())
    coded = rows.column(by).combine_chunks()
    coded = (coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded).dictionary_encode()
    values = coded.dictionary.to_pylist()
    names = [f"{by}_{value}" if value == value else None for value in values]  # noqa: PLR0124 (NaN is in no slice)
    return pa.array(names, pa.string()).take(coded.indices)


def _tell(stat: Any, value: Any, name: str, expression: str) -> None:
    if isinstance(value, bool | int | float | Decimal):
        stat.num = float(value)
    elif isinstance(value, timedelta):
        stat.num = value.total_seconds()
    elif isinstance(value, str):
        stat.str = value
    elif isinstance(value, datetime | date | time):
        stat.str = value.isoformat()
    else:
        raise InvalidInput(
            f"Statistic {name!r}: {expression!r} is a {type(value).__name__}; it should be one number, text or time."
        )
