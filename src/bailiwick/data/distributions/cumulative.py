"""Distribution functions, as far as kept counts tell them: from TFDV's histograms, or from a profile's frozen bins."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.data.profile import NumericProfile
from bailiwick.data.statistics.view import FeatureView

_TELLING = 6  # so many different quantiles, all of them whole, are no chance
_NEAR_TAIL, _NEAR_SHARE = 2.0, 0.95
"""Of what lies beyond the outermost inner quantile, this share is put within so many times its distance to the median."""


@dataclass(frozen=True, slots=True)
class Cumulative:
    """At each place, in rising order, the share of values below it and the share up to it; even in between.

    `whole` says that values are whole numbers, each of which is spread over the half to its left and to its right.
    """

    places: tuple[float, ...]
    below: tuple[float, ...]
    upto: tuple[float, ...]
    whole: bool

    def share_below(self, place: float) -> float:
        """The share of values less than `place`."""
        at = bisect_left(self.places, place)
        if at == len(self.places):
            return 1.0
        if at == 0 or self.places[at] == place:
            return self.below[at]
        left, right = self.places[at - 1], self.places[at]
        way = (place - left) / (right - left) if math.isfinite(right - left) else 0.5
        return self.upto[at - 1] + way * (self.below[at] - self.upto[at - 1])

    def held(self, place: float, share: float) -> float:
        """The share, or the nearest that can be below `place` for all that is known next to it."""
        at = bisect_left(self.places, place)
        low = self.upto[at - 1] if at else 0.0
        high = self.below[at] if at < len(self.places) else 1.0
        return min(max(share, low), high)

    def quantile(self, share: float) -> float:
        """The least place that `share` of the values are up to."""
        at = next((i for i, upto in enumerate(self.upto) if upto >= share - 1e-12), len(self.places) - 1)
        if at == 0 or self.below[at] <= share:
            return self.places[at]
        low, high = self.upto[at - 1], self.below[at]
        way = (share - low) / (high - low) if high > low else 1.0
        return self.places[at - 1] + way * (self.places[at] - self.places[at - 1])


def of_statistics(view: FeatureView, *, whole: bool | None = None) -> Cumulative | None:
    """From the standard and the quantile histogram together; None without finite values. Whether they are whole numbers is
    told by the quantiles where the type or `whole` does not say it.
    """
    standard = _buckets(view.histogram(statistics_pb2.Histogram.STANDARD))
    quantiles = _buckets(view.histogram(statistics_pb2.Histogram.QUANTILES))
    if not any(count for _, _, count in (*standard, *quantiles)):
        return None
    edges = [low for low, _, _ in quantiles] + [high for _, high, _ in quantiles[-1:]]
    if whole is None:
        told = len(set(edges)) >= _TELLING and all_whole(edges)
        whole = view.type == statistics_pb2.FeatureNameStatistics.INT or told
    points = [*_running(standard)]
    points = [(_half_down(place) if whole else place, share) for place, share in points[:-1]] + points[-1:]
    inner = [*_running(quantiles)]
    points += [(place, share) for place, share in inner if not whole or float(place).is_integer()]
    if whole:
        least, most = min(p for p, _ in points), max(p for p, _ in points)
        points = [(place, share) for place, share in points if 0 < share < 1]
        points += [(math.floor(least + 0.5) - 0.5, 0.0), (math.floor(most) + 0.5, 1.0)]
    known = _joined(points, whole=whole)
    guesses = _tails(inner, known)
    return _joined([*points, *guesses], whole=whole) if guesses else known


def of_profile(feature: NumericProfile, within: Cumulative | None = None) -> Cumulative | None:
    """From counts in frozen bins, which are up to and with their edge. `within`, of the same values, tells how they lie
    between two edges and beyond the last; where it says otherwise than the counts, the counts hold.
    """
    total = sum(feature.counts[1:])
    if not feature.edges or not total:
        return None
    whole = all_whole(feature.edges[1:])
    below, shift = math.nextafter(feature.edges[0], math.inf), 0.5 if whole else 0.0  # bins begin at the least value
    first = below if not whole else round(below) - 0.5
    seen = feature.counts[1]
    points = [(first, seen / total)]
    for edge, count in zip(feature.edges[1:], feature.counts[2:], strict=False):
        seen += count
        points.append((edge + shift, seen / total))
    ends = [(first, 0.0), (points[-1][0], 1.0)]
    if within is None:
        return _joined([*points, *ends], whole=whole)
    ends = [(min(first, within.places[0]), 0.0), (max(points[-1][0], within.places[-1]), 1.0)]
    exact = _joined([*points, *ends], whole=whole)
    inner = [(place, exact.held(place, share)) for place, share in zip(within.places, within.below, strict=True)]
    return _joined([*points, *ends, *inner], whole=whole)


def _buckets(histogram: Any | None) -> list[tuple[float, float, float]]:
    found = histogram.buckets if histogram is not None else ()
    return [
        (bucket.low_value, bucket.high_value, bucket.sample_count)
        for bucket in found
        if math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)
    ]


def _running(buckets: Sequence[tuple[float, float, float]]) -> Iterable[tuple[float, float]]:
    total, seen = sum(count for _, _, count in buckets), 0.0
    if total <= 0:
        return
    yield buckets[0][0], 0.0
    for _, high, count in buckets:
        seen += count
        yield high, min(1.0, seen / total)


def _tails(quantiles: Sequence[tuple[float, float]], known: Cumulative) -> list[tuple[float, float]]:
    """Where the mass beyond the outermost inner quantiles is, as far as the rest does not say: near them, as one far value
    is no reason to spread a tenth of all values evenly up to it.
    """
    if len(quantiles) < 4:
        return []
    middle = quantiles[len(quantiles) // 2][0]
    (low, low_share), (high, high_share) = quantiles[1], quantiles[-2]
    near, far = low - _NEAR_TAIL * (middle - low), high + _NEAR_TAIL * (high - middle)
    found = []
    if known.places[0] < near < low:
        before = known.upto[bisect_left(known.places, near) - 1]
        found.append((near, max(low_share * (1 - _NEAR_SHARE), before)))
    if high < far < known.places[-1]:
        after = known.below[bisect_left(known.places, far)]
        found.append((far, min(high_share + (1 - high_share) * _NEAR_SHARE, after)))
    return found


def _joined(points: Iterable[tuple[float, float]], *, whole: bool) -> Cumulative:
    """Points in order, never falling; several at one place are a step there."""
    places: list[float] = []
    below: list[float] = []
    upto: list[float] = []
    reached = 0.0
    for place, share in sorted(points):
        reached = max(reached, share)
        if places and places[-1] == place:
            upto[-1] = reached
        else:
            places.append(place)
            below.append(reached)
            upto.append(reached)
    below[0] = 0.0
    upto[-1] = 1.0
    return Cumulative(tuple(places), tuple(below), tuple(upto), whole)


def all_whole(places: Sequence[float]) -> bool:
    """Whether the places are whole numbers, and there are some."""
    return bool(places) and all(float(place).is_integer() and abs(place) < 1e15 for place in places)


def _half_down(place: float) -> float:
    """Whole numbers below `place` are those up to the half below it."""
    return math.ceil(place) - 0.5
