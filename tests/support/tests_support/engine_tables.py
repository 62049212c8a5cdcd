"""The conformance table, put into PostgreSQL."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from bailiwick.data.arrow_types import is_list

_TYPES = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamptz",
    pa.decimal128(9, 2): "numeric(9,2)",
}


def into_postgresql(url: str, name: str, table: pa.Table) -> None:
    """Create a table of that name with these rows."""
    import psycopg
    from psycopg import sql

    columns = [sql.SQL("{} " + _declared(field.type)).format(sql.Identifier(field.name)) for field in table.schema]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        target = sql.Identifier(name)
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(target, sql.SQL(", ").join(columns)))
        values: list[list[Any]] = [column.to_pylist() for column in table.columns]
        with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(target)) as copy:
            for row in zip(*values, strict=True):
                copy.write_row(row)


def _declared(kind: pa.DataType) -> str:
    return f"{_declared(kind.value_type)}[]" if is_list(kind) else _TYPES[kind]
