"""One pass over a source's rows: settled types, digest, time range, watermark and statistics, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import instant, is_time, storable, type_name
from bailiwick.data.digest import Digested, RunningDigest
from bailiwick.data.plain_arrays import no_rows
from bailiwick.data.statistics.columns import is_coded
from bailiwick.data.statistics.merging import Part
from bailiwick.data.statistics.merging import settled as left_coded
from bailiwick.data.statistics.streaming import Counting

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = deferred("pyarrow"), deferred("pyarrow.compute")


class Pass:
    """What is learnt of rows as they go by. Use it in a `with` block, which ends its threads."""

    def __init__(self, schema: pa.Schema, *, time_column: str = "", watermark: str = "") -> None:
        self.schema = storable(no_rows(schema)).schema
        self.digest = RunningDigest(self.schema)
        self._counting = Counting()
        self._counting.add(no_rows(self.schema))
        self.time_from: int | None = None
        self.time_to: int | None = None
        self.watermark: Any = None
        self._time_column = time_column
        self._watermark = watermark
        self._before: Part | None = None
        for what, name in (("Time column", time_column), ("Watermark column", watermark)):
            if name and name not in schema.names:
                raise InvalidInput.choice(what, name, schema.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._counting.close()
        self.digest.close()

    @property
    def rows(self) -> int:
        """Rows that went by."""
        return self.digest.rows

    def go_on(self, counted: Part) -> None:
        """Statistics are to be of those rows too, which are not counted again."""
        self._before = counted

    def go_on_after(self, digested: Digested, *, time_from: int | None, time_to: int | None) -> None:
        """All is to be of those rows too, of which only those after the digested ones are given once more."""
        self.digest.close()
        self.digest = RunningDigest(self.schema, after=digested)
        self.time_from, self.time_to = time_from, time_to

    def take(self, rows: pa.Table, *, counted: bool = False) -> pa.Table:
        """The same rows in storable types, but for text that comes dictionary-coded. Raises InvalidInput naming the column.

        Statistics and digest are still being made of them by threads when this returns. Those that were `counted` already
        are in what `go_on` was given.
        """
        settled = left_coded(rows)
        if not counted:
            self._counting.add(settled)
        self.digest.update(settled)
        start, end = time_range(settled, self._time_column)
        self.time_from = _least(self.time_from, start)
        self.time_to = _most(self.time_to, end)
        if self._watermark and settled.num_rows:
            self.watermark = _most(self.watermark, _highest(settled, self._watermark))
        return settled

    def statistics(self, name: str) -> bytes:
        """Of all rows, serialised, under the name of the dataset."""
        found = self.part().finish(name, order=self.schema.names)
        return bytes(found.SerializeToString(deterministic=True))

    def part(self) -> Part:
        """What was counted of all rows."""
        found = self._counting.part()
        return found if self._before is None else self._before.merge(found)


def time_range(rows: pa.Table, column: str) -> tuple[int | None, int | None]:
    """First and last event time in UTC milliseconds. Raises InvalidInput for a column that holds no times."""
    if not column:
        return None, None
    if column not in rows.column_names:
        raise InvalidInput.choice("Time column", column, rows.column_names)
    values = rows.column(column)
    if is_time(values.type):
        values = values.cast(instant()).cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(values.type):
        raise InvalidInput(
            f"Time column {column!r} is {type_name(values.type)}.",
            hint="Make it a timestamp, a date, or whole UTC milliseconds.",
        )
    ends = pc.min_max(values).as_py()
    return ends["min"], ends["max"]


def newer(rows: pa.Table, column: str, mark: Any) -> pa.Table:
    """Rows whose `column` is above `mark`, which is as `_highest` gave it; all rows for None."""
    return rows if mark is None else rows.filter(pc.greater(_comparable(rows, column), mark))


def _highest(rows: pa.Table, column: str) -> Any:
    return pc.max(_comparable(rows, column)).as_py()


def _comparable(rows: pa.Table, column: str) -> pa.ChunkedArray:
    values = rows.column(column)
    if values.null_count:
        raise InvalidInput(
            f"Watermark column {column!r} is missing in {values.null_count} rows, which could never be told new from old."
        )
    if is_time(values.type):
        return values.cast(instant()).cast(pa.int64())
    if is_coded(values.type):
        return values.cast(pa.string())
    if pa.types.is_integer(values.type) or pa.types.is_string(values.type):
        return values
    raise InvalidInput(
        f"Watermark column {column!r} is {type_name(values.type)}.", hint="Make it a time, a whole number or text."
    )


def _least(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)
