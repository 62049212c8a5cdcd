"""Statistics of a table in TFDV's format (`tensorflow_metadata` protos): text counted by DuckDB, numbers by NumPy, exactly.

Every number is exact (no sketches, no sampling) and the same on every run; one sort serves all order statistics of a
column. Conventions follow TFDV 1.21: null is missing, NaN is a value that only `num_nan` counts, standard deviation is
that of the population, string lengths are UTF-8 bytes, ties in a ranking put the later value first.
Ours: mean, deviation, median and histograms are over finite values, so that one infinity does not blank them;
dates and timestamps are INT features in UTC milliseconds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import instant, is_list, is_time, storable

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np = deferred("numpy")
    duckdb, pa, pc = deferred("duckdb"), deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")

NUM_TOP_VALUES = 20
NUM_RANK_BUCKETS = 1000
NUM_BUCKETS = 10

Lengths: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Connect: TypeAlias = "Callable[[], duckdb.DuckDBPyConnection]"


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


def compute_statistics(table: pa.Table, name: str = "") -> Any:
    """A `DatasetFeatureStatisticsList` with one dataset called `name`: what `infer_schema` and `validate` read."""
    rows = storable(table)
    columns = [countable_column(field.name, rows.column(i)) for i, field in enumerate(rows.schema)]
    workers = min(8, os.cpu_count() or 1, len(columns))
    with ThreadPoolExecutor(max_workers=workers) as pool:
        shares = list(pool.map(_features, [columns[start::workers] for start in range(workers)]))
    features = [shares[i % workers][i // workers] for i in range(len(columns))]
    dataset = protos.DatasetFeatureStatistics(name=name, num_examples=rows.num_rows, features=features)
    return protos.DatasetFeatureStatisticsList(datasets=[dataset])


def countable_column(name: str, column: pa.ChunkedArray) -> Column:
    """A column of a storable table, its lists unpacked and its values of a kind that is counted."""
    values, levels = column, []
    nested = is_list(column.type) and is_list(column.type.value_type)
    row_of = np.arange(len(column)) if nested else None  # of each value, the row that it is in
    while is_list(values.type):
        lengths = pc.list_value_length(values)
        levels.append((values.null_count, lengths.drop_null().to_numpy().astype(np.int64)))
        if row_of is not None:
            row_of = np.repeat(row_of, lengths.fill_null(0).to_numpy())
        values = pc.list_flatten(values)
    kind, countable = _countable(values)
    in_rows = levels[0][1] if levels else None
    if row_of is not None:
        in_rows = np.bincount(row_of, minlength=len(column))[column.is_valid().to_numpy()]
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
        return protos.FeatureNameStatistics.FLOAT, values.cast(pa.float64())
    if pa.types.is_string(kind):
        return protos.FeatureNameStatistics.STRING, values
    return (
        protos.FeatureNameStatistics.STRUCT if pa.types.is_struct(kind) else protos.FeatureNameStatistics.BYTES
    ), values


def _features(columns: list[Column]) -> list[Any]:
    """Features in turn, on one connection, which is opened at the first column of text."""
    with ExitStack() as stack:
        connect = cache(lambda: stack.enter_context(duckdb.connect(config={"threads": 1})))
        return [_feature(column, connect) for column in columns]


def _feature(column: Column, connect: Connect) -> Any:
    feature = protos.FeatureNameStatistics(type=column.kind, path={"step": [column.name]})
    common = _common(column)
    if column.kind in {protos.FeatureNameStatistics.INT, protos.FeatureNameStatistics.FLOAT}:
        feature.num_stats.CopyFrom(_numeric(column, common))
    elif column.kind == protos.FeatureNameStatistics.STRING:
        feature.string_stats.CopyFrom(_string(column, common, connect))
    elif column.kind == protos.FeatureNameStatistics.BYTES:
        feature.bytes_stats.CopyFrom(_bytes(column, common, connect))
    else:
        feature.struct_stats.common_stats.CopyFrom(common)
    return feature


def _common(column: Column) -> Any:
    present = column.rows - column.missing
    lengths = np.ones(present, dtype=np.int64) if column.lengths is None else column.lengths
    common = protos.CommonStatistics(num_non_missing=present, num_missing=column.missing)
    if present:
        common.min_num_values, common.max_num_values = int(lengths.min()), int(lengths.max())
        common.tot_num_values = int(lengths.sum())
        common.avg_num_values = common.tot_num_values / present
        edges = np.quantile(lengths, np.linspace(0, 1, NUM_BUCKETS + 1), method="inverted_cdf")
        for gone, found in column.levels:
            add_level(common, gone, [int(f(found)) if len(found) else 0 for f in (len, np.min, np.max, np.sum)])
        common.num_values_histogram.CopyFrom(quantile_histogram([float(edge) for edge in edges], present, 0))
    return common


def add_level(common: Any, missing: int, told: list[int]) -> None:
    """Presence and valency of one level of nested lists: `told` are how many lists, least, most and all values."""
    present, least, most, total = told
    level = common.presence_and_valency_stats.add(num_missing=missing, num_non_missing=present)
    if present:
        level.min_num_values, level.max_num_values, level.tot_num_values = least, most, total


def _query(column: Column, connect: Connect, sql: str) -> Any:
    """The one row of a query over the column, which is `v` of table `t`."""
    connection = connect()
    connection.register("t", pa.table({"v": column.values}))
    return connection.execute(sql).fetchall()[0]  # reading to the end frees the connection


def _numeric(column: Column, common: Any) -> Any:
    values = column.values.drop_null().to_numpy().astype(np.float64)
    ordered = np.sort(values[~np.isnan(values)])
    ordered += 0.0  # no -0.0, whose place among zeros a sort does not fix
    nan = len(values) - len(ordered)
    numeric = protos.NumericStatistics(common_stats=common, num_zeros=int(np.count_nonzero(ordered == 0)))
    if len(ordered):
        numeric.min, numeric.max = ordered[0], ordered[-1]
    inner = ordered[np.isfinite(ordered)]
    standard, quantile = protos.Histogram(num_nan=nan, type=protos.Histogram.STANDARD), quantile_histogram([], 0, nan)
    if len(inner):
        with np.errstate(over="ignore", invalid="ignore"):  # past 1e308 the answer is an infinity
            cuts = np.quantile(inner, np.linspace(0, 1, NUM_BUCKETS + 1))
            numeric.mean, numeric.std_dev = inner.mean(), inner.std()
        numeric.median = cuts[NUM_BUCKETS // 2]
        standard.buckets.extend(_equal_width(inner))
        quantile = quantile_histogram(cuts.tolist(), len(inner), nan)
    for infinity in (-math.inf, math.inf):
        count = int(np.count_nonzero(ordered == infinity))
        if count:
            bucket = protos.Histogram.Bucket(low_value=infinity, high_value=infinity, sample_count=count)
            standard.buckets.append(bucket)
            quantile.buckets.append(bucket)
    numeric.histograms.extend([standard, quantile])
    return numeric


def _equal_width(ordered: np.ndarray[Any, np.dtype[np.float64]]) -> list[Any]:
    """Ten buckets [a, b) over the range, the last one closed; one bucket where all values are the same."""
    low, high = float(ordered[0]), float(ordered[-1])
    if low == high:
        return [protos.Histogram.Bucket(low_value=low, high_value=high, sample_count=len(ordered))]
    step = high / NUM_BUCKETS - low / NUM_BUCKETS  # high - low may overflow
    edges = [low, *(low + i * step for i in range(1, NUM_BUCKETS)), high]
    below = [0, *np.searchsorted(ordered, edges[1:-1], side="left").tolist(), len(ordered)]
    return [
        protos.Histogram.Bucket(low_value=edges[i], high_value=edges[i + 1], sample_count=below[i + 1] - below[i])
        for i in range(NUM_BUCKETS)
    ]


def quantile_histogram(edges: list[float], count: int, nan: int) -> Any:
    """A QUANTILES histogram whose buckets between the edges hold equal shares of the count."""
    histogram = protos.Histogram(num_nan=nan, type=protos.Histogram.QUANTILES)
    for low, high in pairwise(edges):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count / (len(edges) - 1))
    return histogram


def _string(column: Column, common: Any, connect: Connect) -> Any:
    string = protos.StringStatistics(common_stats=common)
    unique, total_bytes, values, counts = _query(
        column,
        connect,
        f"""WITH g AS MATERIALIZED (SELECT v, count(*) AS n FROM t WHERE v IS NOT NULL GROUP BY v),
        ranked AS (SELECT v, n FROM g ORDER BY n DESC, v DESC LIMIT {NUM_RANK_BUCKETS})
        SELECT (SELECT count(*) FROM g), (SELECT sum(n * strlen(v)) FROM g),
        (SELECT list(v ORDER BY n DESC, v DESC) FROM ranked), (SELECT list(n ORDER BY n DESC, v DESC) FROM ranked)""",
    )
    string.unique = unique
    if not unique:
        return string
    string.avg_length = int(total_bytes) / (len(column.values) - column.values.null_count)
    for rank, (value, count) in enumerate(zip(values, counts, strict=True)):
        if rank < NUM_TOP_VALUES:
            string.top_values.add(value=value, frequency=count)
        string.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
    return string


def _bytes(column: Column, common: Any, connect: Connect) -> Any:
    unique, average, low, high = _query(
        column,
        connect,
        "SELECT count(DISTINCT v), avg(octet_length(v)), min(octet_length(v)), max(octet_length(v)) FROM t",
    )
    return protos.BytesStatistics(
        common_stats=common,
        unique=unique,
        avg_num_bytes=average,
        min_num_bytes=low,
        max_num_bytes=high,
        max_num_bytes_int=high,
    )
