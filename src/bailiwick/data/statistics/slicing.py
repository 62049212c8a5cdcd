"""Slices of rows by the values of a column, named as TFDV names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import is_list, storable
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.merging import Part, count_column, merge_columns
from bailiwick.data.statistics.streaming import Counting, Rows, grouped

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")

MOST_SLICES = 1000
_BUDGET = 1 << 24
_MOST_PENDING = 4


def slices_by(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """The rows of each value of a column, called `COLUMN_VALUE` as TFDV calls them; rows without a value are in none.

    Raises InvalidInput for a column that is not there or has more than `MOST_SLICES` values.
    """
    require_sliceable(table.schema, column)
    values = table.column(column).unique().drop_null()
    _require_few(column, len(values))
    return {
        f"{column}_{value.as_py()}": table.filter(pc.equal(table.column(column), value))
        for value in sorted(values, key=lambda value: str(value.as_py()))
    }


def require_sliceable(schema: pa.Schema, column: str) -> None:
    """Raises InvalidInput for a column that is not there, or has several values a row."""
    if column not in schema.names:
        raise InvalidInput.choice("Column to slice by", column, schema.names)
    kind = schema.field(column).type
    if is_list(kind) or pa.types.is_struct(kind):
        raise InvalidInput(f"Column {column!r} is {kind}; slices are made by single values.")


def _require_few(column: str, values: int) -> None:
    if values > MOST_SLICES:
        raise InvalidInput(f"Column {column!r} has {values} values or more; slices are made of at most {MOST_SLICES}.",
                           hint="Slice by an expression in SQL instead.")  # fmt: skip


def split_rows(rows: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each value, in order, with the slice's name; rows without a value, or with NaN, are in none."""
    coded = rows.column(column).combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy()
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(coded.dictionary)))
    ordered = rows.take(pa.array(order))
    start = 0
    for value, end in zip(coded.dictionary.to_pylist(), ends.tolist(), strict=False):
        if end > start and value == value:  # noqa: PLR0124 (NaN is not)
            yield f"{column}_{value}", ordered.slice(start, end - start)
        start = end


class SliceCounting:
    """What is to be counted of each slice. Memory is bounded: past a budget each column of each slice has to do with less."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._rows: dict[str, int] = {}
        self._parts: dict[str, dict[str, list[ColumnPart]]] = {}
        self._over = False

    @property
    def names(self) -> list[str]:
        """The slices that were met, in order of their names."""
        return sorted(self._rows)

    def add(self, name: str, rows: pa.Table) -> None:
        """The next rows of one slice, in storable types. Raises InvalidInput where there are too many slices."""
        self._rows[name] = self._rows.get(name, 0) + rows.num_rows
        _require_few(self._column, len(self._rows))
        held = self._parts.setdefault(name, {})
        for column, values in zip(rows.column_names, rows.columns, strict=True):
            pending = held.setdefault(column, [])
            pending.append(count_column(column, values))
            if len(pending) >= _MOST_PENDING:
                self._merge(held, column)

    def settle(self) -> None:
        """Keep to the budget; to be called between groups of rows."""
        weight = sum(part.weight for held in self._parts.values() for pending in held.values() for part in pending)
        if weight > _BUDGET:
            self._over = True
            for held in self._parts.values():
                for column in held:
                    self._merge(held, column)

    def part(self, name: str) -> Part:
        """What was counted of one slice."""
        held = self._parts[name]
        for column in held:
            self._merge(held, column)
        return Part(self._rows[name], {column: pending[0] for column, pending in held.items()})

    def _merge(self, held: dict[str, list[ColumnPart]], column: str) -> None:
        columns = len(held) * len(self._rows) if self._over else 1
        held[column] = [merge_columns(column, held[column], columns=columns, sliced=self._over)]


def count_slices(rows: Rows, by: str) -> dict[str, Part]:
    """What is to be counted of all rows ("") and, with a column to slice by, of each slice, in one pass.

    Raises InvalidInput as `slices_by` does.
    """
    if by:
        require_sliceable(rows.schema, by)
    slices = SliceCounting(by)
    with Counting() as counting:
        counting.add(rows.schema.empty_table())
        for table in grouped(rows):
            counting.add(table)
            if by:
                for name, some in split_rows(storable(table), by):
                    slices.add(name, some)
                slices.settle()
        return {"": counting.part(), **{name: slices.part(name) for name in slices.names}}
