"""What was counted of a column, told in TFDV's words (`tensorflow_metadata` protos).

Conventions follow TFDV 1.21: null is missing, NaN is a value that only `num_nan` counts, standard deviation is that of
the population, string lengths are UTF-8 bytes, ties in a ranking put the later value first. Ours: mean, deviation, median
and histograms are over finite values, so that one infinity does not blank them; and where a limit was passed, custom
statistics `rank_error`, `count_error` and `unique_error` say by how much, each as a share, figures may be off.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.statistics.columns import ColumnPart
from bailiwick.data.statistics.counts import Numbers, equal_edges
from bailiwick.data.statistics.texts import Texts

if TYPE_CHECKING:
    import numpy as np
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np = deferred("numpy")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")

NUM_TOP_VALUES = 20
NUM_RANK_BUCKETS = 1000
NUM_BUCKETS = 10
DISTINCT = "distinct"
"""The custom statistic of how many numbers are different, which TFDV has no field for."""


def feature_of(name: str, part: ColumnPart, *, distinct: bool = False) -> Any:
    """The `FeatureNameStatistics` of a column; with `distinct`, of numbers too how many are different, where that is known."""
    kinds = protos.FeatureNameStatistics
    feature = kinds(type=part.kind, path={"step": [name]})
    if part.kind in {kinds.INT, kinds.FLOAT}:
        _common(feature.num_stats.common_stats, part)
        _numeric(feature.num_stats, part.numbers)
        if distinct and (different := part.numbers.different) is not None:
            feature.custom_stats.add(name=DISTINCT, num=different)
        if part.numbers.error:
            feature.custom_stats.add(name="rank_error", num=part.numbers.error / part.numbers.finite)
    elif part.kind == kinds.STRING:
        _common(feature.string_stats.common_stats, part)
        _string(feature.string_stats, part.texts)
        _errors(feature, part.texts)
    elif part.kind == kinds.BYTES:
        _common(feature.bytes_stats.common_stats, part)
        _bytes(feature.bytes_stats, part)
        _errors(feature, part.texts)
    else:
        _common(feature.struct_stats.common_stats, part)
    return feature


def add_level(common: Any, missing: int, told: list[int]) -> None:
    """Presence and valency of one level of nested lists: `told` are how many lists, least, most and all values."""
    present, least, most, total = told
    level = common.presence_and_valency_stats.add(num_missing=missing, num_non_missing=present)
    if present:
        level.min_num_values, level.max_num_values, level.tot_num_values = least, most, total


def quantile_histogram(edges: list[float], count: int, nan: int) -> Any:
    """A QUANTILES histogram whose buckets between the edges hold equal shares of the count."""
    histogram = protos.Histogram(num_nan=nan, type=protos.Histogram.QUANTILES)
    _add_quantiles(histogram, edges, count)
    return histogram


def _add_quantiles(histogram: Any, edges: list[float], count: int) -> None:
    share = count / (len(edges) - 1)
    for low, high in pairwise(edges):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=share)


def _errors(feature: Any, texts: Texts) -> None:
    if texts.error:
        feature.custom_stats.add(name="count_error", num=texts.error / texts.total)
    if texts.unique_error:
        feature.custom_stats.add(name="unique_error", num=texts.unique_error)


def _common(common: Any, part: ColumnPart) -> None:
    common.num_non_missing, common.num_missing = part.present, part.missing
    lengths = part.lengths
    for missing, found in part.levels:
        total = int((found.values * found.counts).sum())
        ends = (int(found.values[0]), int(found.values[-1])) if found.finite else (0, 0)
        add_level(common, missing, [found.finite, *ends, total])
    if not part.present:
        return
    told = lengths.told()
    low, high = int(told.low), int(told.high)
    common.min_num_values, common.max_num_values = low, high
    common.tot_num_values = (
        int((lengths.values * lengths.counts).sum()) if lengths.exact else round(told.mean * told.count)
    )
    common.avg_num_values = common.tot_num_values / part.present
    edges = [float(low)] * (NUM_BUCKETS + 1)
    if low < high:
        ranks = np.ceil(np.linspace(0, 1, NUM_BUCKETS + 1) * part.present).clip(min=1)
        edges = lengths.values[np.searchsorted(np.cumsum(lengths.counts), ranks, side="left")].tolist()
    common.num_values_histogram.type = protos.Histogram.QUANTILES
    _add_quantiles(common.num_values_histogram, edges, part.present)


def _numeric(numeric: Any, numbers: Numbers) -> None:
    numeric.num_zeros = numbers.zeros
    finite = numbers.finite
    if not (finite or numbers.nan or numbers.low_infinity or numbers.high_infinity):
        return
    standard = numeric.histograms.add(num_nan=numbers.nan, type=protos.Histogram.STANDARD)
    quantile = numeric.histograms.add(num_nan=numbers.nan, type=protos.Histogram.QUANTILES)
    if finite:
        told = numbers.told()
        numeric.min, numeric.max = told.low, told.high
        numeric.mean, numeric.std_dev = numbers.moments()
        cuts = numbers.quantiles(np.linspace(0, 1, NUM_BUCKETS + 1)).tolist()
        numeric.median = cuts[NUM_BUCKETS // 2]
        _add_equal_width(standard, numbers, told.low, told.high)
        _add_quantiles(quantile, cuts, finite)
    for infinity, count in ((-np.inf, numbers.low_infinity), (np.inf, numbers.high_infinity)):
        if count:
            standard.buckets.add(low_value=infinity, high_value=infinity, sample_count=count)
            quantile.buckets.add(low_value=infinity, high_value=infinity, sample_count=count)
    if numbers.low_infinity:
        numeric.min = -np.inf
        numeric.max = numeric.max if finite else -np.inf
    if numbers.high_infinity:
        numeric.max = np.inf
        numeric.min = numeric.min if finite or numbers.low_infinity else np.inf


def _add_equal_width(histogram: Any, numbers: Numbers, low: float, high: float) -> None:
    """Ten buckets [a, b) over the range, the last one closed; one bucket where all values are the same."""
    finite = numbers.finite
    if low == high:
        histogram.buckets.add(low_value=low, high_value=high, sample_count=finite)
        return
    edges = equal_edges(low, high, NUM_BUCKETS)
    ends = np.concatenate([[0], np.cumsum(numbers.counts)])
    below = [0, *ends[np.searchsorted(numbers.values, edges[1:-1], side="left")].tolist(), finite]
    for i in range(NUM_BUCKETS):
        histogram.buckets.add(low_value=edges[i], high_value=edges[i + 1], sample_count=below[i + 1] - below[i])


def _string(string: Any, texts: Texts) -> None:
    string.unique = texts.unique
    if not texts.total:
        return
    string.avg_length = texts.size / texts.total
    for rank, (value, count) in enumerate(texts.shortened().ranked(NUM_RANK_BUCKETS)):
        if rank < NUM_TOP_VALUES:
            string.top_values.add(value=value, frequency=count)
        string.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)


def _bytes(told: Any, part: ColumnPart) -> None:
    told.unique = part.texts.unique
    if part.sizes.finite:
        told.avg_num_bytes = part.sizes.told().mean
        told.min_num_bytes, told.max_num_bytes = part.sizes.told().low, part.sizes.told().high
        told.max_num_bytes_int = int(part.sizes.told().high)
