"""Rows that a query selects: PostgreSQL, DuckDB and SQLite, read-only, from one state of the database."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.csv as arrow_csv

from bailiwick.core.errors import InvalidInput, MissingExtra, Unavailable
from bailiwick.data.duck import in_utc
from bailiwick.data.reading.model import BATCH_ROWS, Reader, one_of_each
from bailiwick.data.reading.secrets import resolved, without_password

SCHEMES = ("postgresql", "postgres", "sqlite", "duckdb")
_QUERY = re.compile(r"[?&]query=")
_COPY_BYTES = 8 << 20
_COLUMN = re.compile(r"In CSV column #(\d+): (?:CSV conversion error to )?")

# PostgreSQL's own numbers of its types, which never change (pg_type.dat)
_POSTGRES = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    26: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
}
_NUMERIC = 1700


def is_database(source: str) -> bool:
    """Whether `source` is the URL of a database."""
    return source.partition("://")[0] in SCHEMES and "://" in source


def database_reader(source: str, query: str, base: Path) -> Reader:
    """The reader of `URL?query=SELECT …`, or of a URL with the query beside it. Raises InvalidInput without a query."""
    url, asked = [*_QUERY.split(source, maxsplit=1), ""][:2]
    query = (query or (asked if " " in asked else unquote(asked))).strip().rstrip(";")
    if not query:
        raise InvalidInput(
            f"Source {without_password(url)!r} is a database; say which rows.",
            hint=f"Write {url.partition('://')[0]}://…?query=SELECT …",
        )
    scheme, _, rest = url.partition("://")
    if scheme in {"postgresql", "postgres"}:
        return PostgresReader(url, query)
    path = base / unquote(rest.removeprefix("/"))
    if not path.is_file():
        raise InvalidInput(
            f"Database {path} does not exist.", hint=f"An absolute path has four slashes: {scheme}:////…"
        )
    return SqliteReader(path, query) if scheme == "sqlite" else DuckReader(path, query)


class DuckReader:
    """A query of a DuckDB file, which may read nothing but that file."""

    def __init__(self, path: Path, query: str) -> None:
        self.name = f"{path}: {query}"
        self._path = path
        self._query = query

    def schema(self) -> pa.Schema:
        """As DuckDB says."""
        with self._asked() as reader:
            one_of_each(reader.schema.names, self.name)
            return reader.schema

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """As they are found."""
        del schema
        with self._asked() as reader:
            for batch in reader:
                yield batch.select(list(columns))

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        try:
            with duckdb.connect(str(self._path), read_only=True) as connection:
                connection.execute("SET enable_external_access = false")
                in_utc(connection)
                found = connection.sql(self._query)
                if found is None:
                    raise InvalidInput(f"{self.name} selects no rows.", hint="Give a SELECT.")
                yield found.to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise InvalidInput(f"{self.name} cannot be read: {str(error).partition(chr(10))[0]}.") from error


class SqliteReader:
    """A query of an SQLite file. SQLite has types by value, so all rows are looked at before any is given."""

    def __init__(self, path: Path, query: str) -> None:
        self.name = f"{path}: {query}"
        self._path = path
        self._query = query

    def schema(self) -> pa.Schema:
        """Whole numbers and fractions mix; anything else mixed is refused by row and column."""
        with self._asked() as cursor:
            names = [each[0] for each in cursor.description or ()]
            one_of_each(names, self.name)
            kinds: list[type | None] = [None] * len(names)
            rows = 0
            while found := cursor.fetchmany(BATCH_ROWS):
                for column, values in enumerate(zip(*found, strict=True)):
                    present = {type(value) for value in values} - {type(None)}
                    if present - {kinds[column]}:
                        kinds[column] = self._joined(kinds[column], values, names[column], rows)
                rows += len(found)
        arrow: dict[type | None, pa.DataType] = {
            int: pa.int64(),
            float: pa.float64(),
            str: pa.string(),
            bytes: pa.binary(),
            None: pa.null(),
        }
        return pa.schema([(name, arrow[kind]) for name, kind in zip(names, kinds, strict=True)])

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """In the order of the query."""
        with self._asked() as cursor:
            names = [each[0] for each in cursor.description or ()]
            chosen = [(names.index(name), name) for name in columns]
            while found := cursor.fetchmany(BATCH_ROWS):
                values = list(zip(*found, strict=True))
                arrays = [self._array(values[at], schema.field(name).type, name) for at, name in chosen]
                yield pa.record_batch(arrays, names=list(columns))

    def _array(self, values: Sequence[Any], kind: pa.DataType, name: str) -> pa.Array:
        try:
            return pa.array(values, kind if not pa.types.is_null(kind) else None)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise InvalidInput(f"{self.name}, column {name!r}: {error}.") from error

    def _joined(self, before: type | None, values: Sequence[Any], name: str, rows: int) -> type | None:
        kind = before
        for row, value in enumerate(values, start=rows + 1):
            if value is None or type(value) is kind:
                continue
            if kind is None or {kind, type(value)} == {int, float}:
                kind = float if kind is not None else type(value)
                continue
            if kind is float and isinstance(value, int):
                continue
            raise InvalidInput(
                f"{self.name}, row {row}, column {name!r}: {value!r} is {type(value).__name__}, "
                f"and the rows before are {kind.__name__}.",
                hint="CAST the column in the query.",
            )
        return kind

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Cursor]:
        try:
            with closing(sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                connection.set_authorizer(_no_other_files)
                yield connection.execute(self._query)
        except sqlite3.Error as error:
            raise InvalidInput(f"{self.name} cannot be read: {error}.") from error


def _no_other_files(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


class PostgresReader:
    """A query of PostgreSQL, copied out as CSV: several times as fast as rows, and exact in every type below.

    `numeric` with a scale is a decimal, without one a double; what Arrow has no type for is text as PostgreSQL writes it.
    """

    def __init__(self, url: str, query: str) -> None:
        self.name = f"{without_password(url)}: {query}"
        self._url = url
        self._query = query

    def schema(self) -> pa.Schema:
        """Asked of the server, which reads no row."""
        with self._connected() as connection:
            return self._schema(connection)

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """From one state of the database, whatever others commit meanwhile."""
        del schema
        from psycopg import sql

        with self._connected() as connection:
            own = self._schema(connection)
            wanted = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
            copy = sql.SQL("COPY (SELECT {} FROM ({}\n) AS asked) TO STDOUT (FORMAT csv)").format(
                wanted,
                sql.SQL(self._query),
            )
            chosen = pa.schema([own.field(name) for name in columns])
            held = bytearray()
            with connection.cursor() as cursor, cursor.copy(copy) as rows:
                for data in rows:  # one row, or several, but never part of one
                    held += data
                    if len(held) >= _COPY_BYTES:
                        yield from self._parsed(bytes(held), chosen)
                        held.clear()
            yield from self._parsed(bytes(held), chosen)

    def _schema(self, connection: Any) -> pa.Schema:
        from psycopg import sql

        probe = sql.SQL("SELECT * FROM ({}\n) AS asked LIMIT 0").format(sql.SQL(self._query))
        found = connection.execute(probe, prepare=True).description or ()
        one_of_each([column.name for column in found], self.name)
        return pa.schema([(column.name, _postgres_type(column)) for column in found])

    def _parsed(self, data: bytes, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        if not data:
            return
        try:
            table = arrow_csv.read_csv(
                pa.py_buffer(data),
                read_options=arrow_csv.ReadOptions(block_size=len(data) + 1, column_names=schema.names),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(schema) > 1),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=schema,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    true_values=["t"],
                    false_values=["f"],
                ),
            )
        except (pa.ArrowException, ValueError) as error:
            message = _COLUMN.sub(lambda found: f"column {schema.names[int(found[1])]!r}: ", str(error)).rstrip(".")
            raise InvalidInput(f"{self.name}, {message}.", hint="CAST the column in the query.") from error
        yield from table.to_batches(max_chunksize=BATCH_ROWS)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            import psycopg
        except ImportError:
            raise MissingExtra.of("postgres", "psycopg") from None
        try:
            with psycopg.connect(resolved(self._url).replace("postgres://", "postgresql://", 1)) as connection:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                connection.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'")
                yield connection
                connection.rollback()  # before version 16 a read-only transaction can make large objects
        except psycopg.OperationalError as error:
            raise Unavailable(f"{self.name} cannot be reached: {_first_line(error)}.") from error
        except psycopg.Error as error:
            raise InvalidInput(f"{self.name} cannot be read: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return without_password(str(error).strip().partition("\n")[0])


def _postgres_type(column: Any) -> pa.DataType:
    if column.type_code == _NUMERIC:
        exact = column.precision is not None and column.precision <= 38 and (column.scale or 0) >= 0
        return pa.decimal128(column.precision, column.scale or 0) if exact else pa.float64()
    return _POSTGRES.get(column.type_code, pa.string())
