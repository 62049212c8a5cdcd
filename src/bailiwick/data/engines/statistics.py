"""Statistics in TFDV's format of what an engine holds: the numbers that `compute_statistics` tells of the same rows.

Counts, ends, quantiles, rankings and histograms are exact; mean and deviation are the engine's sums, to rounding. Only
aggregates leave the engine, in about five statements per 32 columns.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import ask, in_parts
from bailiwick.data.engines.engine import Engine, Row
from bailiwick.data.engines.ladder import Wanted, climb
from bailiwick.data.engines.model import Column, Kind
from bailiwick.data.statistics.compute import (
    NUM_BUCKETS,
    NUM_RANK_BUCKETS,
    NUM_TOP_VALUES,
    add_level,
    quantile_histogram,
)
from bailiwick.data.statistics.counts import Numbers, equal_edges
from bailiwick.data.statistics.texts import LONG_TEXTS, LONGEST_RANKED

if TYPE_CHECKING:
    import numpy as np
    from tensorflow_metadata.proto.v0 import statistics_pb2 as protos
else:
    np, protos = deferred("numpy"), deferred("tensorflow_metadata.proto.v0.statistics_pb2")


_WIDEST = 1e307
"""Half of a range from which on a number's distance to the mean may be more than a double holds."""


@dataclass(slots=True)
class Told:
    """What an engine told of one column."""

    column: Column
    rows: int
    present: int
    lengths: dict[int, int] = field(default_factory=dict)
    levels: list[tuple[int, dict[int, int]]] = field(default_factory=list)
    totals: Mapping[str, float] = field(default_factory=dict)
    mean: float = 0.0
    deviation: float = 0.0
    numbers: Numbers | None = None
    groups: Sequence[int] = (0, 0, 0, 0, 0)
    ranked: list[tuple[str, int]] = field(default_factory=list)


def engine_statistics(engine: Engine, name: str = "") -> Any:
    """A `DatasetFeatureStatisticsList` with one dataset, its features in the order of the engine's columns.

    Raises InvalidInput for a relation without columns, Conflict for data that changes between two statements and shows it.
    """
    columns = engine.columns()
    if not columns:
        raise InvalidInput(f"{engine.name} has no columns; statistics need at least one.")
    told = _presence(engine, columns)
    rows = told[0].rows
    _shapes(engine, [one for one in told if one.column.depth and one.present])
    for one in told:
        if one.column.depth > 1 and not one.present:
            one.levels = [(rows, {}), *((0, {}) for _ in range(one.column.depth - 1))]
    _numbers(engine, [one for one in told if one.column.kind.numeric])
    _groups(engine, [one for one in told if one.column.kind in {Kind.TEXT, Kind.BINARY}])
    dataset = protos.DatasetFeatureStatistics(name=name, num_examples=rows, features=[_feature(one) for one in told])
    return protos.DatasetFeatureStatisticsList(datasets=[dataset])


def add_slices(statistics: Any, slices: Iterable[tuple[str, Engine]]) -> None:
    """Statistics of each slice, which is an engine over some of the rows, after those of all; empty slices have none."""
    for name, engine in slices:
        found = engine_statistics(engine, name).datasets[0]
        if found.num_examples:
            statistics.datasets.append(found)


def quantile_ranks(count: int) -> list[int]:
    """The ranks between which the ten deciles of so many numbers lie."""
    places = [share / NUM_BUCKETS * (count - 1) for share in range(NUM_BUCKETS + 1)]
    places += (np.linspace(0, 1, NUM_BUCKETS + 1) * (count - 1)).tolist()  # as NumPy rounds them
    return sorted({min(count - 1, rank) for place in places for rank in (math.floor(place), math.floor(place) + 1)})


