"""Statistics of data that comes in parts: counted part by part, merged in any order, told at the end.

The same numbers as `compute_statistics` gives for all rows at once (mean and deviation to rounding), in memory that
grows with the number of different values, not of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.arrow_types import storable
from bailiwick.data.statistics.compute import (
    NUM_BUCKETS,
    NUM_RANK_BUCKETS,
    NUM_TOP_VALUES,
    add_level,
    countable_column,
    quantile_histogram,
)
from bailiwick.data.statistics.counts import Numbers, Texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")
    protos = deferred("tensorflow_metadata.proto.v0.statistics_pb2")


@dataclass(frozen=True, slots=True)
class ColumnPart:
    """What was counted of one column: `lengths` are the numbers of values of present rows; of `numbers`, `texts` and
    `sizes` (of bytes, with the digest-free count of different ones) the one of its kind is filled.
    """

    kind: int
    present: int
    missing: int
    lengths: Numbers
    numbers: Numbers = field(default_factory=Numbers)
    texts: Texts = field(default_factory=Texts)
    blobs: frozenset[bytes] = frozenset()
    sizes: Numbers = field(default_factory=Numbers)
    levels: tuple[tuple[int, Numbers], ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What was counted of some rows. `Part()` is of no rows; merging is associative and commutative."""

    rows: int = 0
    columns: dict[str, ColumnPart] = field(default_factory=dict)

    def merge(self, other: Part) -> Part:
        """What was counted of both. A column that one of them lacks is missing in each of its rows.

        Raises InvalidInput where a column is text here and numbers there.
        """
        names = dict.fromkeys((*self.columns, *other.columns))
        columns = {name: _merge_columns(name, _column_of(self, name), _column_of(other, name)) for name in names}
        return Part(self.rows + other.rows, columns)

    def finish(self, name: str = "") -> Any:
        """A `DatasetFeatureStatisticsList` with one dataset called `name`; columns in order of their name."""
        features = [_feature(column, self.columns[column]) for column in sorted(self.columns)]
        dataset = protos.DatasetFeatureStatistics(name=name, num_examples=self.rows, features=features)
        return protos.DatasetFeatureStatisticsList(datasets=[dataset])


def count_part(rows: pa.Table | pa.RecordBatch) -> Part:
    """What is to be counted of some rows."""
    table = storable(pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows)
    names = table.column_names
    return Part(table.num_rows, {name: _count(name, table.column(i)) for i, name in enumerate(names)})


def stream_statistics(parts: Iterable[pa.Table | pa.RecordBatch], name: str = "") -> Any:
    """Statistics of rows that come in parts, each read once. Merged like binary digits, so that no part is merged often."""
    pending: list[tuple[int, Part]] = []
    for rows in parts:
        level, part = 0, count_part(rows)
        while pending and pending[-1][0] == level:
            part, level = pending.pop()[1].merge(part), level + 1
        pending.append((level, part))
    total = Part()
    for _, part in pending:
        total = total.merge(part)
    return total.finish(name)


def _count(name: str, column: pa.ChunkedArray) -> ColumnPart:
    found = countable_column(name, column)
    present = found.rows - found.missing
    lengths = np.ones(present) if found.lengths is None else found.lengths.astype(np.float64)
    levels = tuple((missing, Numbers.of(lens.astype(np.float64))) for missing, lens in found.levels)
    part = ColumnPart(found.kind, present, found.missing, Numbers.of(lengths), levels=levels)
    kinds = protos.FeatureNameStatistics
    if found.kind in {kinds.INT, kinds.FLOAT}:
        return replace(part, numbers=Numbers.of(found.values.drop_null().to_numpy().astype(np.float64)))
    if found.kind == kinds.STRING:
        return replace(part, texts=Texts.of(found.values))
    if found.kind == kinds.BYTES:
        values = found.values.drop_null()
        sizes = pc.binary_length(values).to_numpy().astype(np.float64)
        return replace(part, blobs=frozenset(values.unique().to_pylist()), sizes=Numbers.of(sizes))
    return part


def _column_of(part: Part, name: str) -> ColumnPart | None:
    return part.columns.get(name) or (None if not part.rows else _absent(part.rows))


def _absent(rows: int) -> ColumnPart:
    return ColumnPart(protos.FeatureNameStatistics.STRING, 0, rows, Numbers())


def _merge_columns(name: str, one: ColumnPart | None, other: ColumnPart | None) -> ColumnPart:
    if one is None or other is None:
        found = one or other
        assert found is not None
        return found
    if one.present and other.present and len(one.levels) != len(other.levels):
        deep, shallow = (max(1, len(part.levels)) for part in (one, other))
        raise InvalidInput(f"Column {name!r} has lists {deep} deep in one part of the data and {shallow} in another.")
    return ColumnPart(
        _common_kind(name, one, other),
        one.present + other.present,
        one.missing + other.missing,
        one.lengths.merge(other.lengths),
        one.numbers.merge(other.numbers),
        one.texts.merge(other.texts),
        one.blobs | other.blobs,
        one.sizes.merge(other.sizes),
        _merge_levels(one, other),
    )


def _merge_levels(one: ColumnPart, other: ColumnPart) -> tuple[tuple[int, Numbers], ...]:
    """Levels of both; a part that lacks the column lacks its outermost lists."""
    if len(one.levels) != len(other.levels):  # one of them has no value
        one, other = (one, other) if one.present else (other, one)
        other = replace(other, levels=())
    if not one.levels or not other.levels:
        (missing, lengths), *inner = one.levels or other.levels or ((0, Numbers()),)
        lacking = other.missing if one.levels else one.missing
        return ((missing + lacking, lengths), *inner) if inner else ()
    pairs = zip(one.levels, other.levels, strict=True)
    return tuple((here + there, mine.merge(theirs)) for (here, mine), (there, theirs) in pairs)


