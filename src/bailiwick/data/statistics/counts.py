"""How often each value occurs: the state that statistics of parts are merged by.

Everything that is told of a column follows from how often each of its values occurs, and such counts add up: in any
order and grouping of the parts the same statistics come out, bit for bit.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:
    np, pa = deferred("numpy"), deferred("pyarrow")

_MOST_DISTINCT = 1 << 20
"""Different numbers that are kept apart; past this, neighbours share a place (a millionth of the values at most)."""


@dataclass(slots=True)
class Numbers:
    """Finite numbers in order with their counts, and how many there are of those that have no place in an order."""

    values: np.ndarray[Any, np.dtype[np.float64]] = field(default_factory=lambda: np.empty(0))
    counts: np.ndarray[Any, np.dtype[np.int64]] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    nan: int = 0
    low_infinity: int = 0
    high_infinity: int = 0
    zeros: int = 0
    exact: bool = True

    @staticmethod
    def of(values: np.ndarray[Any, np.dtype[np.float64]]) -> Numbers:
        """Counts of an array."""
        finite = values[np.isfinite(values)] + 0.0  # no -0.0, which would make statistics hang on the order of rows
        unique, counts = np.unique(finite, return_counts=True)
        return Numbers(
            values=unique,
            counts=counts.astype(np.int64),
            nan=int(np.count_nonzero(np.isnan(values))),
            low_infinity=int(np.count_nonzero(values == -math.inf)),
            high_infinity=int(np.count_nonzero(values == math.inf)),
            zeros=int(np.count_nonzero(finite == 0)),
        ).bounded()

    def merge(self, other: Numbers) -> Numbers:
        """Counts of both."""
        values = np.concatenate([self.values, other.values])
        unique, places = np.unique(values, return_inverse=True)
        counts = np.zeros(len(unique), dtype=np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return Numbers(
            values=unique,
            counts=counts,
            nan=self.nan + other.nan,
            low_infinity=self.low_infinity + other.low_infinity,
            high_infinity=self.high_infinity + other.high_infinity,
            zeros=self.zeros + other.zeros,
            exact=self.exact and other.exact,
        ).bounded()

    @property
    def finite(self) -> int:
        """How many finite numbers there are."""
        return int(self.counts.sum())

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation (of the population) of the finite numbers, of which there must be some."""
        total = self.finite
        with np.errstate(over="ignore", invalid="ignore"):  # past 1e308 the answer is an infinity
            mean = float(np.dot(self.values, self.counts) / total)
            spread = float(np.dot((self.values - mean) ** 2, self.counts) / total)
        return mean, math.sqrt(spread) if spread >= 0 else spread

    def quantiles(self, shares: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Quantiles of the finite numbers, linear between neighbours as NumPy has them."""
        places = shares * (self.finite - 1)
        below, ends = np.floor(places), np.cumsum(self.counts)
        low = self.values[np.searchsorted(ends, below, side="right")]
        high = self.values[np.searchsorted(ends, np.minimum(below + 1, self.finite - 1), side="right")]
        part = places - below
        gap = high - low
        return np.asarray(np.where(part >= 0.5, high - gap * (1 - part), low + gap * part))

    def below(self, edge: float) -> int:
        """How many finite numbers are less than the edge."""
        return int(self.counts[: np.searchsorted(self.values, edge, side="left")].sum())

    def bounded(self) -> Numbers:
        """Where there are too many different numbers, neighbours are counted as the lower one; the largest is kept."""
        while len(self.values) > _MOST_DISTINCT:
            last, last_count = self.values[-1], self.counts[-1]
            starts = np.arange(0, len(self.values) - 1, 2)
            self.counts = np.append(np.add.reduceat(self.counts[:-1], starts), last_count)
            self.values = np.append(self.values[:-1][starts], last)
            self.exact = False
        return self


@dataclass(slots=True)
class Texts:
    """Text values with their counts."""

    counts: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(values: pa.ChunkedArray) -> Texts:
        """Counts of a column of text; nulls are left out."""
        counted = values.value_counts()
        pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
        return Texts(Counter({value: count for value, count in pairs if value is not None}))

    def merge(self, other: Texts) -> Texts:
        """Counts of both."""
        small, large = sorted((self.counts, other.counts), key=len)
        merged = large.copy()
        merged.update(small)
        return Texts(merged)

    def ranked(self, most: int) -> list[tuple[str, int]]:
        """The most frequent values, of equally frequent ones the later in order first, as TFDV ranks them."""
        best = sorted(self.counts.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)
        return best[:most]
