"""PostgreSQL as an engine, read-only, from one state of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bailiwick.core.errors import InvalidInput, MissingExtra, Unavailable
from bailiwick.data.engines.engine import ConnectedEngine, Row, engine_name, no_rows
from bailiwick.data.engines.model import Column
from bailiwick.data.engines.postgresql_dialect import PostgresDialect, postgresql_column
from bailiwick.data.reading.databases import PostgresReader
from bailiwick.data.reading.secrets import without_password

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES = """
SELECT t.oid, CASE WHEN t.typcategory = 'A' THEN e.typname ELSE t.typname END, t.typcategory = 'A', t.typtype = 'c'
FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem WHERE t.oid = ANY(%s)
"""
_TEXTS = (
    "timezone = 'UTC'",
    "datestyle = 'ISO, YMD'",
    "intervalstyle = 'iso_8601'",
    "bytea_output = 'hex'",
    "extra_float_digits = 1",
)


class PostgresEngine(ConnectedEngine):
    """One connection, in one transaction: all answers are of one state of the database, whatever others commit."""

    dialect = PostgresDialect()

    @classmethod
    def of_source(cls, url: str, source: str) -> PostgresEngine:
        """Over a table or a query. Raises MissingExtra without psycopg, Unavailable where there is no server."""
        try:
            import psycopg
        except ImportError:
            raise MissingExtra.of("postgres", "psycopg") from None
        try:
            connection = psycopg.connect(url.replace("postgres://", "postgresql://", 1))
        except psycopg.OperationalError as error:
            told = without_password(str(error).strip().partition("\n")[0])
            raise Unavailable(f"{engine_name(url)} cannot be reached: {told}.") from error
        except psycopg.Error:  # whose text may quote a part of the URL, of the password too
            raise InvalidInput(
                f"{engine_name(url)} is no URL of PostgreSQL.", hint="Write the password's @ / : % as %40 %2F %3A %25."
            ) from None
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for setting in _TEXTS:  # so that values are written alike, whatever the server's or the user's settings
            connection.execute(f"SET LOCAL {setting}")
        return cls(connection, cls.dialect.relation(source), source)

    def columns(self) -> tuple[Column, ...]:
        """As the server describes them; how deep arrays are is measured, for their types do not say."""
        described = self._run(f"SELECT * FROM {self.relation} LIMIT 0").description or ()
        oids = [column.type_code for column in described]
        types = {row[0]: row[1:] for row in self._run(_TYPES, [oids]).fetchall()}
        arrays = [column.name for column in described if types[column.type_code][1]]
        depths = dict(zip(arrays, self._depths(arrays), strict=True))
        return tuple(
            postgresql_column(column.name, "record" if types[column.type_code][2] else types[column.type_code][0],
                              depths.get(column.name, 0))
            for column in described
        )  # fmt: skip

    def _depths(self, arrays: list[str]) -> list[int]:
        if not arrays:
            return []
        asked = ", ".join(f"MAX(ARRAY_NDIMS({self.dialect.quote(name)}))" for name in arrays)
        return [int(depth or 1) for depth in self.ask(f"SELECT {asked} FROM {self.relation}")[0]]

    def ask(self, sql: str) -> list[Row]:
        """Raises InvalidInput with PostgreSQL's reason, Unavailable where the connection is lost."""
        rows: list[Row] = self._run(sql).fetchall()
        return rows

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Copied out as CSV, in the types that `PostgresReader` gives the same query."""
        import psycopg

        reader = _Here(self._connection, self.name, sql)
        try:
            schema = reader.schema()
            yield no_rows(schema)
            yield from reader.batches(schema, schema.names)
        except psycopg.OperationalError as error:
            raise Unavailable(f"{self.name} on postgresql: {_first_line(error)}.") from error
        except psycopg.Error as error:
            raise InvalidInput(f"{self.name} on postgresql: {_first_line(error)}.") from error

    def _run(self, sql: str, values: Any = None) -> Any:
        import psycopg

        try:
            with self._connection.transaction():  # a savepoint, for an error would end the transaction
                return self._connection.execute(sql, values)
        except psycopg.OperationalError as error:
            raise Unavailable(f"{self.name} on postgresql: {_first_line(error)}.") from error
        except psycopg.Error as error:
            raise InvalidInput(f"{self.name} on postgresql: {_first_line(error)}.") from error


class _Here(PostgresReader):
    """A query of a connection that is open, in its transaction."""

    def __init__(self, connection: Any, name: str, query: str) -> None:
        super().__init__("", query)
        self.name = name
        self._connection = connection

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        yield self._connection


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