def totals_of(engine: Engine, columns: Sequence[Column]) -> list[dict[str, float]]:
    """`plan.TOTALS` of each column; least and most are NaN where there is no finite number."""
    answers: dict[Column, Row] = {}
    flat = [column for column in columns if not column.depth]
    for start, rows in in_parts(engine, flat, plan.Totals):
        width = len(plan.TOTALS)
        for place in range(len(rows[0]) // width):
            answers[flat[start + place]] = rows[0][place * width : (place + 1) * width]
    for column in columns:
        if column.depth:
            answers[column] = ask(engine, plan.Totals((column,)))[0]
    return [_totals(answers[column]) for column in columns]


def _totals(row: Row) -> dict[str, float]:
    found = {name: int(value or 0) for name, value in zip(plan.TOTALS[:6], row, strict=False)}
    ends = {
        name: math.nan if value is None else float(value) for name, value in zip(plan.TOTALS[6:], row[6:], strict=True)
    }
    return {**found, **ends}


def _presence(engine: Engine, columns: Sequence[Column]) -> list[Told]:
    told = []
    for start, rows in in_parts(engine, columns, plan.Presence):
        total, *present = (int(value or 0) for value in rows[0])
        told += [Told(columns[start + place], total, count) for place, count in enumerate(present)]
    return told


def _shapes(engine: Engine, told: Sequence[Told]) -> None:
    columns = [one.column for one in told]
    for start, rows in in_parts(engine, columns, plan.Lengths):
        for place, length, count in rows:
            told[start + int(place)].lengths[int(length or 0)] = int(count)
    nested = [(one, level) for one in told if one.column.depth > 1 for level in range(one.column.depth)]
    for one, _ in nested:
        one.levels = [(0, {}) for _ in range(one.column.depth)]
    nestings = [plan.Nesting(one.column, level) for one, level in nested]
    for start, rows in in_parts(engine, nestings, plan.Levels):
        for place, length, count in rows:
            one, level = nested[start + int(place)]
            missing, lengths = one.levels[level]
            if length is None:
                one.levels[level] = (missing + int(count), lengths)
            else:
                lengths[int(length)] = int(count)


def _numbers(engine: Engine, told: Sequence[Told]) -> None:
    for one, totals in zip(told, totals_of(engine, [one.column for one in told]), strict=True):
        one.totals = totals
    some = [one for one in told if one.totals["finite"]]
    wanted = []
    for one in some:
        least, most, count = one.totals["least"], one.totals["most"], int(one.totals["finite"])
        wanted.append(Wanted(one.column, least, most, count, quantile_ranks(count), equal_width(least, most)[1:-1]))
    climb(engine, wanted)
    for one, found in zip(some, wanted, strict=True):
        values, counts = found.counted()
        one.numbers = Numbers(values=values, counts=counts)
        one.mean = one.totals["least"]
    _moments(engine, [one for one in some if one.totals["least"] != one.totals["most"]])


def _moments(engine: Engine, told: Sequence[Told]) -> None:
    """Mean about the middle of the range, then deviation about the mean: nothing cancels and nothing overflows."""
    widths = [one.totals["most"] / 2 - one.totals["least"] / 2 for one in told]
    middles = [one.totals["least"] / 2 + one.totals["most"] / 2 for one in told]
    terms = [
        plan.Centred(one.column, middle, width, 1) for one, middle, width in zip(told, middles, widths, strict=True)
    ]
    for one, term, total in zip(told, terms, _sums(engine, terms), strict=True):
        one.mean = term.centre + total / one.totals["finite"] * term.width
    centres = [
        one.mean if width < _WIDEST else middle for one, middle, width in zip(told, middles, widths, strict=True)
    ]
    terms = [
        plan.Centred(one.column, centre, width, 2) for one, centre, width in zip(told, centres, widths, strict=True)
    ]
    for one, term, total in zip(told, terms, _sums(engine, terms), strict=True):
        away = (one.mean - term.centre) / (term.width or 1)
        one.deviation = math.sqrt(max(total / one.totals["finite"] - away * away, 0.0)) * term.width


def _sums(engine: Engine, terms: Sequence[plan.Centred]) -> list[float]:
    found: dict[plan.Centred, float] = {}
    flat = [term for term in terms if not term.column.depth]
    for start, rows in in_parts(engine, flat, plan.Sums):
        for place, value in enumerate(rows[0]):
            found[flat[start + place]] = float(value or 0)
    for term in terms:
        if term.column.depth:
            found[term] = float(ask(engine, plan.Sums((term,)))[0][0] or 0)
    return [found[term] for term in terms]


def _groups(engine: Engine, told: Sequence[Told]) -> None:
    for start, rows in in_parts(engine, [one.column for one in told], plan.Groups):
        for place, *counted in rows:
            told[start + int(place)].groups = [int(value or 0) for value in counted]
    texts = [one for one in told if one.column.kind is Kind.TEXT and one.groups[0]]
    rankings = [plan.Ranking(one.column, NUM_RANK_BUCKETS) for one in texts]
    for start, rows in in_parts(engine, rankings, plan.Top):
        for place, text, count in rows:
            texts[start + int(place)].ranked.append((str(text), int(count)))
    for one in texts:
        one.ranked = _ranked(one.ranked)


def _ranked(found: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """All long texts as one, `__LARGE_BYTES__`."""
    counts: Counter[str] = Counter()
    for text, count in found:
        counts[LONG_TEXTS if len(text.encode()) > LONGEST_RANKED else text] += count
    return sorted(counts.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)


def equal_width(low: float, high: float) -> list[float]:
    """The eleven edges of ten equal buckets, as `compute_statistics` rounds them."""
    return equal_edges(low, high, NUM_BUCKETS)


# --- protos ----------------------------------------------------------------------------------------------------------


def _feature(told: Told) -> Any:
    kinds = protos.FeatureNameStatistics
    feature = kinds(path={"step": [told.column.name]})
    common = _common(told)
    kind = told.column.kind
    if kind.numeric:
        feature.type = kinds.FLOAT if kind is Kind.NUMBER else kinds.INT
        feature.num_stats.CopyFrom(_numeric(told, common))
    elif kind is Kind.TEXT:
        feature.type = kinds.STRING
        feature.string_stats.CopyFrom(_string(told, common))
    elif kind is Kind.BINARY:
        feature.type = kinds.BYTES
        feature.bytes_stats.CopyFrom(_bytes(told, common))
    else:
        feature.type = kinds.STRUCT
        feature.struct_stats.common_stats.CopyFrom(common)
    return feature


def _common(told: Told) -> Any:
    common = protos.CommonStatistics(num_non_missing=told.present, num_missing=told.rows - told.present)
    for missing, found in told.levels:
        ends = (min(found), max(found)) if found else (0, 0)
        total = sum(length * count for length, count in found.items())
        add_level(common, missing, [sum(found.values()), *ends, total])
    if not told.present:
        return common
    lengths = told.lengths or {1: told.present}
    ordered = np.array(sorted(lengths), dtype=np.int64)
    counts = np.array([lengths[length] for length in ordered.tolist()], dtype=np.int64)
    common.min_num_values, common.max_num_values = int(ordered[0]), int(ordered[-1])
    common.tot_num_values = int(np.dot(ordered, counts))
    common.avg_num_values = common.tot_num_values / told.present
    ranks = np.ceil(np.linspace(0, 1, NUM_BUCKETS + 1) * told.present).clip(min=1)
    edges = ordered[np.searchsorted(np.cumsum(counts), ranks, side="left")]
    common.num_values_histogram.CopyFrom(quantile_histogram([float(edge) for edge in edges], told.present, 0))
    return common


def _numeric(told: Told, common: Any) -> Any:
    totals = told.totals
    nan = int(totals["nan"])
    numeric = protos.NumericStatistics(common_stats=common, num_zeros=int(totals["zeros"]))
    standard, quantile = protos.Histogram(num_nan=nan, type=protos.Histogram.STANDARD), quantile_histogram([], 0, nan)
    infinities = {-math.inf: int(totals["low_infinity"]), math.inf: int(totals["high_infinity"])}
    ends = [infinity for infinity, count in infinities.items() if count]
    if told.numbers is not None:
        ends += [float(told.numbers.values[0]), float(told.numbers.values[-1])]
        numeric.mean, numeric.std_dev = told.mean, told.deviation
        cuts = told.numbers.quantiles(np.linspace(0, 1, NUM_BUCKETS + 1))
        numeric.median = cuts[NUM_BUCKETS // 2]
        standard.buckets.extend(_standard(told.numbers))
        quantile = quantile_histogram(cuts.tolist(), told.numbers.finite, nan)
    if ends:
        numeric.min, numeric.max = min(ends), max(ends)
    for infinity, count in infinities.items():
        if count:
            bucket = protos.Histogram.Bucket(low_value=infinity, high_value=infinity, sample_count=count)
            standard.buckets.append(bucket)
            quantile.buckets.append(bucket)
    if any(int(totals[name]) for name in plan.TOTALS[:6]):
        numeric.histograms.extend([standard, quantile])
    return numeric


def _standard(numbers: Numbers) -> list[Any]:
    low, high = float(numbers.values[0]), float(numbers.values[-1])
    if low == high:
        return [protos.Histogram.Bucket(low_value=low, high_value=high, sample_count=numbers.finite)]
    edges = equal_width(low, high)
    below = [0, *(numbers.below(edge) for edge in edges[1:-1]), numbers.finite]
    return [
        protos.Histogram.Bucket(low_value=edges[i], high_value=edges[i + 1], sample_count=below[i + 1] - below[i])
        for i in range(NUM_BUCKETS)
    ]


def _string(told: Told, common: Any) -> Any:
    unique, values, size, *_ = told.groups
    string = protos.StringStatistics(common_stats=common, unique=unique)
    if not unique:
        return string
    string.avg_length = size / values
    for rank, (value, count) in enumerate(told.ranked):
        if rank < NUM_TOP_VALUES:
            string.top_values.add(value=value, frequency=count)
        string.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
    return string


def _bytes(told: Told, common: Any) -> Any:
    unique, values, size, fewest, most = told.groups
    found = protos.BytesStatistics(common_stats=common, unique=unique)
    if values:
        found.avg_num_bytes, found.min_num_bytes, found.max_num_bytes = size / values, fewest, most
        found.max_num_bytes_int = most
    return found
