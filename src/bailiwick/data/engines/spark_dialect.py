"""Spark's SQL, and Databricks', which is the same for what is asked here."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.data.engines.dialect import Dialect, exact
from bailiwick.data.engines.model import Column, Kind

_KINDS = {
    "tinyint": Kind.WHOLE,
    "smallint": Kind.WHOLE,
    "int": Kind.WHOLE,
    "bigint": Kind.WHOLE,
    "float": Kind.NUMBER,
    "double": Kind.NUMBER,
    "decimal": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "date": Kind.MOMENT,
    "timestamp": Kind.MOMENT,
    "timestamp_ltz": Kind.MOMENT,
    "timestamp_ntz": Kind.MOMENT,
    "binary": Kind.BINARY,
    "struct": Kind.STRUCT,
    "map": Kind.STRUCT,
}


class SparkDialect(Dialect):
    """Spark 3.5 and later, with ANSI mode or without."""

    name = "spark"
    most_at_once = 16  # a statement becomes one plan, which is compiled

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        """A setting decides what a backslash means, so such texts are written in hexadecimal."""
        if "\\" in text or "'" in text:
            return f"DECODE(UNHEX('{text.encode().hex().upper()}'), 'UTF-8')"
        return f"'{text}'"

    def number(self, value: float) -> str:
        return f"{exact(value)}D"

    def double(self, column: Column, value: str) -> str:
        if column.native == "date":
            return f"CAST(UNIX_DATE({value}) AS DOUBLE) * 86400000D"
        if column.native == "timestamp_ntz":
            since = f"TIMESTAMPDIFF(MICROSECOND, TIMESTAMP_NTZ'1970-01-01 00:00:00', {value})"
            return f"CAST({since} DIV 1000 AS DOUBLE)"
        if column.kind is Kind.MOMENT:
            return f"CAST(UNIX_MICROS({value}) DIV 1000 AS DOUBLE)"
        return f"CAST({value} AS DOUBLE)"

    def text(self, column: Column, value: str) -> str:
        if "collate" in column.native.lower():
            return f"{value} COLLATE UTF8_BINARY"
        return value if column.native == "string" else f"CAST({value} AS STRING)"

    def not_a_number(self, value: str) -> str:
        return f"ISNAN({value})"

    def bytes_of(self, column: Column, value: str) -> str:
        return f"OCTET_LENGTH({value})"

    def elements(self, lists: str, column: Column, level: int) -> str:
        return f"SELECT EXPLODE(x) AS x FROM ({lists}) AS l{level}"

    def length(self, column: Column, level: int, value: str) -> str:
        return f"ARRAY_SIZE({value})"

    def innermost(self, column: Column, value: str) -> str:
        """FLATTEN is null where any list is, so lengths are added up instead."""

        def added(depth: int, lists: str) -> str:
            if depth == 1:
                return f"ARRAY_SIZE({lists})"
            inner = f"y{depth}"
            return (
                f"AGGREGATE(TRANSFORM({lists}, {inner} -> COALESCE({added(depth - 1, inner)}, 0)), 0, (a, b) -> a + b)"
            )

        return added(column.depth, value)

    def row_digest(self, columns: Sequence[Column]) -> str:
        values = ", ".join(f"'v{place}', {self.quote(column.name)}" for place, column in enumerate(columns))
        said = "MAP('ignoreNullFields', 'false', 'timeZone', 'UTC')"
        return f"SHA2(TO_JSON(NAMED_STRUCT({values}), {said}), 256)"

    def word(self, digest: str, place: int) -> str:
        return f"CAST(CONV(SUBSTR({digest}, {place:d}, 8), 16, 10) AS BIGINT)"


class DatabricksDialect(SparkDialect):
    """A SQL warehouse or cluster of Databricks."""

    name = "databricks"


def spark_column(name: str, declared: str) -> Column:
    """A column by its type as Spark writes it, e.g. `array<array<decimal(9,2)>>`."""
    native, depth = declared, 0
    while native.startswith("array<"):
        native, depth = native.removeprefix("array<").removesuffix(">"), depth + 1
    word = native.partition("(")[0].partition("<")[0].partition(" ")[0]
    return Column(name, _KINDS.get(word, Kind.TEXT), depth, native)
