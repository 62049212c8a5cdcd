"""A column made ready to count, its values flat and of a kind that is counted; and what was counted of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import instant, is_list, is_time
from bailiwick.data.plain_arrays import numbers_of, truths_of, zero
from bailiwick.data.statistics.counts import Numbers
from bailiwick.data.statistics.texts import Texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")

Lengths: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, slots=True)
class Column:
    """One feature ready to count: `values` flat (lists are unpacked), `lengths` the number of values in each present row.

    `levels`, of lists in lists only: of each level, outermost first, how many lists are missing and how long the others are.
    """

    name: str
    kind: int
    values: pa.ChunkedArray
    rows: int
    missing: int
    lengths: Lengths | None
    levels: tuple[tuple[int, Lengths], ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnPart:
    """What was counted of one column: `lengths` are the numbers of values of present rows; of `numbers` and `texts` (of
    bytes too, beside their `sizes`) the one of its kind is filled.
    """

    kind: int
    present: int
    missing: int
    lengths: Numbers
    numbers: Numbers = field(default_factory=Numbers)
    texts: Texts = field(default_factory=Texts)
    sizes: Numbers = field(default_factory=Numbers)
    levels: tuple[tuple[int, Numbers], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether each different value is counted for itself."""
        return self.numbers.exact and self.texts.exact

    @property
    def weight(self) -> int:
        """How much is held, in numbers and their counts."""
        texts = max(4 * self.texts.kept, int(self.texts.values.nbytes) >> 4)
        return len(self.numbers.values) + texts + len(self.lengths.values) + len(self.sizes.values)


def is_coded(kind: pa.DataType) -> bool:
    """Whether values are text by number, which is counted without looking the text up."""
    text = pa.types.is_dictionary(kind) and (
        pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
    )
    return bool(text)


def countable_column(name: str, column: pa.ChunkedArray) -> Column:
    """A column of a storable table, or of coded text, its lists unpacked and its values of a kind that is counted."""
    values, levels = column, []
    nested = is_list(column.type) and is_list(column.type.value_type)
    row_of = np.arange(len(column)) if nested else None  # of each value, the row that it is in
    while is_list(values.type):
        lengths = pc.list_value_length(values)
        levels.append((values.null_count, numbers_of(lengths.drop_null()).astype(np.int64)))
        if row_of is not None:
            row_of = np.repeat(row_of, numbers_of(lengths.fill_null(zero(lengths.type))))
        values = pc.list_flatten(values)
    kind, countable = _countable(values)
    in_rows = levels[0][1] if levels else None
    if row_of is not None:
        in_rows = np.bincount(row_of, minlength=len(column))[truths_of(column.is_valid())]
    return Column(
        name, kind, countable, len(column), column.null_count, in_rows, tuple(levels) if row_of is not None else ()
    )


def _countable(values: pa.ChunkedArray) -> tuple[int, pa.ChunkedArray]:
    kind = values.type
    if pa.types.is_boolean(kind):
        return protos.FeatureNameStatistics.INT, values.cast(pa.uint8())
    if is_time(kind):
        return protos.FeatureNameStatistics.INT, values.cast(instant()).cast(
            pa.timestamp("ms", "UTC"), safe=False
        ).cast(pa.int64())
    if pa.types.is_integer(kind):
        return protos.FeatureNameStatistics.INT, values
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return protos.FeatureNameStatistics.FLOAT, values if kind == pa.float64() else values.cast(pa.float64())
    if pa.types.is_string(kind) or is_coded(kind):
        return protos.FeatureNameStatistics.STRING, values
    return (
        protos.FeatureNameStatistics.STRUCT if pa.types.is_struct(kind) else protos.FeatureNameStatistics.BYTES
    ), values