def _common_kind(name: str, one: ColumnPart, other: ColumnPart) -> int:
    """The kind of both; a part without a value says nothing, and whole numbers are numbers too."""
    kinds = protos.FeatureNameStatistics
    if one.kind == other.kind or not other.present:
        return one.kind if one.present or one.kind == other.kind else _lower(one.kind, other.kind)
    if not one.present:
        return other.kind
    if {one.kind, other.kind} == {kinds.INT, kinds.FLOAT}:
        return int(kinds.FLOAT)
    here, there = (kinds.Type.Name(part.kind) for part in (one, other))
    raise InvalidInput(f"Column {name!r} is {here} in one part of the data and {there} in another.",
                       hint="Read all parts with one type, e.g. cast it to text.")  # fmt: skip


def _lower(one: int, other: int) -> int:
    """Of two kinds without a value the same one whichever comes first: numbers rather than text."""
    return min(one, other)


def _feature(name: str, part: ColumnPart) -> Any:
    kinds = protos.FeatureNameStatistics
    feature = kinds(type=part.kind, path={"step": [name]})
    common = _common(part)
    if part.kind in {kinds.INT, kinds.FLOAT}:
        feature.num_stats.CopyFrom(_numeric(part.numbers, common))
    elif part.kind == kinds.STRING:
        feature.string_stats.CopyFrom(_string(part.texts, common))
    elif part.kind == kinds.BYTES:
        sizes = part.sizes
        feature.bytes_stats.CopyFrom(protos.BytesStatistics(common_stats=common, unique=len(part.blobs)))
        if sizes.finite:
            feature.bytes_stats.avg_num_bytes = sizes.moments()[0]
            feature.bytes_stats.min_num_bytes, feature.bytes_stats.max_num_bytes = sizes.values[0], sizes.values[-1]
            feature.bytes_stats.max_num_bytes_int = int(sizes.values[-1])
    else:
        feature.struct_stats.common_stats.CopyFrom(common)
    return feature


def _common(part: ColumnPart) -> Any:
    common = protos.CommonStatistics(num_non_missing=part.present, num_missing=part.missing)
    lengths = part.lengths
    if part.present:
        common.min_num_values, common.max_num_values = int(lengths.values[0]), int(lengths.values[-1])
        common.tot_num_values = int(np.dot(lengths.values, lengths.counts))
        common.avg_num_values = common.tot_num_values / part.present
        ranks = np.ceil(np.linspace(0, 1, NUM_BUCKETS + 1) * part.present).clip(min=1)
        edges = lengths.values[np.searchsorted(np.cumsum(lengths.counts), ranks, side="left")]
        for missing, found in part.levels:
            total = int(np.dot(found.values, found.counts))
            ends = (int(found.values[0]), int(found.values[-1])) if found.finite else (0, 0)
            add_level(common, missing, [found.finite, *ends, total])
        common.num_values_histogram.CopyFrom(quantile_histogram([float(edge) for edge in edges], part.present, 0))
    return common


def _numeric(numbers: Numbers, common: Any) -> Any:
    numeric = protos.NumericStatistics(common_stats=common, num_zeros=numbers.zeros)
    standard = protos.Histogram(num_nan=numbers.nan, type=protos.Histogram.STANDARD)
    quantile = quantile_histogram([], 0, numbers.nan)
    if numbers.finite:
        numeric.min, numeric.max = numbers.values[0], numbers.values[-1]
        numeric.mean, numeric.std_dev = numbers.moments()
        cuts = numbers.quantiles(np.linspace(0, 1, NUM_BUCKETS + 1))
        numeric.median = cuts[NUM_BUCKETS // 2]
        standard.buckets.extend(_equal_width(numbers))
        quantile = quantile_histogram(cuts.tolist(), numbers.finite, numbers.nan)
    for infinity, count in ((-np.inf, numbers.low_infinity), (np.inf, numbers.high_infinity)):
        if count:
            bucket = protos.Histogram.Bucket(low_value=infinity, high_value=infinity, sample_count=count)
            standard.buckets.append(bucket)
            quantile.buckets.append(bucket)
    if numbers.low_infinity:
        numeric.min = -np.inf
        numeric.max = numbers.values[-1] if numbers.finite else -np.inf
    if numbers.high_infinity:
        numeric.max = np.inf
        numeric.min = numeric.min if numbers.finite or numbers.low_infinity else np.inf
    numeric.histograms.extend([standard, quantile])
    return numeric


def _equal_width(numbers: Numbers) -> list[Any]:
    low, high = float(numbers.values[0]), float(numbers.values[-1])
    if low == high:
        return [protos.Histogram.Bucket(low_value=low, high_value=high, sample_count=numbers.finite)]
    step = high / NUM_BUCKETS - low / NUM_BUCKETS  # high - low may overflow
    edges = [low, *(low + i * step for i in range(1, NUM_BUCKETS)), high]
    below = [0, *(numbers.below(edge) for edge in edges[1:-1]), numbers.finite]
    return [
        protos.Histogram.Bucket(low_value=edges[i], high_value=edges[i + 1], sample_count=below[i + 1] - below[i])
        for i in range(NUM_BUCKETS)
    ]


def _string(texts: Texts, common: Any) -> Any:
    string = protos.StringStatistics(common_stats=common, unique=len(texts.counts))
    total = sum(texts.counts.values())
    if not total:
        return string
    string.avg_length = sum(count * len(value.encode()) for value, count in texts.counts.items()) / total
    for rank, (value, count) in enumerate(texts.ranked(NUM_RANK_BUCKETS)):
        if rank < NUM_TOP_VALUES:
            string.top_values.add(value=value, frequency=count)
        string.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
    return string
