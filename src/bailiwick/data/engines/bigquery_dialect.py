"""BigQuery's SQL."""

from __future__ import annotations

from bailiwick.data.engines.dialect import Dialect, exact, name_parts
from bailiwick.data.engines.model import Column, Kind

_KINDS = {
    "INTEGER": Kind.WHOLE,
    "INT64": Kind.WHOLE,
    "FLOAT": Kind.NUMBER,
    "FLOAT64": Kind.NUMBER,
    "NUMERIC": Kind.NUMBER,
    "BIGNUMERIC": Kind.NUMBER,
    "BOOLEAN": Kind.BOOLEAN,
    "BOOL": Kind.BOOLEAN,
    "DATE": Kind.MOMENT,
    "DATETIME": Kind.MOMENT,
    "TIMESTAMP": Kind.MOMENT,
    "BYTES": Kind.BINARY,
    "RECORD": Kind.STRUCT,
    "STRUCT": Kind.STRUCT,
}
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


class BigQueryDialect(Dialect):
    """GoogleSQL. Its arrays hold no arrays, are never null, and cannot hold null where they are stored."""

    name = "bigquery"
    most_at_once = 16  # a statement may have a megabyte

    def quote(self, name: str) -> str:
        return _quoted(name, "`")

    def literal(self, text: str) -> str:
        return _quoted(text, "'")

    def number(self, value: float) -> str:
        return exact(value)

    def table(self, name: str) -> str:
        """One pair of quotes is around all parts: a project's name may have dashes."""
        return self.quote(".".join(name_parts(name)))

    def double(self, column: Column, value: str) -> str:
        if column.native == "DATE":
            return f"CAST(UNIX_DATE({value}) AS FLOAT64) * 86400000.0"
        if column.kind is Kind.MOMENT:
            instant = f"TIMESTAMP({value})" if column.native == "DATETIME" else value
            return f"CAST(DIV(UNIX_MICROS({instant}), 1000) AS FLOAT64)"
        return (
            f"CAST(CAST({value} AS INT64) AS FLOAT64)" if column.kind is Kind.BOOLEAN else f"CAST({value} AS FLOAT64)"
        )

    def text(self, column: Column, value: str) -> str:
        if column.native == "STRING":
            return f"COLLATE({value}, '')"
        if column.native == "JSON":
            return f"TO_JSON_STRING({value})"
        return f"ST_ASTEXT({value})" if column.native == "GEOGRAPHY" else f"CAST({value} AS STRING)"

    def not_a_number(self, value: str) -> str:
        return f"IS_NAN({value})"

    def bytes_of(self, column: Column, value: str) -> str:
        return f"BYTE_LENGTH({value})"

    def present(self, value: str) -> str:
        return f"COUNTIF({value} IS NOT NULL)"

    def elements(self, lists: str, column: Column, level: int) -> str:
        return f"SELECT e AS x FROM ({lists}) AS l{level}, UNNEST(x) AS e"

    def length(self, column: Column, level: int, value: str) -> str:
        return f"ARRAY_LENGTH({value})"

    def innermost(self, column: Column, value: str) -> str:
        return self.length(column, 0, value)


def bigquery_column(name: str, field_type: str, mode: str) -> Column:
    """A column by the type and mode of its field in a table's schema."""
    native = field_type.upper()
    return Column(name, _KINDS.get(native, Kind.TEXT), 1 if mode.upper() == "REPEATED" else 0, native)


def _quoted(text: str, quote: str) -> str:
    """Names have the escapes of texts, with their own quote."""
    inside = "".join(_ESCAPES.get(character, character) for character in text)
    return quote + inside.replace(quote, "\\" + quote) + quote
