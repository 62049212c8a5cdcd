"""How often each number occurs: the state that statistics of numeric columns are merged by.

Everything that is told of a column follows from how often each of its values occurs, and such counts add up: in any
order and grouping of the parts the same statistics come out, bit for bit. Past a limit of different numbers neighbours share
a point; then counts, ends and moments are still of every number (moments to rounding), and `error` bounds the ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.data.statistics.sorting import in_order

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

_MOST_DISTINCT, _MOST_OF_ALL, _LEAST = 1 << 20, 1 << 24, 1 << 12
_LEAST_IN_SLICES = 1 << 9
_POINTS = 1 << 17
"""Points that are kept once numbers share them, before they are thinned to half as many."""
_PER_GROUP = 1 << 13
_RARELY = 2
_CELLS, _FULLEST = 1 << 18, 12
_WHOLE = 2**53
_LEAST_SQUARE = 1e-290

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Counted: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


def most_numbers(columns: int) -> int:
    """Different numbers of a column that are kept apart: a million, fewer where there are more than 16 columns."""
    return max(min(_MOST_DISTINCT, _MOST_OF_ALL // max(columns, 1)), min(_LEAST, _MOST_DISTINCT))


def fewest_numbers(columns: int) -> int:
    """The same of columns within slices, of which there may be so many that each has to do with a few hundred."""
    return max(min(_MOST_DISTINCT, _MOST_OF_ALL // max(columns, 1)), _LEAST_IN_SLICES)


@dataclass(frozen=True, slots=True)
class Spread:
    """Ends and moments of finite numbers: `deviations` is the sum of squared deviations from the mean."""

    count: float
    low: float
    high: float
    mean: float
    deviations: float

    def merge(self, other: Spread) -> Spread:
        """Of both (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.float64(other.mean) - self.mean
            mean = self.mean + gap * (other.count / count)
            deviations = self.deviations + other.deviations + gap * gap * (self.count / count * other.count)
        return Spread(count, min(self.low, other.low), max(self.high, other.high), float(mean), float(deviations))


@dataclass(frozen=True, slots=True)
class Numbers:
    """Finite numbers in order with their counts, and how many there are of those that have no place in an order.

    `spread` is there once numbers share points; `error` is by how many numbers a rank may be off then.
    """

    values: Floats = field(default_factory=lambda: np.empty(0))
    counts: Counted = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    nan: int = 0
    low_infinity: int = 0
    high_infinity: int = 0
    zeros: int = 0
    error: int = 0
    spread: Spread | None = None

    @staticmethod
    def of(values: np.ndarray[Any, Any], *, apart: bool = True) -> Numbers:
        """Counts of an array. Without `apart` numbers may share points at once, which is faster."""
        if not len(values):
            return Numbers()
        if values.dtype.kind != "f":
            low, high = int(values.min()), int(values.max())
            if _dense(low, high, len(values)):
                return _from_whole(values.astype(np.int64, copy=False), low)
            values = values.astype(np.float64)
        finite = np.isfinite(values)
        inner = values if finite.all() else values[finite]
        found = _of_finite(inner.astype(np.float64, copy=False), apart=apart) if len(inner) else Numbers()
        if len(inner) == len(values):
            return found
        return Numbers(
            found.values,
            found.counts,
            nan=int(np.count_nonzero(np.isnan(values))),
            low_infinity=int(np.count_nonzero(values == -math.inf)),
            high_infinity=int(np.count_nonzero(values == math.inf)),
            zeros=found.zeros,
            error=found.error,
            spread=found.spread,
        )

    @staticmethod
    def of_whole(values: Floats) -> Numbers | None:
        """Counts of an array of finite whole numbers that lie close together, which are quick; None for another."""
        if not len(values) or not np.isfinite(values).all():
            return None
        return _if_whole(values)

    @staticmethod
    def constant(value: float, count: int) -> Numbers:
        """One number, `count` times."""
        if not count:
            return Numbers()
        zeros = count if value == 0 else 0
        return Numbers(np.array([value]), np.array([count], dtype=np.int64), zeros=zeros)

    @staticmethod
    def merge_all(parts: Sequence[Numbers], most: int = _MOST_DISTINCT) -> Numbers:
        """Counts of all, `most` different numbers at most; then neighbours share points."""
        filled = [part for part in parts if len(part.values)]
        values, counts = _joined(filled)
        spread, error = None, sum(part.error for part in parts)
        if any(part.spread for part in filled) or len(values) > most:
            if not any(part.spread for part in filled):
                spread = _spread(values, counts)
            for part in filled if spread is None else ():
                spread = part.told() if spread is None else spread.merge(part.told())
            if len(values) > min(most, _POINTS):
                values, counts, thinned = _thinned(values, counts, min(most, _POINTS) // 2)
                error += thinned
        return Numbers(
            values,
            counts,
            nan=sum(part.nan for part in parts),
            low_infinity=sum(part.low_infinity for part in parts),
            high_infinity=sum(part.high_infinity for part in parts),
            zeros=sum(part.zeros for part in parts),
            error=error,
            spread=spread,
        )

    def merge(self, other: Numbers, most: int = _MOST_DISTINCT) -> Numbers:
        """Counts of both."""
        return Numbers.merge_all((self, other), most)

    @property
    def exact(self) -> bool:
        """Whether each number is counted for itself."""
        return self.spread is None

    @property
    def finite(self) -> int:
        """How many finite numbers there are."""
        return int(self.counts.sum())

    @property
    def different(self) -> int | None:
        """How many different numbers there are, NaN aside; None where they are not each counted for themselves."""
        ends = self.values[[0, -1]] if len(self.values) else self.values
        if not self.exact or (np.abs(ends) >= _WHOLE).any():  # from 2^53 on whole numbers share doubles
            return None
        return len(self.values) + bool(self.low_infinity) + bool(self.high_infinity)

    def told(self) -> Spread:
        """Ends and moments of the finite numbers, of which there must be some."""
        return self.spread or _spread(self.values, self.counts)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the finite numbers, of which there must be some."""
        return moments(self.told(), self.values, self.counts)

    def quantiles(self, shares: Floats) -> Floats:
        """Quantiles of the finite numbers, linear between neighbours as NumPy has them."""
        places = shares * (self.finite - 1)
        below, ends = np.floor(places), np.cumsum(self.counts)
        low = self.values[np.searchsorted(ends, below, side="right")]
        high = self.values[np.searchsorted(ends, np.minimum(below + 1, self.finite - 1), side="right")]
        part = places - below
        with np.errstate(over="ignore", invalid="ignore"):
            gap = high - low
            found = np.asarray(np.where(part >= 0.5, high - gap * (1 - part), low + gap * part))
        found = np.where(np.isfinite(gap), found, low * (1 - part) + high * part)
        if self.spread is not None:
            found = np.where(shares == 0, self.spread.low, np.where(shares == 1, self.spread.high, found))
        return found

    def below(self, edge: float) -> int:
        """How many finite numbers are less than the edge."""
        return int(self.counts[: np.searchsorted(self.values, edge, side="left")].sum())


def moments(told: Spread, values: Floats, masses: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean and standard deviation, of numbers too whose squares no double holds: these in units of the largest of them."""
    variance = told.deviations / told.count
    if told.low == told.high or _LEAST_SQUARE < variance < math.inf:
        return told.mean, math.sqrt(variance)
    unit = max(abs(told.low), abs(told.high))
    inner, shares = values / unit, masses / masses.sum()
    mean = float((inner * shares).sum())
    away = inner - mean
    return mean * unit, math.sqrt(float((away * away * shares).sum())) * unit


def equal_edges(low: float, high: float, buckets: int) -> list[float]:
    """The ends of so many buckets, as wide as each other."""
    step = high / buckets - low / buckets  # high - low may overflow
    edges = [low, *(low + i * step for i in range(1, buckets)), high]
    if math.isfinite(buckets * step):
        return edges
    return [low * (1 - i / buckets) + high * (i / buckets) for i in range(buckets + 1)]


def _dense(low: int, high: int, count: int) -> bool:
    """Whether a table of all whole numbers in between is no larger than is worth it."""
    return low >= -_WHOLE and high <= _WHOLE and high - low <= max(2 * count, 1024)


def _from_whole(values: Counted, low: int) -> Numbers:
    table = np.bincount(values - low)
    places = np.flatnonzero(table)
    zeros = int(table[-low]) if 0 <= -low < len(table) else 0
    return Numbers((places + low).astype(np.float64), table[places], zeros=zeros)


def _if_whole(values: Floats) -> Numbers | None:
    low, high = float(values.min()), float(values.max())
    if not _dense(math.floor(low), math.ceil(high), len(values)):
        return None
    whole = values.astype(np.int64)
    return _from_whole(whole, int(low)) if (whole == values).all() else None


def _of_finite(values: Floats, *, apart: bool) -> Numbers:
    found = _if_whole(values)
    if found is not None:
        return found
    zeros = len(values) - int(np.count_nonzero(values))
    if not apart and len(values) > 2 * _PER_GROUP:
        return _on_grid(values, zeros) or _every_so_many(in_order(values), zeros)
    ordered = in_order(values)
    ordered += 0.0  # no -0.0, whose place among zeros a sort does not fix
    unique, counts = _summed(ordered)
    return Numbers(unique, counts, zeros=zeros)


def _every_so_many(ordered: Floats, zeros: int) -> Numbers:
    """Every so many numbers one, the middle of its neighbours, stands for them."""
    ends = np.arange(_PER_GROUP + 1) * len(ordered) // _PER_GROUP
    points, counts = _summed(ordered[(ends[1:] + ends[:-1]) // 2] + 0.0, np.diff(ends))
    return Numbers(points, counts, zeros=zeros, error=_half(np.diff(ends)), spread=_spread(ordered))


def _on_grid(values: Floats, zeros: int) -> Numbers | None:
    """The same in a tenth of the time, without sorting: numbers in one cell of an even grid share its middle.

    None where they lie so unevenly that a cell holds more than one in 4,096.
    """
    low, high = float(values.min()), float(values.max())
    width = high - low
    scale = (_CELLS - 0.5) / width if width > 0 else math.inf
    if not (math.isfinite(width) and math.isfinite(scale)):
        return None
    places = values - low
    places *= scale
    table = np.bincount(places.astype(np.int32), minlength=_CELLS)
    fullest = int(table.max())
    if fullest > len(values) >> _FULLEST:
        return None
    thin, weights, thinned = _thinned(np.arange(0.5, _CELLS), table, _PER_GROUP)
    return Numbers(thin / scale + low, weights, zeros=zeros, error=fullest + thinned, spread=_spread(values))


def _half(weights: Counted) -> int:
    return (int(weights.max()) + 1) // 2


def _summed(ordered: Floats, counts: Counted | None = None) -> tuple[Floats, Counted]:
    """Equal neighbours as one."""
    first = np.empty(len(ordered), dtype=bool)
    first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    if first.all():
        return ordered, np.ones(len(ordered), dtype=np.int64) if counts is None else counts
    starts = np.flatnonzero(first)
    if counts is None:
        return ordered[starts], np.diff(starts, append=len(ordered))
    return ordered[starts], np.add.reduceat(counts, starts)


def _joined(parts: Sequence[Numbers]) -> tuple[Floats, Counted]:
    if len(parts) == 1:
        return parts[0].values, parts[0].counts
    if not parts:
        return np.empty(0), np.empty(0, dtype=np.int64)
    values = np.concatenate([part.values for part in parts])
    total = sum(part.finite for part in parts)
    if total <= _RARELY * len(values):  # hardly a number occurs twice in a part
        if total > len(values):
            values = np.repeat(values, np.concatenate([part.counts for part in parts]))
        values.sort(kind="stable")  # fast where the parts are in order already
        return _summed(values)
    order = np.argsort(values, kind="stable")
    return _summed(values[order], np.concatenate([part.counts for part in parts])[order])


def _thinned(values: Floats, counts: Counted, points: int) -> tuple[Floats, Counted, int]:
    """So many points of (nearly) equal weight, each the middle of the numbers that it stands for, and how far ranks are off."""
    ends = np.cumsum(counts)
    cuts = np.arange(points + 1) * (int(ends[-1]) / points)
    edges = np.round(cuts).astype(np.int64)
    weights = np.diff(edges)
    places = np.searchsorted(ends, (edges[1:] + edges[:-1]) // 2, side="right")
    error = _half(weights)
    thin, weights = _summed(values[places], weights)
    return thin, weights, error


def _spread(values: Floats, counts: Counted | None = None) -> Spread:
    """NumPy's sums, not BLAS's, which depend on the number of threads."""
    total = len(values) if counts is None else int(counts.sum())
    if counts is not None and total == len(values) and counts.all():  # each is there once
        counts = None
    with np.errstate(over="ignore", invalid="ignore"):  # past 1e308 the answer is an infinity
        mean = float((values if counts is None else values * counts).sum() / total)
        away = values - mean
        away *= away
        deviations = float((away if counts is None else away * counts).sum())
    return Spread(total, float(values.min()), float(values.max()), mean, deviations)
