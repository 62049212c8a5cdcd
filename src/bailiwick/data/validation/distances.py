"""Distances between two distributions, with TFDV's arithmetic."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.data.statistics.view import FeatureView

Counts = Mapping[str, float]
_Bucket = tuple[float, float, float]  # low, high, count


def l_infinity(one: Counts, other: Counts) -> tuple[str, float]:
    """The value whose share differs most, and by how much. Of equal differences the last value in order counts."""
    return _largest_difference(one, other, sum(one.values()), sum(other.values()))


def normalised_difference(one: Counts, other: Counts) -> tuple[str, float]:
    """The value whose count differs most, and the difference as a share of both sums together."""
    total = sum(one.values()) + sum(other.values())
    return _largest_difference(one, other, total, total)


def jensen_shannon(one: FeatureView, other: FeatureView, kind: int) -> float | None:
    """The divergence (base 2, no root) of text values, else of numeric histograms of `kind`; None where a side has neither."""
    if one.values and other.values:
        return _text_divergence(one.values, other.values)
    first, second = one.histogram(kind), other.histogram(kind)
    return None if first is None or second is None else histogram_divergence(first, second)


def histogram_divergence(one: Any, other: Any) -> float | None:
    """Divergence of two histograms on the union of their boundaries, spread evenly within buckets; None for an empty one.

    Buckets of one point keep their mass there; NaN and infinite buckets count as what the other side lacks. (TFDV means
    to do that too, but forgets NaN where the boundaries differ.)
    """
    first, second = _Masses(one), _Masses(other)
    shares = [*_aligned(first.buckets, second.buckets)]
    points = sorted(first.points.keys() | second.points.keys())
    shares += [(first.points.get(point, 0.0), second.points.get(point, 0.0)) for point in points]
    for mine, theirs in ((first.infinite, second.infinite), (first.nan, second.nan)):
        shares += [(mine, 0.0), (0.0, theirs)]
    total, other_total = sum(pair[0] for pair in shares), sum(pair[1] for pair in shares)
    if total == 0 or other_total == 0:
        return None
    here, there = [pair[0] / total for pair in shares], [pair[1] / other_total for pair in shares]
    middles = [(a + b) / 2 for a, b in zip(here, there, strict=True)]
    return min((_relative_entropy(here, middles) + _relative_entropy(there, middles)) / 2, 1.0)


class _Masses:
    """A histogram's proper buckets, its points, and the masses that no number line holds."""

    def __init__(self, histogram: Any) -> None:
        self.buckets: list[_Bucket] = []
        self.points: dict[float, float] = {}
        self.infinite = 0.0
        self.nan = float(histogram.num_nan)
        for bucket in histogram.buckets:
            low, high, count = bucket.low_value, bucket.high_value, bucket.sample_count
            if not (math.isfinite(low) and math.isfinite(high)):
                self.infinite += count
            elif low == high:
                self.points[low] = self.points.get(low, 0.0) + count
            else:
                self.buckets.append((low, high, count))


def _aligned(one: Sequence[_Bucket], other: Sequence[_Bucket]) -> list[tuple[float, float]]:
    edges = sorted({edge for low, high, _ in (*one, *other) for edge in (low, high)})
    return list(zip(_spread(one, edges), _spread(other, edges), strict=True))


def _spread(buckets: Sequence[_Bucket], edges: Sequence[float]) -> list[float]:
    masses = [0.0] * max(len(edges) - 1, 0)
    for low, high, count in buckets:
        for i in range(bisect_left(edges, low), bisect_left(edges, high)):
            masses[i] += (edges[i + 1] - edges[i]) / (high - low) * count
    return masses


def _largest_difference(one: Counts, other: Counts, total: float, other_total: float) -> tuple[str, float]:
    best = ("", 0.0)
    for value in sorted(one.keys() | other.keys()):
        mine = one.get(value, 0.0) / (total or 1)
        difference = abs(mine - other.get(value, 0.0) / (other_total or 1))
        if difference >= best[1]:
            best = (value, difference)
    return best


def _text_divergence(one: Counts, other: Counts) -> float | None:
    if min(*one.values(), *other.values()) <= 0:
        return None
    total, other_total = sum(one.values()), sum(other.values())
    summed = 0.0
    for value in sorted(one.keys() | other.keys()):
        mine, theirs = one.get(value, 0.0) / total, other.get(value, 0.0) / other_total
        middle = (mine + theirs) / 2
        summed += mine * math.log2(mine / middle) if mine > 0 else 0.0
        summed += theirs * math.log2(theirs / middle) if theirs > 0 else 0.0
    return min(summed / 2, 1.0)


def _relative_entropy(shares: Sequence[float], middles: Sequence[float]) -> float:
    """Summed side by side and not pair by pair, as TFDV does: its zeros are then zeros here, not 1e-17 above a limit of 0."""
    total = 0.0
    for share, middle in zip(shares, middles, strict=True):
        total += share * math.log2(share / middle) if share > 0 else 0.0
    return total


STANDARD = statistics_pb2.Histogram.STANDARD
QUANTILES = statistics_pb2.Histogram.QUANTILES
