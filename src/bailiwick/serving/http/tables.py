"""Tables as files: CSV and Parquet, column by column into the types of the model."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.serving.http.columns import from_columns, spread
from bailiwick.serving.protocol import InferRequest, Refused
from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.tensors import FLOATS, TensorSpec

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
else:
    pa, pc, pq = deferred("pyarrow"), deferred("pyarrow.compute"), deferred("pyarrow.parquet")

MOST_CELLS = 8 << 20
"""Values of a request: a small file can stand for a table of any size, and each takes a Python object."""
MOST_TEXT_BYTES = 64 << 20
MOST_PLAIN_BYTES = 256 << 20
"""Bytes of the columns of a Parquet file when they are decompressed."""

_MISSING = frozenset({"", "NaN", "nan", "NA", "N/A", "null", "NULL", "None", "<NA>"})
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def read_csv(compiled: CompiledEndpoint, body: bytes) -> InferRequest:
    """A header of names, then rows, as pandas writes them. Raises Refused naming line and column."""
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, None)
        if not names:
            raise Refused(400, "The CSV has no header with the names of its columns.")
        rows = [(lines.line_num, record) for record in _few(lines, len(names)) if record]
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused(400, f"The body is not CSV: {error}.") from None
    if len(set(names)) != len(names):
        raise Refused(400, "The CSV has two columns of one name.")
    if not rows:
        raise Refused(400, "The CSV has no rows.")
    for line, record in rows:
        if len(record) != len(names):
            raise Refused(400, f"Line {line} of the CSV has {len(record)} values; the header has {len(names)}.")
    columns: dict[str, list[Any]] = {}
    matrix = spread(compiled, names)
    for place, name in enumerate(names):
        spec = compiled.binder.spec_of(name) or matrix
        if spec is not None:
            columns[name] = [_converted(record[place], spec, line) for line, record in rows]
    return from_columns(compiled, columns, len(rows), ignore_unknown=True)


def read_parquet(compiled: CompiledEndpoint, body: bytes) -> InferRequest:
    """A Parquet file; what the model does not have is not read. Raises Refused: 413 past MOST_CELLS."""
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        names = list(file.schema_arrow.names)
        if len(set(names)) != len(names):
            raise Refused(400, "The table has two columns of one name.")
        matrix = spread(compiled, names)
        if matrix is None:
            names = [name for name in names if compiled.binder.spec_of(name) is not None]
        rows = file.metadata.num_rows
        cells = rows * max(1, sum(_width(compiled, name) for name in names))
        if cells > MOST_CELLS:
            raise Refused(413, f"The table has {cells} values; a request has at most {MOST_CELLS}.")
        _refuse_bomb(file.metadata, names)
        texts = [name for name in names if pa.types.is_string(file.schema_arrow.field(name).type)]
        file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts)
        table = file.read(columns=names) if names else None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Refused(400, f"The body is not Parquet: {str(error)[:300]}.") from None
    if table is None or table.num_rows != rows:
        return from_columns(compiled, {}, rows)
    if not rows:
        raise Refused(400, "The table has no rows.")
    columns = {}
    for name in names:
        try:
            columns[name] = _values(table[name], compiled.binder.spec_of(name) or matrix, name)
        except UnicodeDecodeError:
            raise Refused(400, f"Column {name[:100]!r} has a text that is not UTF-8.") from None
        except (pa.ArrowException, ValueError, OverflowError) as error:  # as of a moment that no calendar has
            raise Refused(400, f"Column {name[:100]!r} cannot be read: {str(error)[:300]}.") from None
    return from_columns(compiled, columns, rows, ignore_unknown=True)


def _few(lines: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    for row, record in enumerate(lines, 1):
        if row * width > MOST_CELLS:
            raise Refused(413, f"The table has more than {MOST_CELLS} values.")
        yield record


def _refuse_bomb(about: pq.FileMetaData, names: Collection[str]) -> None:
    chunks = (
        about.row_group(group).column(place)
        for group in range(about.num_row_groups)
        for place in range(about.num_columns)
    )
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in names)
    if size > MOST_PLAIN_BYTES:
        raise Refused(
            413, f"The table has {size} bytes when it is decompressed; a request has at most {MOST_PLAIN_BYTES}."
        )


def _converted(text: str, spec: TensorSpec, line: int) -> Any:
    if spec.datatype == "BYTES":
        return text or None
    if text.strip() in _MISSING:
        return None
    convert: Callable[[str], Any] = float if spec.datatype in FLOATS else int
    try:
        value = _TRUTHS[text.strip()] if spec.datatype == "BOOL" else convert(text.replace("_", "?"))
    except (ValueError, KeyError):
        raise Refused(
            400, f"Line {line} of the CSV: {text[:60]!r} in column {spec.name[:100]} is not {spec.datatype}."
        ) from None
    return None if value != value else value  # noqa: PLR0124 - NaN is not itself


def _width(compiled: CompiledEndpoint, name: str) -> int:
    spec = compiled.binder.spec_of(name)
    return 1 if spec is None else spec.width


def _values(column: pa.ChunkedArray, spec: TensorSpec | None, name: str) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        return _texts(column, name)
    kind = column.type
    if spec is not None and spec.datatype == "BYTES" and (pa.types.is_temporal(kind) or pa.types.is_large_string(kind)):
        column = column.cast(pa.string())
    found: list[Any] = column.to_pylist()
    if pa.types.is_temporal(kind) and any(type(text) is str and text.startswith("<") for text in found):
        raise ValueError("a moment is out of the range of the calendar")  # Arrow writes that it is, in angle brackets
    if pa.types.is_floating(kind):
        return [None if value is None or value != value else value for value in found]  # noqa: PLR0124 - NaN
    return found


def _texts(column: pa.ChunkedArray, name: str) -> list[Any]:
    """Each text once in memory, however often it stands in the column."""
    found: list[Any] = []
    size = 0
    for chunk in column.chunks:
        words: list[Any] = chunk.dictionary.to_pylist()
        places = chunk.indices.to_pylist()
        size += sum(0 if place is None else len(words[place]) for place in places)
        if size > MOST_TEXT_BYTES:
            raise Refused(413, f"Column {name[:100]} has more than {MOST_TEXT_BYTES} characters.")
        found += [None if place is None else words[place] for place in places]
    return found
