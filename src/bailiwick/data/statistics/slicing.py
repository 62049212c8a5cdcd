"""Slices of a table by the values of a column, named as TFDV names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")

MOST_SLICES = 1000


def slices_by(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """The rows of each value of a column, called `COLUMN_VALUE` as TFDV calls them; rows without a value are in none.

    Raises InvalidInput for a column that is not there or has more than `MOST_SLICES` values.
    """
    if column not in table.column_names:
        raise InvalidInput.choice("Column to slice by", column, table.column_names)
    values = table.column(column).unique().drop_null()
    if len(values) > MOST_SLICES:
        raise InvalidInput(f"Column {column!r} has {len(values)} values; slices are made of at most {MOST_SLICES}.",
                           hint="Slice by an expression in SQL instead.")  # fmt: skip
    return {
        f"{column}_{value.as_py()}": table.filter(pc.equal(table.column(column), value))
        for value in sorted(values, key=lambda value: str(value.as_py()))
    }
