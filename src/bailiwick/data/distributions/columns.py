"""Columns out of what is kept of data: TFDV's statistics, and profiles where the rows were counted into frozen bins."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.data.comparison import FeatureDrift
from bailiwick.data.distributions.cumulative import all_whole, of_profile, of_statistics
from bailiwick.data.distributions.model import Column, NumberFacts, Side
from bailiwick.data.distributions.shapes import bars_of
from bailiwick.data.profile import CategoricalProfile, FeatureProfile, NumericProfile, Profile
from bailiwick.data.statistics.telling import DISTINCT
from bailiwick.data.statistics.view import DatasetView, FeatureView
from bailiwick.data.validation.anomalies import Anomaly

_KINDS = {
    statistics_pb2.FeatureNameStatistics.INT: "integer",
    statistics_pb2.FeatureNameStatistics.FLOAT: "number",
    statistics_pb2.FeatureNameStatistics.STRING: "text",
    statistics_pb2.FeatureNameStatistics.BYTES: "bytes",
    statistics_pb2.FeatureNameStatistics.STRUCT: "struct",
}
_QUANTILES, _STANDARD = statistics_pb2.Histogram.QUANTILES, statistics_pb2.Histogram.STANDARD
_FINE = 60
Path = tuple[str, ...]


def columns_of(
    *datasets: Any,
    types: Mapping[str, str] | None = None,
    profiles: Sequence[Profile] = (),
    drifts: Iterable[FeatureDrift] = (),
    anomalies: Iterable[Anomaly] = (),
) -> list[Column]:
    """The columns of one dataset's statistics, or of two, the baseline first; in the order of the last.

    `types` are Arrow's types by column, which tell times and booleans from numbers; `profiles`, of the same datasets in
    one set of bins, make shapes exact; `drifts` and `anomalies` go to the columns they name.
    """
    views = [DatasetView(dataset) for dataset in datasets]
    bins = [{feature.name: feature for feature in profile.features} for profile in profiles]
    verdicts = {drift.feature: drift for drift in drifts}
    wrong: dict[Path, list[Anomaly]] = {}
    for anomaly in anomalies:
        wrong.setdefault(anomaly.path, []).append(anomaly)
    paths = dict.fromkeys(path for view in reversed(views) for path in view.features)
    return [
        _column(path, [view.features.get(path) for view in views], bins, types or {}, verdicts, wrong) for path in paths
    ]


def columns_of_profiles(*profiles: Profile, drifts: Iterable[FeatureDrift] = ()) -> list[Column]:
    """Columns of rows of which nothing but counts in frozen bins is known."""
    verdicts = {drift.feature: drift for drift in drifts}
    return [
        Column(
            path=(features[0].name,),
            kind="number" if isinstance(features[0], NumericProfile) else "text",
            sides=tuple(_profiled(feature) for feature in features),
            distance=verdicts[features[0].name].distance if features[0].name in verdicts else None,
            drift=verdicts.get(features[0].name),
        )
        for features in zip(*(profile.features for profile in profiles), strict=True)
    ]


def side_of(view: FeatureView, feature: FeatureProfile | None = None) -> Side:
    """What is known of a column in one dataset."""
    rows = view.present + view.missing
    common, number = view.common, view.stats.HasField("num_stats")
    nan, infinite = _not_finite(view) if number else (0.0, 0.0)
    exact = feature if isinstance(feature, NumericProfile) and len(feature.edges) > 1 else None
    shape = of_statistics(view, whole=all_whole(exact.edges[1:]) if exact else None) if number else None
    if shape is not None and exact is not None:
        shape = of_profile(exact, shape)
    values, complete = _values(view)
    lists = common.max_num_values != common.min_num_values or common.max_num_values > 1
    return Side(
        rows=rows,
        missing=view.missing / rows if rows else 0.0,
        distinct=_distinct(view),
        numbers=_numbers(view) if number else None,
        not_numbers=nan,
        infinite=infinite,
        cumulative=shape,
        values=values,
        complete=complete,
        lengths=_lengths(view),
        per_row=(common.min_num_values, common.avg_num_values, common.max_num_values) if lists and rows else None,
    )


def _column(
    path: Path,
    views: Sequence[FeatureView | None],
    bins: Sequence[Mapping[str, FeatureProfile]],
    types: Mapping[str, str],
    verdicts: Mapping[str, FeatureDrift],
    anomalies: Mapping[Path, Sequence[Anomaly]],
) -> Column:
    name = "/".join(path)
    counted = [each.get(name) for each in bins] or [None] * len(views)
    sides = tuple(side_of(view, feature) if view else None for view, feature in zip(views, counted, strict=True))
    kinds = [_kind(view, types.get(name, "")) if view else "" for view in views]
    now = next(kind for kind in reversed(kinds) if kind)
    before = kinds[0] if kinds[0] and kinds[0] != now and {kinds[0], now} != {"integer", "number"} else ""
    drift = verdicts.get(name)
    return Column(
        path=path,
        kind=now,
        sides=sides,
        retyped=before,
        distance=_distance(sides, drift, counted=bool(bins)) if len(sides) > 1 and not before else None,
        drift=drift,
        anomalies=tuple(anomalies.get(path, ())),
    )


def _kind(view: FeatureView, arrow_type: str) -> str:
    kind = _KINDS.get(view.type, "")
    if kind == "integer" and arrow_type.startswith(("timestamp", "date")):
        return "time"
    return "boolean" if kind == "integer" and arrow_type == "bool" else kind


def _numbers(view: FeatureView) -> NumberFacts | None:
    """Of finite values; None where there are none."""
    number, histogram = view.numbers, _any_histogram(view)
    buckets = [each for each in histogram.buckets if _finite(each)] if histogram is not None else []
    if not buckets:
        return None
    quantiles = (buckets[0].low_value, *(each.high_value for each in buckets)) if view.histogram(_QUANTILES) else ()
    weighted = number.weighted_numeric_stats if view.dataset.by_weight else number
    return NumberFacts(
        mean=weighted.mean,
        deviation=weighted.std_dev,
        least=buckets[0].low_value,
        median=weighted.median,
        most=buckets[-1].high_value,
        quantiles=quantiles,
        zeros=number.num_zeros / view.common.num_non_missing if view.common.num_non_missing else 0.0,
    )


def _any_histogram(view: FeatureView) -> Any | None:
    return view.histogram(_QUANTILES) or view.histogram(_STANDARD)


def _finite(bucket: Any) -> bool:
    return math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)


def _not_finite(view: FeatureView) -> tuple[float, float]:
    """The shares of values that are not numbers, and of those that are infinite."""
    histogram = _any_histogram(view)
    if histogram is None:
        return 0.0, 0.0
    infinite = sum(bucket.sample_count for bucket in histogram.buckets if not _finite(bucket))
    total = histogram.num_nan + sum(bucket.sample_count for bucket in histogram.buckets)
    return (histogram.num_nan / total, infinite / total) if total else (0.0, 0.0)


def _values(view: FeatureView) -> tuple[tuple[tuple[str, float], ...], bool]:
    """Text values by falling share, and whether those are all."""
    if not view.stats.HasField("string_stats"):
        return (), True
    counts = view.values or {each.value: each.frequency for each in view.stats.string_stats.top_values}
    total = max(view.total_values, sum(counts.values()))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    complete = len(counts) >= view.stats.string_stats.unique
    return tuple((value, count / total) for value, count in ranked) if total else (), complete


def _distinct(view: FeatureView) -> int | None:
    if view.stats.HasField("bytes_stats"):
        return int(view.stats.bytes_stats.unique)
    told = view.custom(DISTINCT) if view.stats.HasField("num_stats") else None
    return view.unique if told is None else int(told.num)


def _lengths(view: FeatureView) -> float | None:
    if view.stats.HasField("string_stats"):
        return float(view.stats.string_stats.avg_length)
    return float(view.stats.bytes_stats.avg_num_bytes) if view.stats.HasField("bytes_stats") else None


def _profiled(feature: FeatureProfile) -> Side:
    rows = sum(feature.counts)
    if isinstance(feature, NumericProfile):
        missing = feature.counts[0] / rows if rows else 0.0
        return Side(rows=rows, missing=missing, cumulative=of_profile(feature))
    missing = feature.counts[-1] / rows if rows else 0.0
    return Side(rows=rows, missing=missing, values=_categories(feature), complete=False)


def _categories(feature: CategoricalProfile) -> tuple[tuple[str, float], ...]:
    present = sum(feature.counts[:-1])
    pairs = zip(feature.categories, feature.counts, strict=False)
    ranked = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    return tuple((value, count / present) for value, count in ranked) if present else ()


def _distance(sides: Sequence[Side | None], drift: FeatureDrift | None, *, counted: bool) -> float | None:
    """Share of rows that are elsewhere: as the test has it where rows were counted, else as far as the shapes tell it."""
    before, now = sides
    if before is None or now is None:
        return None
    if drift is not None and (counted or not (before.cumulative and now.cumulative)):
        return drift.distance
    if before.cumulative and now.cumulative:
        return max(_apart(before, now), drift.distance if drift else 0.0)
    if not (before.complete and now.complete):
        return None
    then, since = dict(before.values), dict(now.values)
    shares = [
        (then.get(each, 0.0) * (1 - before.missing), since.get(each, 0.0) * (1 - now.missing))
        for each in {**then, **since}
    ]
    moved = sum(abs(one - other) for one, other in shares) + abs(before.missing - now.missing)
    return min(1.0, moved / 2)


def _apart(before: Side, now: Side) -> float:
    """Kolmogorov and Smirnov's distance of the shapes at the ends of fine bars, missing first."""
    shares = bars_of((before, now), most=_FINE).shares
    one, other = (accumulate(each or ()) for each in shares)
    ends = [
        abs(before.missing + (1 - before.missing) * here - now.missing - (1 - now.missing) * there)
        for here, there in zip(one, other, strict=True)
    ]
    return max(abs(before.missing - now.missing), *ends)
