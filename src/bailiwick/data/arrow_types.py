"""The Arrow types a snapshot is kept in: few enough that Delta, Spark and DuckDB all read the same values back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")


@cache
def instant() -> pa.DataType:
    """The type of every moment: UTC microseconds."""
    return pa.timestamp("us", "UTC")


@cache
def _kept_as() -> dict[pa.DataType, pa.DataType]:
    return {
        pa.bool_(): pa.bool_(),
        pa.int8(): pa.int8(),
        pa.int16(): pa.int16(),
        pa.int32(): pa.int32(),
        pa.int64(): pa.int64(),
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.int64(),
        pa.float16(): pa.float32(),
        pa.float32(): pa.float32(),
        pa.float64(): pa.float64(),
        pa.string(): pa.string(),
        pa.large_string(): pa.string(),
        pa.string_view(): pa.string(),
        pa.binary(): pa.binary(),
        pa.large_binary(): pa.binary(),
        pa.binary_view(): pa.binary(),
        pa.date32(): pa.date32(),
        pa.date64(): pa.date32(),
        pa.time32("s"): pa.string(),
        pa.time32("ms"): pa.string(),
        pa.time64("us"): pa.string(),
        pa.time64("ns"): pa.string(),
        pa.null(): pa.string(),
    }


def storable(table: pa.Table) -> pa.Table:
    """The same values in the types above: dictionaries decoded, every time an instant in UTC microseconds.

    A time without a zone is taken as UTC; nanoseconds are cut; a time of day is its text. Raises InvalidInput naming the column.
    """
    if table.num_columns == 0:
        raise InvalidInput("The table has no columns; a dataset needs at least one.")
    _check_names(table.column_names)
    fields = [pa.field(field.name, storable_type(field.type, field.name)) for field in table.schema]
    columns = [_cast(table.column(i), field) for i, field in enumerate(fields)]
    return pa.table(columns, schema=pa.schema(fields))


def storable_type(arrow_type: pa.DataType, column: str) -> pa.DataType:
    """The type that values of `arrow_type` are kept in. Raises InvalidInput for maps, durations and the like."""
    if pa.types.is_dictionary(arrow_type):
        return storable_type(arrow_type.value_type, column)
    if isinstance(arrow_type, pa.BaseExtensionType):
        return storable_type(arrow_type.storage_type, column)
    if is_list(arrow_type):
        return pa.list_(pa.field("element", storable_type(arrow_type.value_type, column)))
    if pa.types.is_struct(arrow_type):
        return pa.struct([pa.field(f.name, storable_type(f.type, f"{column}.{f.name}")) for f in arrow_type])
    flat = _flat_type(arrow_type)
    if flat is None:
        raise InvalidInput(
            f"Column {column!r} has the Arrow type {arrow_type}, which cannot be stored.",
            hint="Cast it to numbers, text, a timestamp, a list or a struct.",
        )
    return flat


def is_list(arrow_type: pa.DataType) -> bool:
    """Whether a row holds several values: any of Arrow's list layouts, but not a map."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(arrow_type) for check in kinds)


def is_time(arrow_type: pa.DataType) -> bool:
    """Whether values are moments: dates and timestamps."""
    return bool(pa.types.is_timestamp(arrow_type) or pa.types.is_date(arrow_type))


def type_name(arrow_type: pa.DataType) -> str:
    """The name of a storable type, the same whatever a list's inner field happens to be called."""
    if is_list(arrow_type):
        return f"list<{type_name(arrow_type.value_type)}>"
    if pa.types.is_struct(arrow_type):
        return f"struct<{', '.join(f'{field.name}: {type_name(field.type)}' for field in arrow_type)}>"
    return str(arrow_type)


def _flat_type(arrow_type: pa.DataType) -> pa.DataType | None:
    if pa.types.is_timestamp(arrow_type):
        return instant()
    if pa.types.is_fixed_size_binary(arrow_type):
        return pa.binary()
    if pa.types.is_decimal(arrow_type) and arrow_type.precision <= 38:
        return pa.decimal128(arrow_type.precision, arrow_type.scale)
    return _kept_as().get(arrow_type)


def _check_names(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for place, name in enumerate(names, start=1):
        if not name:
            raise InvalidInput(f"Column {place} has no name; give every column one.")
        if name.lower() in seen:
            other = seen[name.lower()]
            raise InvalidInput(
                f"Columns {other!r} and {name!r} have the same name, letter case aside.", hint="Rename one of them."
            )
        seen[name.lower()] = name


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=column.type.storage_type)
    if column.type == field.type:
        return column
    lossless = not any(pa.types.is_timestamp(leaf) for leaf in _leaves(field.type))  # nanoseconds are cut
    try:
        return column.cast(field.type, safe=lossless)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"Column {field.name!r} cannot be kept as {type_name(field.type)}: {error}.", hint="Cast it yourself first."
        ) from error


def _leaves(arrow_type: pa.DataType) -> Iterator[pa.DataType]:
    if is_list(arrow_type):
        yield from _leaves(arrow_type.value_type)
    elif pa.types.is_struct(arrow_type):
        for field in arrow_type:
            yield from _leaves(field.type)
    else:
        yield arrow_type
