"""Statistics of data that comes in parts: counted part by part, merged in any order, told at the end.

The same numbers as `compute_statistics` gives for all rows at once, in memory that is bounded: past the limits of
`counts.most_numbers` and `texts.Limits` quantiles and rankings have a stated error, and everything else is still exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.plain_arrays import no_rows, numbers_of
from bailiwick.data.statistics.columns import Column, ColumnPart, countable_column, is_coded
from bailiwick.data.statistics.counts import Numbers, fewest_numbers, most_numbers
from bailiwick.data.statistics.telling import feature_of
from bailiwick.data.statistics.texts import Limits, Texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


@dataclass(frozen=True, slots=True)
class Part:
    """What was counted of some rows. `Part()` is of no rows; merging is associative and commutative while all is exact."""

    rows: int = 0
    columns: dict[str, ColumnPart] = field(default_factory=dict)

    def merge(self, other: Part) -> Part:
        """What was counted of both. A column that one of them lacks is missing in each of its rows.

        Raises InvalidInput where a column is text here and numbers there.
        """
        names = dict.fromkeys((*self.columns, *other.columns))
        columns = {name: merge_columns(name, _of_both(name, self, other), columns=len(names)) for name in names}
        return Part(self.rows + other.rows, columns)

    def finish(self, name: str = "", *, order: Sequence[str] | None = None, distinct: bool = False) -> Any:
        """A `DatasetFeatureStatisticsList` with one dataset called `name`; columns in that order, or that of their names.

        `distinct`: with the custom statistic of how many numbers are different.
        """
        chosen = order or sorted(self.columns)
        features = [feature_of(column, self.columns[column], distinct=distinct) for column in chosen]
        dataset = protos.DatasetFeatureStatistics(name=name, num_examples=self.rows, features=features)
        return protos.DatasetFeatureStatisticsList(datasets=[dataset])


def count_part(rows: pa.Table | pa.RecordBatch) -> Part:
    """What is to be counted of some rows."""
    table = settled(pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows)
    names = table.column_names
    return Part(table.num_rows, {name: count_column(name, table.column(i)) for i, name in enumerate(names)})


def settled(table: pa.Table) -> pa.Table:
    """The table in storable types, but with text that is dictionary-coded left so."""
    coded = {n for n, column in zip(table.column_names, table.columns, strict=True) if _is_well_coded(column)}
    if not coded:
        return storable(table)
    storable(no_rows(table.schema))  # names and types
    others = [name for name in table.column_names if name not in coded]
    plain = storable(table.select(others)) if others else None
    columns = [table.column(n) if plain is None or n in coded else plain.column(n) for n in table.column_names]
    return pa.table(columns, names=table.column_names)


def _is_well_coded(column: pa.ChunkedArray) -> bool:
    """Not where a code stands for null, which is then missing without being seen to be."""
    return is_coded(column.type) and not any(chunk.dictionary.null_count for chunk in column.chunks)


def count_column(name: str, column: pa.ChunkedArray, *, apart: bool = True) -> ColumnPart:
    """What is to be counted of a storable column. Without `apart` different numbers may share points."""
    found = countable_column(name, column)
    present = found.rows - found.missing
    lengths = Numbers.constant(1.0, present) if found.lengths is None else Numbers.of(found.lengths)
    levels = tuple((missing, Numbers.of(lens)) for missing, lens in found.levels)
    part = ColumnPart(found.kind, present, found.missing, lengths, levels=levels)
    kinds = protos.FeatureNameStatistics
    if found.kind in {kinds.INT, kinds.FLOAT}:
        return replace(part, numbers=Numbers.of(_numbers(found), apart=apart))
    if found.kind == kinds.STRING:
        return replace(part, texts=Texts.of(found.values, apart=apart))
    if found.kind == kinds.BYTES:
        sizes = numbers_of(pc.binary_length(found.values.drop_null()))
        return replace(part, texts=Texts.of(found.values, apart=apart), sizes=Numbers.of(sizes))
    return part


def merge_columns(name: str, parts: Sequence[ColumnPart], *, columns: int, sliced: bool = False) -> ColumnPart:
    """What was counted of a column in all parts, where there are so many `columns`, in all slices if it is `sliced`."""
    if len(parts) == 1 and not sliced:
        return parts[0]
    most = fewest_numbers(columns) if sliced else most_numbers(columns)
    limits = Limits.of_slices(columns) if sliced else Limits.of(columns)
    joined = reduce(lambda one, other: _merge_shapes(name, one, other), parts)
    return replace(
        joined,
        lengths=Numbers.merge_all([part.lengths for part in parts], most),
        numbers=Numbers.merge_all([part.numbers for part in parts], most),
        texts=Texts.merge_all([part.texts for part in parts], limits),
        sizes=Numbers.merge_all([part.sizes for part in parts], most),
    )


def _numbers(column: Column) -> np.ndarray[Any, Any]:
    values = column.values.drop_null() if column.values.null_count else column.values
    return numbers_of(values)


def _of_both(name: str, one: Part, other: Part) -> list[ColumnPart]:
    found = [_column_of(part, name) for part in (one, other)]
    return [column for column in found if column is not None]


def _column_of(part: Part, name: str) -> ColumnPart | None:
    return part.columns.get(name) or (None if not part.rows else absent(part.rows))


def absent(rows: int) -> ColumnPart:
    """What is counted of a column that so many rows lack."""
    return ColumnPart(protos.FeatureNameStatistics.STRING, 0, rows, Numbers())


def _merge_shapes(name: str, one: ColumnPart, other: ColumnPart) -> ColumnPart:
    """Kind, presence and levels of both."""
    if one.present and other.present and len(one.levels) != len(other.levels):
        deep, shallow = (max(1, len(part.levels)) for part in (one, other))
        raise InvalidInput(f"Column {name!r} has lists {deep} deep in one part of the data and {shallow} in another.")
    return ColumnPart(
        _common_kind(name, one, other),
        one.present + other.present,
        one.missing + other.missing,
        one.lengths,
        levels=_merge_levels(one, other),
    )


def _merge_levels(one: ColumnPart, other: ColumnPart) -> tuple[tuple[int, Numbers], ...]:
    """Levels of both; a part that lacks the column lacks its outermost lists."""
    if len(one.levels) != len(other.levels):  # one of them has no value
        one, other = (one, other) if one.present else (other, one)
        other = replace(other, levels=())
    if not one.levels or not other.levels:
        (missing, lengths), *inner = one.levels or other.levels or ((0, Numbers()),)
        lacking = other.missing if one.levels else one.missing
        return ((missing + lacking, lengths), *inner) if inner else ()
    pairs = zip(one.levels, other.levels, strict=True)
    return tuple((here + there, mine.merge(theirs)) for (here, mine), (there, theirs) in pairs)


def _common_kind(name: str, one: ColumnPart, other: ColumnPart) -> int:
    """The kind of both; a part without a value says nothing, and whole numbers are numbers too."""
    kinds = protos.FeatureNameStatistics
    if one.kind == other.kind or not other.present:
        return one.kind if one.present or one.kind == other.kind else _lower(one.kind, other.kind)
    if not one.present:
        return other.kind
    if {one.kind, other.kind} == {kinds.INT, kinds.FLOAT}:
        return int(kinds.FLOAT)
    here, there = (kinds.Type.Name(part.kind) for part in (one, other))
    raise InvalidInput(f"Column {name!r} is {here} in one part of the data and {there} in another.",
                       hint="Read all parts with one type, e.g. cast it to text.")  # fmt: skip


def _lower(one: int, other: int) -> int:
    """Of two kinds without a value the same one whichever comes first: numbers rather than text."""
    return min(one, other)
