"""Counting rows as they go by: in groups of a fixed size, so that neither batches nor threads change what is told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, Self

from bailiwick.core.deferred import deferred
from bailiwick.data.plain_arrays import no_rows
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.counts import most_numbers
from bailiwick.data.statistics.merging import Part, absent, count_column, merge_columns, settled

if TYPE_CHECKING:
    import pyarrow as pa

    from bailiwick.data.sources import Source
else:
    pa = deferred("pyarrow")

GROUP_ROWS, _GROUP_CELLS, _LEAST_ROWS = 1 << 18, 1 << 24, 1 << 12
_GROUP_BYTES = 128 << 20
_MOST_PENDING, _LEAST_WEIGHT = 32, 1 << 16
_WORTH_THREADS = 1 << 16


class _Tally:
    """One column: what was counted of it, and groups that are not merged yet."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._merged: list[ColumnPart] = []
        self._pending: list[ColumnPart] = []
        self._weight = 0

    def add(self, part: ColumnPart, columns: int) -> None:
        self._pending.append(part)
        self._weight += part.weight
        if len(self._pending) >= _MOST_PENDING or self._weight > self._worth_merging(columns):
            self.total(columns)

    def _worth_merging(self, columns: int) -> int:
        """Late, while all is exact: merging costs as much as counting then, and may be done once."""
        if not self._merged or self._merged[0].exact:
            return most_numbers(columns)
        return max(self._merged[0].weight, _LEAST_WEIGHT)

    def count(self, column: pa.ChunkedArray, columns: int) -> None:
        apart = not self._merged or self._merged[0].exact
        self.add(count_column(self._name, column, apart=apart), columns)

    def total(self, columns: int) -> ColumnPart:
        if self._pending:
            self._merged = [merge_columns(self._name, [*self._merged, *self._pending], columns=columns)]
            self._pending, self._weight = [], 0
        return self._merged[0]


class Counting:
    """Rows in, statistics out. Columns are counted by as many threads as there are processors, while the next rows are read.

    Use it in a `with` block, which ends the threads.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._tallies: dict[str, _Tally] = {}
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._pool: ThreadPoolExecutor | None = None
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """The next rows. Raises InvalidInput for a column that is text here and was numbers before."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        if self._held and table.schema != self._held[0].schema:
            self._flush()
        most = group_rows(table.num_columns)
        while table.num_rows:
            piece = table.slice(0, most - self._held_rows)
            table = table.slice(piece.num_rows)
            self._held.append(piece)
            self._held_rows += piece.num_rows
            self._held_bytes += piece.nbytes
            if self._held_rows >= most or self._held_bytes >= _GROUP_BYTES:
                self._flush()
        if not self._tallies and not self._held:  # columns are known even of no rows
            self._held.append(table)

    def part(self) -> Part:
        """What was counted of all rows so far."""
        self._flush()
        self._wait()
        names = list(self._tallies)
        return Part(self._rows, {name: self._tallies[name].total(len(names)) for name in names})

    def _flush(self) -> None:
        if not self._held:
            return
        table = settled(pa.concat_tables(self._held))
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        self._wait()
        for name in table.column_names:
            if name not in self._tallies:
                self._tallies[name] = _Tally(name)
                if self._rows:
                    self._tallies[name].add(absent(self._rows), table.num_columns)
        self._rows += table.num_rows
        lacking = self._tallies.keys() - set(table.column_names)
        for name in lacking:
            self._tallies[name].add(absent(table.num_rows), len(self._tallies))
        self._count(table)

    def _count(self, table: pa.Table) -> None:
        columns = len(self._tallies)
        work = [(self._tallies[name], table.column(i)) for i, name in enumerate(table.column_names)]
        if table.num_rows * table.num_columns < _WORTH_THREADS or table.num_rows < _LEAST_ROWS:
            for tally, column in work:
                tally.count(column, columns)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        self._running = [self._pool.submit(tally.count, column, columns) for tally, column in work]

    def _wait(self) -> None:
        running, self._running = self._running, []
        for each in running:
            each.result()


def group_rows(columns: int) -> int:
    """Rows that are counted at a time: fewer where there are very many columns."""
    return min(GROUP_ROWS, max(_LEAST_ROWS, _GROUP_CELLS // max(columns, 1)))


def stream_statistics(parts: Iterable[pa.Table | pa.RecordBatch], name: str = "") -> Any:
    """Statistics of rows that come in parts, each read once, in memory that does not grow with them."""
    with Counting() as counting:
        for rows in parts:
            counting.add(rows)
        part = counting.part()
    return part.finish(name)


def source_statistics(source: Source, name: str = "", *, distinct: bool = False) -> Any:
    """Statistics of a source in one pass, whatever its size; columns in its order. Raises what reading it raises."""
    return count_source(source).finish(name or source.name, order=source.schema.names, distinct=distinct)


class Rows(Protocol):
    """Rows that can be read again and again: a source, a table, a snapshot."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    def coded(self) -> Iterator[pa.RecordBatch]:
        """All rows from the first, text plain or dictionary-coded."""


class TableRows:
    """A table in memory."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema: pa.Schema = table.schema

    def coded(self) -> Iterator[pa.RecordBatch]:
        """Chunk by chunk."""
        yield from self._table.to_batches()


def grouped(rows: Rows, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Rows in tables of such a size that what costs per table costs little."""
    chosen = rows.schema.names if columns is None else list(columns)
    held: list[pa.Table] = []
    count, most = 0, group_rows(len(chosen))
    for batch in rows.coded():
        table = pa.Table.from_batches([batch]).select(chosen)
        if held and table.schema != held[0].schema:  # one file has dictionaries and another has none
            yield pa.concat_tables(held)
            held, count = [], 0
        held.append(table)
        count += batch.num_rows
        if count >= most:
            yield pa.concat_tables(held)
            held, count = [], 0
    if held:
        yield pa.concat_tables(held)


def count_source(source: Source, columns: Sequence[str] | None = None) -> Part:
    """What is to be counted of a source, of all columns or of those."""
    chosen = source.schema.names if columns is None else list(columns)
    with Counting() as counting:
        counting.add(no_rows(source.schema).select(chosen))
        for batch in source.coded():
            counting.add(batch.select(chosen))
        return counting.part()
