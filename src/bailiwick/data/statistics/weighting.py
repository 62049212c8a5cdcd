"""Statistics in which a row counts by its weight: TFDV's `weighted_*` fields, beside the plain ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.compute import NUM_BUCKETS, NUM_RANK_BUCKETS, NUM_TOP_VALUES, Column, countable_column

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa = deferred("numpy"), deferred("pyarrow")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


def add_weights(dataset: Any, table: pa.Table, weight: str) -> None:
    """Weigh each row by a column, in the statistics of a table that `compute_statistics` gave.

    Raises InvalidInput for a column that is not there, or has a weight that is missing, negative or not a number.
    """
    rows = storable(table)
    if weight not in rows.column_names:
        raise InvalidInput.choice("Weight column", weight, rows.column_names)
    column = rows.column(weight)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InvalidInput(f"Weight column {weight!r} is {column.type}, not numbers.")
    weights = column.cast(pa.float64()).to_numpy()
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise InvalidInput(f"Weight column {weight!r}, row {wrong[0] + 1}: {column[int(wrong[0])]} is no weight.",
                           hint="Weights are numbers from 0.")  # fmt: skip
    dataset.weighted_num_examples = float(weights.sum())
    for feature in dataset.features:
        name = feature.path.step[0]
        _weigh(feature, countable_column(name, rows.column(name)), rows.column(name).is_valid().to_numpy(), weights)


def _weigh(feature: Any, column: Column, there: Any, weights: Any) -> None:
    stats = getattr(feature, feature.WhichOneof("stats"))
    present = weights[there]
    lengths = np.ones(len(present), dtype=np.int64) if column.lengths is None else column.lengths
    common = stats.common_stats.weighted_common_stats
    common.num_non_missing, common.num_missing = float(present.sum()), float(weights[~there].sum())
    common.tot_num_values = float(np.dot(present, lengths))
    common.avg_num_values = common.tot_num_values / common.num_non_missing if common.num_non_missing else 0.0
    kind = feature.WhichOneof("stats")
    by_value = weights if column.lengths is None else np.repeat(present, lengths)
    if kind not in {"num_stats", "string_stats"} or len(column.values) != len(by_value):
        return  # lists in lists: which row an inner value belongs to is not kept
    of_values = by_value[column.values.is_valid().to_numpy()]
    if kind == "num_stats":
        values = column.values.drop_null().to_numpy().astype(np.float64)
        _weigh_numbers(stats.weighted_numeric_stats, values, of_values)
    else:
        _weigh_texts(stats.weighted_string_stats, column.values.drop_null(), of_values)


def _weigh_numbers(stats: Any, values: Any, weights: Any) -> None:
    finite = np.isfinite(values) & (weights > 0)
    order = np.argsort(values[finite], kind="stable")
    ordered, mass = values[finite][order], weights[finite][order]
    nan = round(float(weights[np.isnan(values)].sum()))  # TFDV has a whole number here
    standard = stats.histograms.add(type=protos.Histogram.STANDARD, num_nan=nan)
    quantile = stats.histograms.add(type=protos.Histogram.QUANTILES, num_nan=nan)
    total = float(mass.sum())
    if total:
        stats.mean = float(np.dot(ordered, mass) / total)
        stats.std_dev = float(np.sqrt(np.dot((ordered - stats.mean) ** 2, mass) / total))
        ends = np.cumsum(mass)
        places = np.searchsorted(ends, np.linspace(0, 1, NUM_BUCKETS + 1) * ends[-1], side="left")
        cuts = ordered[np.minimum(places, len(ordered) - 1)]
        stats.median = float(cuts[NUM_BUCKETS // 2])
        for i in range(NUM_BUCKETS):
            quantile.buckets.add(low_value=cuts[i], high_value=cuts[i + 1], sample_count=total / NUM_BUCKETS)
        edges = np.unique(np.linspace(ordered[0], ordered[-1], NUM_BUCKETS + 1))
        if len(edges) == 1:
            standard.buckets.add(low_value=edges[0], high_value=edges[0], sample_count=total)
        else:
            masses, _ = np.histogram(ordered, bins=edges, weights=mass)
            for i, count in enumerate(masses):
                standard.buckets.add(low_value=edges[i], high_value=edges[i + 1], sample_count=count)
    for infinity in (-np.inf, np.inf):
        count = float(weights[values == infinity].sum())
        if count:
            standard.buckets.add(low_value=infinity, high_value=infinity, sample_count=count)
            quantile.buckets.add(low_value=infinity, high_value=infinity, sample_count=count)


def _weigh_texts(stats: Any, values: pa.ChunkedArray, weights: Any) -> None:
    sums = pa.table({"v": values, "w": weights}).group_by("v").aggregate([("w", "sum")])
    pairs = zip(sums.column("v").to_pylist(), sums.column("w_sum").to_pylist(), strict=True)
    ranked = sorted(pairs, key=lambda pair: (pair[1], pair[0]), reverse=True)
    for rank, (value, mass) in enumerate(ranked[:NUM_RANK_BUCKETS]):
        if rank < NUM_TOP_VALUES:
            stats.top_values.add(value=value, frequency=mass)
        stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=mass)
