"""The platform's own drift test on statistics that were kept, without the rows.

Kept counts say less than rows do: of numbers they bound the distribution function at some places. The two functions are
taken as near to one another as those bounds allow, so the test finds less than it would on the rows, and its promise
(`data.comparison.compare`) holds all the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.data.comparison import FeatureDrift, compare
from bailiwick.data.profile import (
    MAX_CATEGORIES,
    MIN_CATEGORY_COUNT,
    CategoricalProfile,
    FeatureProfile,
    NumericProfile,
    Profile,
)
from bailiwick.data.statistics.view import DatasetView, FeatureView

RANK_ERROR = 0.01
"""How wrong the ranks of kept quantiles may be: TFDV's epsilon. Those computed here are exact to one row."""


def kept_drifts(baseline: Any, current: Any, *, alpha: float, margin: float) -> list[FeatureDrift]:
    """A verdict on each column that both datasets' statistics have, of one kind, and that they tell enough of.

    Left out are text columns with more different values than were kept, times as any whole number are in, bytes and
    structs are not. Weighted statistics are taken by their plain counts.
    """
    before, now = (DatasetView(dataset, by_weight=False) for dataset in (baseline, current))
    pairs = [
        pair
        for path, view in now.features.items()
        if path in before.features and (pair := _pair("/".join(path), before.features[path], view)) is not None
    ]
    if not pairs:
        return []
    profiles = (
        Profile(rows=int(view.examples), features=tuple(pair[place] for pair in pairs))
        for place, view in enumerate((before, now))
    )
    return compare(*profiles, alpha=alpha, margin=margin)


def _pair(name: str, before: FeatureView, now: FeatureView) -> tuple[FeatureProfile, FeatureProfile] | None:
    """The column's counts on both sides in the same cells."""
    if _lists(before) or _lists(now):
        return None  # values of one row depend on each other, and the test counts rows
    if before.stats.HasField("num_stats") and now.stats.HasField("num_stats"):
        return _numbers(name, before, now)
    if before.stats.HasField("string_stats") and now.stats.HasField("string_stats"):
        return _texts(name, before, now)
    return None


def _lists(view: FeatureView) -> bool:
    return bool(view.common.max_num_values > 1)


def _texts(name: str, before: FeatureView, now: FeatureView) -> tuple[FeatureProfile, FeatureProfile] | None:
    """As `build_profile` would count them, for which all values must be known."""
    then, since = before.values, now.values
    if len(then) < (before.unique or 0) or len(since) < (now.unique or 0):
        return None
    rows = before.present + before.missing
    if sum(then.values()) > rows or sum(since.values()) > now.present + now.missing:
        return None  # not statistics of rows with at most one value each
    ranked = sorted(then.items(), key=lambda pair: (-pair[1], pair[0]))
    cells = [value for value, count in ranked if count >= MIN_CATEGORY_COUNT][:MAX_CATEGORIES]
    rest = [(value, count) for value, count in ranked if value not in set(cells)]
    shares = [count / max(1.0, rows) for _, count in rest]
    rare = {value for value, _ in rest}

    def counted(values: dict[str, float], missing: float) -> CategoricalProfile:
        known = [int(values.get(value, 0)) for value in cells]
        other = int(sum(count for value, count in values.items() if value in rare))
        strange = int(sum(values.values())) - sum(known) - other
        return CategoricalProfile(
            name=name,
            categories=tuple(cells),
            rare=tuple(value for value, _ in rest),
            closed=True,
            distinct=len(then),
            spread=sum(sorted(math.sqrt(share * (1 - share)) for share in shares)),
            unseen=sum(count == 1 for count in then.values()) / max(1.0, rows),
            counts=(*known, other, strange, int(missing)),
        )

    return counted(then, before.missing), counted(since, now.missing)


