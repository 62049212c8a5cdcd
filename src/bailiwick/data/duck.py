"""What every DuckDB that people's expressions run in does alike: moments are in UTC, and rows come out as Python values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def in_utc(connection: duckdb.DuckDBPyConnection) -> None:
    """Hours and days are those of UTC, not of the machine. Before the configuration is locked."""
    connection.execute("SET TimeZone = 'UTC'")


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Every row of what a statement gives. Moments go through Arrow, for DuckDB makes them by pytz, which need not be there."""
    found: Any = connection.sql(sql, params=list(values)) if values else connection.sql(sql)
    if found is None:
        return []
    kinds = [str(kind) for kind in found.types]
    if not any("TIME ZONE" in kind for kind in kinds):
        rows: list[tuple[Any, ...]] = found.fetchall()
        return rows
    table = found.to_arrow_table()
    columns = [table.column(place).to_pylist() for place in range(table.num_columns)]
    for place, kind in enumerate(kinds):
        if kind == "HUGEINT":  # Arrow has it as a decimal
            columns[place] = [None if value is None else int(value) for value in columns[place]]
    return list(zip(*columns, strict=True))
