"""Sources as streams of Arrow record batches of one schema: files, object stores, Delta tables, databases, dataframes.

Nothing is held but the batch at hand, so a source may be larger than memory. Every failure names the file, and the row and
column where they are known.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.data.arrow_types import is_time
from bailiwick.data.reading.columnar import ArrowReader, DeltaReader, ParquetReader
from bailiwick.data.reading.databases import database_reader, is_database
from bailiwick.data.reading.delimited import DelimitedReader
from bailiwick.data.reading.json_lines import JsonLinesReader
from bailiwick.data.reading.model import NULLS, Allowance, FileMark, Reader, SourceOptions, one_of_each
from bailiwick.data.reading.places import Place, is_remote, places
from bailiwick.data.reading.secrets import without_password

__all__ = [
    "NULLS",
    "FileMark",
    "Source",
    "SourceOptions",
    "frame_source",
    "open_files",
    "open_source",
    "read_source",
    "without_password",
]

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_PACKED = (".gz", ".zst", ".zstd")


class Source:
    """A schema, and the batches of it as often as one asks; each pass reads anew, except over a dataframe's stream."""

    def __init__(
        self,
        name: str,
        readers: Sequence[Reader],
        schema: pa.Schema,
        watched: Sequence[tuple[Place, str]] = (),
        options: SourceOptions | None = None,
    ) -> None:
        self.name = name
        self.options = options or SourceOptions()
        self.schema = schema
        self._readers = readers
        self._watched = watched

    @property
    def files(self) -> list[Place]:
        """The files it consists of; none for a database, a Delta table or a dataframe."""
        return [place for place, _ in self._watched]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Raises InvalidInput for what cannot be read, Conflict for a file that has changed since it was opened."""
        for reader in self._readers:
            for batch in reader.batches(self.schema, self.schema.names):
                yield _as(batch, self.schema, reader.name)
        self.verify_unchanged()

    def coded(self) -> Iterator[pa.RecordBatch]:
        """The same rows in the same order, but text may be dictionary-coded where it is so in the file. Raises the same."""
        for reader in self._readers:
            if not isinstance(reader, ParquetReader):
                for batch in reader.batches(self.schema, self.schema.names):
                    yield _as(batch, self.schema, reader.name)
            else:
                for batch in reader.coded_batches(self.schema.names):
                    yield _as(batch, _with_codes(self.schema, batch.schema), reader.name)
        self.verify_unchanged()

    def verify_unchanged(self) -> None:
        """Raises Conflict naming a file that is no longer what it was when the source was opened."""
        for place, state in self._watched:
            if _state(place) != state:
                raise Conflict(f"{place.name} changed while it was read.", hint="Read again once nobody writes to it.")

    def marks(self) -> list[FileMark]:
        """Each file with its digest, which reads local files once more. Raises Conflict for one that changed."""
        found = [place.mark() for place in self.files]
        self.verify_unchanged()
        return found

    def between(self, column: str, start: int | None, end: int | None) -> Source:
        """The same, of the rows whose `column` (UTC milliseconds, timestamps or dates) is in [start, end); None is no bound."""
        if start is None and end is None:
            return self
        readers = [_Between(reader, column, start, end) for reader in self._readers]
        return Source(self.name, readers, self.schema, self._watched, self.options)

    def table(self) -> pa.Table:
        """All rows in memory."""
        return pa.Table.from_batches(list(self), self.schema)


class _Between:
    """The rows of another reader that are in a range of time."""

    def __init__(self, reader: Reader, column: str, start: int | None, end: int | None) -> None:
        self.name = reader.name
        self._reader, self._column, self._start, self._end = reader, column, start, end

    def schema(self) -> pa.Schema:
        return self._reader.schema()

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in self._reader.batches(schema, columns):
            times = batch.column(batch.schema.get_field_index(self._column))
            if is_time(times.type):
                times = times.cast(pa.timestamp("ms", getattr(times.type, "tz", None)), safe=False).cast(pa.int64())
            elif not pa.types.is_integer(times.type):
                raise InvalidInput(
                    f"{self.name}, column {self._column!r}: it is {times.type}, and time is a timestamp, a date or whole "
                    "milliseconds."
                )
            wanted = pc.is_valid(times)
            if self._start is not None:
                wanted = pc.and_(wanted, pc.fill_null(pc.greater_equal(times, self._start), False))
            if self._end is not None:
                wanted = pc.and_(wanted, pc.fill_null(pc.less(times, self._end), False))
            yield batch.filter(wanted)


def open_source(
    source: str,
    base: Path,
    *,
    needed: Iterable[str] = (),
    columns: Sequence[str] | None = None,
    options: SourceOptions | None = None,
    known: Callable[[Place], bool] | None = None,
) -> Source:
    """The source that `source` names: a path or glob relative to `base`, a URL, or a database and its query.

    `columns` are all that is read, in that order (Parquet, Arrow, Delta and databases skip the others); those and `needed`
    must be there. Files of one source must have the same columns; their types are widened where nothing is lost. Files for
    which `known` is true are left out; a source of no others has no rows. Raises InvalidInput, Unavailable.
    """
    options = options or SourceOptions()
    named = without_password(source)
    readers: list[Reader]
    watched: list[tuple[Place, str]] = []
    if is_database(source):
        readers = [database_reader(source, options.query, base)]
    elif _is_delta(source, base, options):
        at = source if "://" in source else str(base / source)
        readers = [DeltaReader(at, options.version)]
    else:
        found = places(source, base)
        fresh = [place for place in found if known is None or not known(place)]
        watched = [(place, _state(place)) for place in (fresh or found)]
        allowance = Allowance()
        readers = [_reader(place, options, allowance) for place, _ in watched]
    schemas = [_checked(reader) for reader in readers]
    unified = _unified(readers, schemas)
    wanted = [*needed, *(columns or ()), *options.types]
    _require(unified, wanted, readers[0].name, "which is needed")
    if columns is not None:
        unified = pa.schema([unified.field(name) for name in dict.fromkeys(columns)])
    if watched and not (known is None or fresh):
        return Source(named, [], unified)
    return Source(named, readers, unified, watched, options)


def read_source(source: str, base: Path, *, columns: Iterable[str] = ()) -> pa.Table:
    """All rows of `source` in memory; `columns` must be there. See `open_source`."""
    return open_source(source, base, needed=columns).table()


def open_files(names: Sequence[str], *, columns: Sequence[str], options: SourceOptions | None = None) -> Source:
    """Exactly these files, each by its whole name, as `Source.files` gives them. Raises as `open_source` does."""
    options = options or SourceOptions()
    watched = [(place, _state(place)) for name in names for place in places(glob.escape(name), Path("/"))]
    allowance = Allowance()
    readers = [_reader(place, options, allowance) for place, _ in watched]
    unified = _unified(readers, [_checked(reader) for reader in readers])
    _require(unified, columns, readers[0].name, "which is needed")
    return Source(", ".join(names), readers, pa.schema([unified.field(name) for name in columns]), watched, options)


def frame_source(frame: Any, *, name: str = "dataframe", columns: Sequence[str] | None = None) -> Source:
    """Any dataframe that speaks Arrow's stream interface: pandas, polars, DuckDB, PyArrow and what narwhals wraps.

    A frame that is itself a stream, such as a record batch reader, can be read once. Raises InvalidInput for another object.
    """
    native = frame.to_native() if hasattr(frame, "to_native") else frame
    native = native.collect() if not hasattr(native, "__arrow_c_stream__") and hasattr(native, "collect") else native
    if not hasattr(native, "__arrow_c_stream__"):
        raise InvalidInput(
            f"{type(frame).__module__}.{type(frame).__name__} is not a dataframe that speaks Arrow.",
            hint="Give one with __arrow_c_stream__: pandas, polars, PyArrow, DuckDB.",
        )
    reader = _FrameReader(native, name)
    schema = _checked(reader)
    _require(schema, columns or (), name, "which is needed")
    return Source(name, [reader], schema if columns is None else pa.schema([schema.field(each) for each in columns]))


class _FrameReader:
    def __init__(self, frame: Any, name: str) -> None:
        self.name = name
        self._frame = frame
        self._stream = self._opened()
        self._fresh = True

    def schema(self) -> pa.Schema:
        return self._stream.schema.remove_metadata()

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        del schema
        stream = self._stream if self._fresh else self._opened()
        self._fresh = False
        for batch in stream:
            yield batch.select(list(columns))

    def _opened(self) -> pa.RecordBatchReader:
        try:
            return pa.RecordBatchReader.from_stream(self._frame)
        except (pa.ArrowException, TypeError, ValueError) as error:  # what pandas cannot give as Arrow
            reason = "; ".join(str(each).rstrip(".") for each in error.args)
            raise InvalidInput(
                f"{self.name} cannot be read: {reason}.",
                hint="Give each column a name of its own and values of one type.",
            ) from error


def _is_delta(source: str, base: Path, options: SourceOptions) -> bool:
    if options.format:
        return options.format == "delta"
    if source.startswith("http"):
        return False
    if is_remote(source):  # what has no known ending and no pattern may be a table's folder
        return options.version is not None or ("*" not in source and not _format(source.rpartition("/")[2]))
    return "://" not in source and (base / source / "_delta_log").is_dir()


def _format(name: str) -> str:
    lower = name.lower()
    for ending in _PACKED:
        lower = lower.removesuffix(ending)
    return next((kind for ending, kind in _ENDINGS.items() if lower.endswith(ending)), "")


def _reader(place: Place, options: SourceOptions, allowance: Allowance) -> Reader:
    kind = options.format or _format(place.short)
    if kind == "csv":
        return DelimitedReader(place, options, allowance=allowance)
    if kind == "jsonl":
        return JsonLinesReader(place, options)
    if kind == "parquet":
        return ParquetReader(place)
    if kind == "arrow":
        return ArrowReader(place)
    raise InvalidInput.choice(f"{place.name}: file type", Path(place.short).suffix, _ENDINGS)


def _state(place: Place) -> str:
    try:
        return place.state()
    except FileNotFoundError:
        return "gone"
    except OSError as error:
        raise InvalidInput(f"{place.name} cannot be read: {error.strerror or error}.") from error


def _checked(reader: Reader) -> pa.Schema:
    try:
        schema = reader.schema()
    except OSError as error:
        raise InvalidInput(f"{reader.name} cannot be read: {error.strerror or error}.") from error
    one_of_each(schema.names, reader.name)
    return schema


def _unified(readers: Sequence[Reader], schemas: Sequence[pa.Schema]) -> pa.Schema:
    first, first_name = schemas[0], Path(readers[0].name).name
    unified = first
    optional = all(
        isinstance(reader, JsonLinesReader) for reader in readers
    )  # as a line may, a file may leave keys out
    for reader, schema in zip(readers, schemas, strict=True):
        if not optional:
            _require(schema, first.names, reader.name, f"which {first_name} has")
        try:
            unified = pa.unify_schemas([unified, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidInput(
                _type_clash(unified, readers[0], reader, schema) or f"{reader.name}: {error}."
            ) from error
        if len(unified) > len(first) and not optional:
            extra = sorted(set(schema.names) - set(first.names))
            raise InvalidInput(f"{reader.name} has columns that {first_name} lacks: {', '.join(extra)}.")
    return unified


def _require(schema: pa.Schema, columns: Iterable[str], name: str, why: str) -> None:
    present = set(schema.names)
    for column in columns:
        if column not in present:
            near = get_close_matches(column, schema.names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(schema.names[:50])}."
            raise InvalidInput(f"{name} has no column {column!r}, {why}.", hint=hint)


def _type_clash(first: pa.Schema, first_reader: Reader, reader: Reader, schema: pa.Schema) -> str:
    first_name = Path(first_reader.name).name
    for field in schema:
        expected = first.field(field.name).type
        try:
            pa.unify_schemas([pa.schema([(field.name, expected)]), pa.schema([field])], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            text, other = (reader, expected) if pa.types.is_string(field.type) else (first_reader, field.type)
            where = _strange(text, field.name, other)
            clash = f"{reader.name}, column {field.name!r}: it is {field.type} here and {expected} in {first_name}."
            return f"{clash} {where}".rstrip()
    return ""


def _strange(reader: Reader, column: str, wanted: pa.DataType) -> str:
    """Of a text file whose column is text because of some values: which row holds the first that is not `wanted`."""
    if not isinstance(reader, DelimitedReader):
        return ""
    try:
        for _ in reader.batches(pa.schema([(column, wanted)]), [column]):
            pass
    except InvalidInput as error:
        return error.message
    return ""


def _with_codes(schema: pa.Schema, found: pa.Schema) -> pa.Schema:
    """The schema, but with dictionaries of its types where they were found."""
    fields = []
    for field in schema:
        kind = found.field(field.name).type
        coded = pa.types.is_dictionary(kind) and kind.value_type == field.type
        fields.append(field.with_type(kind) if coded else field)
    return pa.schema(fields)


def _as(batch: pa.RecordBatch, schema: pa.Schema, name: str) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    arrays = []
    for field in schema:
        array = batch.column(batch.schema.get_field_index(field.name))
        try:
            arrays.append(array if array.type == field.type else array.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidInput(f"{name}, column {field.name!r}: {error}.") from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
