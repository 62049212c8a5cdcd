"""A uniform sample of rows that go by in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

SAMPLE_CELLS = 8_000_000
"""Up to so many values (rows × columns) all rows are kept; beyond it, about so many."""

SAMPLE_BYTES = 256 << 20
"""The most that a sample holds, however long its texts are; then it is of fewer rows."""

_LEAST_ROWS = 1_000


class Sample:
    """A uniform sample of rows in their order, of all of them while they are few; the same for the same rows and batches."""

    def __init__(self, schema: pa.Schema, *, cells: int = SAMPLE_CELLS) -> None:
        self._limit = max(cells // len(schema), _LEAST_ROWS)
        self._schema = schema
        self._random = np.random.Generator(np.random.Philox(0))
        self._kept: list[pa.Table] = []
        self._keys: list[Any] = []
        self._rows = 0
        self._bytes = 0
        self._threshold = 1.0

    def add(self, rows: pa.Table) -> None:
        """The next rows."""
        keys = self._random.random(rows.num_rows)
        if self._threshold < 1.0:
            chosen = np.flatnonzero(keys < self._threshold)
            rows, keys = rows.take(chosen), keys[chosen]
        self._kept.append(rows)
        self._keys.append(keys)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if self._bytes > SAMPLE_BYTES and self._rows > _LEAST_ROWS:
            self._limit = max(_LEAST_ROWS, min(self._limit, self._rows * (SAMPLE_BYTES // 2) // self._bytes))
            self._thin()
        elif self._rows > 2 * self._limit:
            self._thin()

    def table(self) -> pa.Table:
        """The sample."""
        if self._rows > self._limit and self._threshold < 1.0:
            self._thin()
        return pa.concat_tables([self._schema.empty_table(), *self._kept])

    def _thin(self) -> None:
        keys = np.concatenate(self._keys)
        self._threshold = float(np.partition(keys, self._limit)[self._limit])
        chosen = np.flatnonzero(keys < self._threshold)
        self._kept = [pa.concat_tables(self._kept).take(chosen)]
        self._keys = [keys[chosen]]
        self._rows = len(chosen)
        self._bytes = self._kept[0].nbytes
