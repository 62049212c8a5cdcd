"""Documents, as models of which nothing says what columns they take are asked with and answer with: texts of JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")

_decode = msgspec.json.Decoder().decode


def table_document(table: pa.Table) -> str:
    """A table as a document. Raises ValueError for a column of bytes, and for moments that no calendar has."""
    columns, dtypes = [], {}
    for name in table.column_names:
        column = table[name]
        dtype = _dtype(column)
        if dtype:
            dtypes[name] = dtype
        columns.append(_plain(column, name))
    data = [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(table.num_rows)]
    split = {"columns": table.column_names, "data": data}
    return json.dumps({"dataframe_split": split, **({"dtypes": dtypes} if dtypes else {})})


def answer_of(text: str) -> Any:
    """What a model answered; the text itself where it is no JSON, as that of a constant may be."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def answer_of_row(text: str) -> Any:
    """The same for a document of one row: what a list of one says is said of that row."""
    found = answer_of(text)
    return found[0] if isinstance(found, list) and len(found) == 1 else found


def _dtype(column: pa.ChunkedArray) -> str:
    """Pandas' name of what JSON does not tell; empty where it does, or where a null leaves no such type."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return "datetime64[ns, UTC]" if kind.tz else "datetime64[ns]"
    if pa.types.is_dictionary(kind):
        return "category"
    if column.null_count and not pa.types.is_floating(kind):
        return ""
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind)) if plain else ""


def _plain(column: pa.ChunkedArray, name: str) -> list[Any]:
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        raise ValueError(f"column {name[:100]!r} holds bytes, which no document can")
    if pa.types.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    found: list[Any] = column.to_pylist()
    if pa.types.is_temporal(kind) and any(type(text) is str and text.startswith("<") for text in found):
        raise ValueError("a moment is out of the range of the calendar")  # Arrow writes that it is, in angle brackets
    return found
