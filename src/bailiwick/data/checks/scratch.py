"""Rows in a DuckDB of their own, on disk, with a limit on memory. Columns are called by number, so that no name can do harm."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.data.arrow_types import instant, is_time, storable, type_name
from bailiwick.data.duck import in_utc, rows_of
from bailiwick.data.expressions import within

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
else:
    duckdb, pa = deferred("duckdb"), deferred("pyarrow")

MEMORY_MB = 512
_GROUP = 131_072


class Scratch:
    """Tables `NAME` with columns `c0`, `c1`, … in the order given, `t0`, … for moments of the named ones, and `r`, the row from 0."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._types: dict[str, dict[str, pa.DataType]] = {}

    def load(self, table: str, reader: pa.RecordBatchReader, *, moments: Sequence[str] = ()) -> int:
        """Make a table of the rows and say how many there are. Raises what reading raises, and InvalidInput naming a column."""
        names = reader.schema.names
        for name in moments:
            if name not in names:
                raise InvalidInput.choice("Column", name, names)
        empty = _numbered(reader.schema.empty_table(), 0, moments)
        self._types[table] = dict(zip(names, empty.schema.types, strict=False))
        troubles: list[BaseException] = []
        stream = pa.RecordBatchReader.from_batches(empty.schema, _stream(reader, empty.schema, moments, troubles))
        self._connection.register("incoming", stream)
        try:
            self._connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")
        except duckdb.Error:
            raise (troubles[0] if troubles else _full()) from None
        self._connection.unregister("incoming")
        return int(self.one(f"SELECT count(*) FROM {table}")[0])

    def type_of(self, table: str, name: str) -> pa.DataType:
        """A column's type."""
        return self._types[table][name]

    def one(self, sql: str, *values: object) -> tuple[Any, ...]:
        """The first row of what a query gives."""
        found = self.all(sql, *values)
        return found[0]

    def all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Every row of what a query gives, which is few."""
        return rows_of(self._connection, sql, values)

    def within(self, what: str, expression: str) -> AbstractContextManager[None]:
        """What a person's expression does in here is ended when it takes too long. Raises InvalidInput."""
        return within(self._connection, what, expression)


@contextmanager
def scratch(*, memory_mb: int = MEMORY_MB) -> Iterator[Scratch]:
    """A database that is gone afterwards. What does not fit into `memory_mb` is put on the disk."""
    with tempfile.TemporaryDirectory(prefix="bailiwick-checks-") as folder:
        config: dict[str, Any] = {"threads": 2, "memory_limit": f"{memory_mb}MB", "python_enable_replacements": False}
        with duckdb.connect(str(Path(folder) / "rows.duckdb"), config=config) as connection:
            spill = f"{folder}/spill".replace("'", "''")
            connection.execute(f"SET temp_directory = '{spill}'")
            connection.execute("SET enable_external_access = false")
            in_utc(connection)
            connection.execute("SET lock_configuration = true")
            yield Scratch(connection)


def _stream(
    reader: pa.RecordBatchReader, schema: pa.Schema, moments: Sequence[str], troubles: list[BaseException]
) -> Iterator[pa.RecordBatch]:
    """What goes wrong in here reaches DuckDB as text only, so it is kept for whoever asked DuckDB."""
    row = 0
    try:
        for batch in reader:
            rows = _numbered(pa.Table.from_batches([batch]), row, moments).cast(schema)
            row += batch.num_rows
            yield from rows.to_batches(_GROUP)
    except BaseException as error:
        troubles.append(error)
        raise


def _numbered(rows: pa.Table, first: int, moments: Sequence[str]) -> pa.Table:
    names, count = rows.column_names, rows.num_rows
    if names:
        rows = storable(rows.rename_columns([f"c{number}" for number in range(len(names))]))
    for number, name in enumerate(moments):
        rows = rows.append_column(f"t{number}", milliseconds(rows.column(names.index(name)), name))
    places = pa.array(range(first, first + count), pa.int64())
    return rows.append_column("r", places) if rows.num_columns else pa.table({"r": places})


def milliseconds(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Moments as UTC milliseconds; whole numbers are such already. Raises InvalidInput for what holds no times."""
    if is_time(values.type):
        return values.cast(instant()).cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    if pa.types.is_integer(values.type):
        return values.cast(pa.int64())
    raise InvalidInput(
        f"Column {name!r} is {type_name(values.type)}, which is no time.",
        hint="Make it a timestamp, a date, or whole UTC milliseconds.",
    )


def _full() -> Unavailable:
    return Unavailable(
        "The checks need room on the disk for a copy of the columns they read, and there is too little.",
        hint="Free some, or let TMPDIR name a larger disk.",
    )
