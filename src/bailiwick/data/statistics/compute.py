"""Statistics of a table in memory, in TFDV's format (`tensorflow_metadata` protos).

Every number is exact (no sketches, no sampling) and the same on every run: mean and deviation are taken of the counts of
different values in order, so that neither the order of rows nor threads change them. Dates and timestamps are INT features in
UTC milliseconds. For rows that do not fit in memory see `streaming`; for what the words mean, `telling`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.statistics.columns import Column, countable_column
from bailiwick.data.statistics.merging import Part, count_column, settled
from bailiwick.data.statistics.telling import (
    NUM_BUCKETS,
    NUM_RANK_BUCKETS,
    NUM_TOP_VALUES,
    add_level,
    quantile_histogram,
)

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")

__all__ = [
    "NUM_BUCKETS",
    "NUM_RANK_BUCKETS",
    "NUM_TOP_VALUES",
    "Column",
    "add_level",
    "compute_statistics",
    "countable_column",
    "quantile_histogram",
]

_WORTH_THREADS = 1 << 12


def compute_statistics(table: pa.Table, name: str = "") -> Any:
    """A `DatasetFeatureStatisticsList` with one dataset called `name`: what `infer_schema` and `validate` read."""
    rows = settled(table)
    names = rows.column_names
    if (
        rows.num_rows < _WORTH_THREADS
    ):  # the interpreter's part of it is larger, and threads only get in each other's way
        counted = [count_column(each, rows.column(i)) for i, each in enumerate(names)]
    else:
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            counted = list(pool.map(count_column, names, rows.columns))
    return Part(rows.num_rows, dict(zip(names, counted, strict=True))).finish(name, order=names)
