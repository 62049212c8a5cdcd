"""DuckDB's SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bailiwick.data.engines.dialect import Dialect, doubled, exact
from bailiwick.data.engines.model import Column, Kind

_LISTS = re.compile(r"(\[\d*\])+$")
_WHOLE = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}


class DuckDialect(Dialect):
    """DuckDB 1.1 and later."""

    name = "duckdb"

    def quote(self, name: str) -> str:
        return doubled(name, '"')

    def literal(self, text: str) -> str:
        return doubled(text, "'")

    def number(self, value: float) -> str:
        told = exact(value)
        return told if "e" in told else f"{told}e0"  # without an exponent it would be a decimal

    def double(self, column: Column, value: str) -> str:
        if column.kind is Kind.MOMENT:
            return f"CAST(epoch_us(CAST({value} AS {_instant(column.native)})) // 1000 AS DOUBLE)"
        return f"CAST({value} AS DOUBLE)"

    def text(self, column: Column, value: str) -> str:
        return value if column.native == "VARCHAR" else f"CAST({value} AS VARCHAR)"

    def not_a_number(self, value: str) -> str:
        return f"isnan({value})"

    def bytes_of(self, column: Column, value: str) -> str:
        return f"octet_length({value})" if column.kind is Kind.BINARY else f"strlen({value})"

    def elements(self, lists: str, column: Column, level: int) -> str:
        return f"SELECT UNNEST(x) AS x FROM ({lists}) AS l{level}"

    def length(self, column: Column, level: int, value: str) -> str:
        return f"LEN({value})"

    def innermost(self, column: Column, value: str) -> str:
        flat = value
        for _ in range(column.depth - 1):
            flat = f"FLATTEN({flat})"
        return f"LEN({flat})"

    def row_digest(self, columns: Sequence[Column]) -> str:
        return f"sha256(CAST(json_array({', '.join(self._json(column) for column in columns)}) AS VARCHAR))"

    def _json(self, column: Column) -> str:
        name = self.quote(column.name)
        return f"hex({name})" if column.kind is Kind.BINARY and not column.depth else name

    def word(self, digest: str, place: int) -> str:
        return f"CAST('0x' || substr({digest}, {place:d}, 8) AS BIGINT)"


def duckdb_column(name: str, declared: str) -> Column:
    """A column by its type as DESCRIBE tells it, e.g. `DECIMAL(9,2)[]`."""
    lists = _LISTS.search(declared)
    native = declared[: lists.start()] if lists else declared
    depth = lists.group().count("[") if lists else 0
    return Column(name, _kind(native), depth, native)


def _kind(native: str) -> Kind:
    word = native.partition("(")[0]
    if word in _WHOLE:
        return Kind.WHOLE
    if word in {"DOUBLE", "FLOAT", "DECIMAL"}:
        return Kind.NUMBER
    if word == "BOOLEAN":
        return Kind.BOOLEAN
    if word == "DATE" or word.startswith("TIMESTAMP"):
        return Kind.MOMENT
    if word == "BLOB":
        return Kind.BINARY
    return Kind.STRUCT if word in {"STRUCT", "MAP", "UNION"} else Kind.TEXT


def _instant(native: str) -> str:
    return "TIMESTAMP WITH TIME ZONE" if "TIME ZONE" in native else "TIMESTAMP"
