"""The kinds of files that answers are written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson
import pyarrow as pa
from pyarrow import csv, parquet

from bailiwick.core.errors import InvalidInput

_LINES_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True)
class Encoding:
    """`write` puts a table into a file of Arrow's, whole; `nested` says that cells may be lists."""

    name: str
    ending: str
    write: Callable[[pa.Table, pa.NativeFile], None]
    nested: bool = True


def _parquet(rows: pa.Table, file: pa.NativeFile) -> None:
    parquet.write_table(rows, file, compression="snappy")


def _csv(rows: pa.Table, file: pa.NativeFile) -> None:
    """With a header in every file. Text is quoted, so that a missing value differs from an empty one."""
    csv.write_csv(rows, file)


def _json_lines(rows: pa.Table, file: pa.NativeFile) -> None:
    """Times in ISO 8601; what JSON has no number for (NaN, infinity) is null."""
    for start in range(0, rows.num_rows, _LINES_AT_ONCE):
        some = _plain_times(rows.slice(start, _LINES_AT_ONCE)).to_pylist()
        file.write(b"".join(orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE) for row in some))


def _plain_times(rows: pa.Table) -> pa.Table:
    """Nanoseconds as microseconds, which are what Python's times hold."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
            rows = rows.set_column(place, field.name, rows.column(place).cast(kind, safe=False))
    return rows


PARQUET = Encoding("parquet", "parquet", _parquet)
ENCODINGS = {
    each.name: each
    for each in (PARQUET, Encoding("csv", "csv", _csv, nested=False), Encoding("jsonl", "jsonl", _json_lines))
}


def check_schema(encoding: Encoding, schema: pa.Schema) -> None:
    """Raises InvalidInput for a column that such files cannot hold."""
    if encoding.nested:
        return
    for field in schema:
        if pa.types.is_nested(field.type):
            raise InvalidInput(
                f"Column {field.name!r} is {field.type}, which {encoding.name} has no cell for.",
                hint="Write parquet, jsonl or delta, or choose columns with --keep.",
            )
