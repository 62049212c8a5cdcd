"""DuckDB as an engine: a database file, Parquet and CSV files, or Arrow tables of this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.duck import in_utc
from bailiwick.data.engines.dialect import is_query
from bailiwick.data.engines.duckdb_dialect import DuckDialect, duckdb_column
from bailiwick.data.engines.engine import Row, no_rows
from bailiwick.data.engines.model import Column

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
else:
    duckdb, pa = deferred("duckdb"), deferred("pyarrow")

_BATCH_ROWS = 65_536
_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
}


class DuckEngine:
    """One connection, in one transaction: all answers are of one state of the database."""

    dialect = DuckDialect()

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, relation: str, name: str, *, shared: bool = False
    ) -> None:
        self.name = name
        self.relation = relation
        self._shared = shared
        self._connection = connection

    @classmethod
    def of_table(cls, table: pa.Table, name: str = "table") -> DuckEngine:
        """Over an Arrow table, which is not copied."""
        connection = duckdb.connect()
        connection.register("given", table)
        return cls(connection, cls.dialect.quote("given"), name)

    @classmethod
    def of_source(cls, source: str, base: Path, *, database: Path | None = None) -> DuckEngine:
        """Over a table or a query of a database file, or over files that DuckDB reads (a path or glob below `base`).

        Raises InvalidInput for a database that is not there.
        """
        if database is not None and not database.is_file():
            raise InvalidInput(f"Database {database} does not exist.")
        connection = duckdb.connect(str(database) if database else ":memory:", read_only=database is not None)
        in_utc(connection)
        connection.execute("SET python_enable_replacements = false")  # a name means a table, never a variable of ours
        connection.execute("BEGIN TRANSACTION")
        reader = _READERS.get(Path(source).suffix.lower()) if database is None and not is_query(source) else None
        if reader:
            at = source if "://" in source else str(base / source)
            return cls(connection, f"{reader}({cls.dialect.literal(at)})", source)
        return cls(connection, cls.dialect.relation(source), source)

    def over(self, relation: str, name: str) -> DuckEngine:
        """The same connection, of another relation."""
        return DuckEngine(self._connection, relation, name, shared=True)

    def columns(self) -> tuple[Column, ...]:
        """As DESCRIBE says."""
        found = self.ask(f"DESCRIBE SELECT * FROM {self.relation}")
        return tuple(duckdb_column(str(row[0]), str(row[1])) for row in found)

    def ask(self, sql: str) -> list[Row]:
        """Raises InvalidInput with DuckDB's reason."""
        try:
            rows: list[Any] = self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise InvalidInput(f"{self.name} on duckdb: {str(error).partition(chr(10))[0]}.") from error
        return rows

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """As DuckDB finds them."""
        try:
            reader = self._connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
            yield no_rows(reader.schema)
            yield from reader
        except duckdb.Error as error:
            raise InvalidInput(f"{self.name} on duckdb: {str(error).partition(chr(10))[0]}.") from error

    def close(self) -> None:
        """Close the connection, unless it is another engine's."""
        if not self._shared:
            self._connection.close()