def _numbers(name: str, before: FeatureView, now: FeatureView) -> tuple[FeatureProfile, FeatureProfile] | None:
    """Two cells, cut where the functions are surely farthest apart."""
    one, other = _Bounds(before), _Bounds(now)
    if not one.rows or not other.rows:
        return None
    best, cut, chosen = -1.0, 0.0, (0.0, 0.0)
    for place in sorted({*one.places(), *other.places()}):
        (low, high), (least, most) = one.at(place), other.at(place)
        gap = max(least - high, low - most, 0.0)
        if gap > best:
            best, cut = gap, place
            chosen = (high, least) if least > high else (low, most) if low > most else (max(low, least),) * 2
    edges = (cut,)
    return one.profile(name, edges, chosen[0]), other.profile(name, edges, chosen[1])


@dataclass(frozen=True, slots=True)
class _Fact:
    """The share of values below a place is at least `low`, and at most `high`."""

    place: float
    low: float
    high: float


class _Bounds:
    """What a column's histograms say of the shares of its rows, missing ones first."""

    def __init__(self, view: FeatureView) -> None:
        standard = view.histogram(statistics_pb2.Histogram.STANDARD)
        quantiles = view.histogram(statistics_pb2.Histogram.QUANTILES)
        self.rows = view.present + view.missing
        histogram = standard or quantiles
        nan = histogram.num_nan if histogram is not None else 0.0
        self._missing = view.missing + nan
        self._present = max(view.present - nan, 0.0)
        facts = sorted([*_exact(standard), *_ranks(quantiles)], key=lambda fact: fact.place)
        self._known = [fact.place for fact in facts]
        self._low = [0.0, *accumulate((fact.low for fact in facts), max)]
        self._high = [*accumulate((fact.high for fact in reversed(facts)), min, initial=1.0)][::-1]

    def places(self) -> Iterable[float]:
        """Where something is known: at each fact, and just above it."""
        for place in self._known:
            yield place
            yield math.nextafter(place, math.inf)

    def at(self, place: float) -> tuple[float, float]:
        """The least and the greatest share of rows that are missing or below `place`."""
        low, high = self._low[bisect_right(self._known, place)], self._high[bisect_left(self._known, place)]
        return self._of_rows(low), self._of_rows(max(low, high))

    def _of_rows(self, share: float) -> float:
        return (self._missing + self._present * share) / self.rows

    def profile(self, name: str, edges: tuple[float, ...], share: float) -> NumericProfile:
        """Counts of what is missing, below the cut, and above, where `share` of the rows are missing or below."""
        missing, below = round(self._missing), round(share * self.rows)
        below = max(below, missing)
        return NumericProfile(name=name, edges=edges, counts=(missing, below - missing, round(self.rows) - below))


def _exact(histogram: Any | None) -> Iterable[_Fact]:
    """Buckets from and with their low end up to and without the high one, the last with it; infinities at the ends."""
    buckets = list(histogram.buckets) if histogram is not None else []
    total = sum(bucket.sample_count for bucket in buckets)
    if total <= 0:
        return
    seen = sum(bucket.sample_count for bucket in buckets if bucket.high_value == -math.inf) / total
    finite = [bucket for bucket in buckets if math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)]
    for bucket in finite:
        yield _Fact(bucket.low_value, seen, seen)
        seen += bucket.sample_count / total
    if finite:
        yield _Fact(math.nextafter(finite[-1].high_value, math.inf), seen, seen)


def _ranks(histogram: Any | None) -> Iterable[_Fact]:
    """A quantile has at most its rank below it, and at least that up to it."""
    buckets = list(histogram.buckets) if histogram is not None else []
    total = sum(bucket.sample_count for bucket in buckets)
    if total <= 0:
        return
    seen = sum(bucket.sample_count for bucket in buckets if bucket.high_value == -math.inf) / total
    finite = [bucket for bucket in buckets if math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)]
    for bucket in finite:
        seen += bucket.sample_count / total
        yield _Fact(bucket.high_value, 0.0, min(1.0, seen + RANK_ERROR))
        yield _Fact(math.nextafter(bucket.high_value, math.inf), max(0.0, seen - RANK_ERROR), 1.0)
