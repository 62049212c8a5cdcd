"""Snowflake's SQL."""

from __future__ import annotations

import re

from bailiwick.data.engines.dialect import Dialect, doubled, exact, name_parts
from bailiwick.data.engines.model import Column, Kind

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_KINDS = {
    "FIXED": Kind.NUMBER,
    "NUMBER": Kind.NUMBER,
    "REAL": Kind.NUMBER,
    "FLOAT": Kind.NUMBER,
    "DECFLOAT": Kind.NUMBER,
    "BOOLEAN": Kind.BOOLEAN,
    "DATE": Kind.MOMENT,
    "TIMESTAMP_NTZ": Kind.MOMENT,
    "TIMESTAMP_LTZ": Kind.MOMENT,
    "TIMESTAMP_TZ": Kind.MOMENT,
    "BINARY": Kind.BINARY,
    "OBJECT": Kind.STRUCT,
    "MAP": Kind.STRUCT,
}


class SnowflakeDialect(Dialect):
    """Snowflake. Elements of plain arrays have no type of their own and are told as text; a null in one is JSON's."""

    name = "snowflake"
    most_at_once = 16  # a statement may have a megabyte

    def quote(self, name: str) -> str:
        return doubled(name, '"')

    def literal(self, text: str) -> str:
        return doubled(text.replace("\\", "\\\\"), "'")

    def number(self, value: float) -> str:
        return f"'{exact(value)}'::DOUBLE"

    def table(self, name: str) -> str:
        """A plain name is any letter case's, as Snowflake has it; one that needs quotes is taken exactly."""
        return ".".join(part if _PLAIN.fullmatch(part) else self.quote(part) for part in name_parts(name))

    def double(self, column: Column, value: str) -> str:
        if column.kind is Kind.MOMENT:
            return f"TRUNC(DATE_PART(EPOCH_MICROSECOND, {value}::{_instant(column.native)}) / 1000)::DOUBLE"
        return f"{value}::BOOLEAN::INT::DOUBLE" if column.kind is Kind.BOOLEAN else f"{value}::DOUBLE"

    def text(self, column: Column, value: str) -> str:
        return f"COLLATE({value}::VARCHAR, 'utf8')"

    def not_a_number(self, value: str) -> str:
        return f"{value} = 'NaN'::DOUBLE"

    def bytes_of(self, column: Column, value: str) -> str:
        return f"OCTET_LENGTH({value})"

    def elements(self, lists: str, column: Column, level: int) -> str:
        return f"SELECT f{level}.VALUE AS x FROM ({lists}) AS l{level}, LATERAL FLATTEN(INPUT => x) AS f{level}"

    def length(self, column: Column, level: int, value: str) -> str:
        return f"ARRAY_SIZE({value})" if not level else f"ARRAY_SIZE(AS_ARRAY({value}))"

    def innermost(self, column: Column, value: str) -> str:
        """Only arrays declared as arrays of arrays are known to be; Snowflake has no way to flatten more than one level."""
        flat = value
        for _ in range(column.depth - 1):
            flat = f"ARRAY_FLATTEN({flat})"
        return f"ARRAY_SIZE({flat})"


def snowflake_column(name: str, type_name: str, *, scale: int | None = None, depth: int = 0) -> Column:
    """A column by the name of its type in a result's description."""
    word = type_name.upper()
    if word == "ARRAY":
        return Column(name, Kind.TEXT, max(1, depth), "VARIANT")
    kind = Kind.WHOLE if word in {"FIXED", "NUMBER"} and scale == 0 else _KINDS.get(word, Kind.TEXT)
    return Column(name, kind, depth, word)


def _instant(native: str) -> str:
    return native if native.startswith("TIMESTAMP") else "TIMESTAMP_NTZ"
