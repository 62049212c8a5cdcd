"""PostgreSQL's SQL."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.data.engines.dialect import Dialect, doubled, exact
from bailiwick.data.engines.model import Column, Kind

_KINDS = {
    "bool": Kind.BOOLEAN,
    "int2": Kind.WHOLE,
    "int4": Kind.WHOLE,
    "int8": Kind.WHOLE,
    "oid": Kind.WHOLE,
    "float4": Kind.NUMBER,
    "float8": Kind.NUMBER,
    "numeric": Kind.NUMBER,
    "date": Kind.MOMENT,
    "timestamp": Kind.MOMENT,
    "timestamptz": Kind.MOMENT,
    "bytea": Kind.BINARY,
    "record": Kind.STRUCT,
}


class PostgresDialect(Dialect):
    """PostgreSQL 14 and later."""

    name = "postgresql"

    def quote(self, name: str) -> str:
        return doubled(name, '"')

    def literal(self, text: str) -> str:
        plain = doubled(text, "'")
        return plain if "\\" not in text else "E" + plain.replace("\\", "\\\\")  # whatever the server's setting

    def number(self, value: float) -> str:
        return f"'{exact(value)}'::float8"

    def double(self, column: Column, value: str) -> str:
        if column.kind is Kind.MOMENT:
            return f"TRUNC(EXTRACT(EPOCH FROM {value}) * 1000)::float8"
        return f"({value})::int::float8" if column.kind is Kind.BOOLEAN else f"({value})::float8"

    def text(self, column: Column, value: str) -> str:
        return f'({value})::text COLLATE "C"'

    def not_a_number(self, value: str) -> str:
        return f"{value} = 'NaN'::float8"

    def bytes_of(self, column: Column, value: str) -> str:
        return f"OCTET_LENGTH({value})"

    def lists(self, column: Column, relation: str, level: int) -> str:
        if (
            level and level == column.depth
        ):  # an array of arrays is one block, of which UNNEST gives all innermost elements
            return f"SELECT UNNEST({self.quote(column.name)}) AS x FROM {relation}"
        return super().lists(column, relation, level)

    def elements(self, lists: str, column: Column, level: int) -> str:
        """The block again for each list in it: `length` tells of a level of the whole block."""
        inner = f"GENERATE_SERIES(1, COALESCE(ARRAY_LENGTH(x, {level + 1}), 0))"
        return f"SELECT x FROM ({lists}) AS l{level} CROSS JOIN LATERAL {inner} AS i{level}"

    def length(self, column: Column, level: int, value: str) -> str:
        return f"CASE WHEN {value} IS NOT NULL THEN COALESCE(ARRAY_LENGTH({value}, {level + 1}), 0) END"

    def innermost(self, column: Column, value: str) -> str:
        return f"CARDINALITY({value})"

    def row_digest(self, columns: Sequence[Column]) -> str:
        """A record as text quotes each value, and tells a missing one from an empty one."""
        row = f"ROW({', '.join(self.quote(column.name) for column in columns)})::text"
        return f"ENCODE(SHA256(CONVERT_TO({row}, 'UTF8')), 'hex')"

    def word(self, digest: str, place: int) -> str:
        return f"('x' || SUBSTR({digest}, {place:d}, 8))::bit(32)::bigint"

    def bin(self, edges: Sequence[float], below: str) -> str:
        if below == "<":  # PostgreSQL's own search by halves is several times as fast
            return f"WIDTH_BUCKET(v, '{{{', '.join(map(exact, edges))}}}'::float8[])" if edges else "0"
        return super().bin(edges, below)


def postgresql_column(name: str, type_name: str, depth: int) -> Column:
    """A column by its type's name in `pg_type`, without the `_` of arrays."""
    return Column(name, _KINDS.get(type_name, Kind.TEXT), depth, type_name)
