"""What is counted while rows go by: states that are fed batch by batch, and merged where rows were read in several places.

Merging is associative and commutative to the bit: `(a + b) + c` and `a + (b + c)` hold the same, in any order of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bailiwick.core.errors import LimitExceeded

MAX_DISTINCT = 1 << 20
_WAITING = 1 << 20

Key = str | float | tuple[str | float, ...]


class Distribution:
    """Every different float32 value and how often it was there: exact moments and quantiles.

    Beyond 1,048,576 different values, values are rounded to as few mantissa bits as it takes to stay below, so what is
    told is off by at most 2^-(23 - bits) of itself (4e-6 for ten million different values). NaN is counted as missing.
    """

    def __init__(self) -> None:
        self.missing = 0
        self.bits = 0
        self._values = np.empty(0, np.float32)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    @classmethod
    def restored(
        cls, values: NDArray[np.float32], counts: NDArray[np.int64], *, missing: int, bits: int
    ) -> Distribution:
        """One that holds what `counted` of another gave."""
        found = cls()
        found.missing, found.bits = missing, bits
        found._add(values, counts)
        return found

    def update(self, values: NDArray[np.float32], often: NDArray[np.int64] | None = None) -> None:
        """Count these values, each once or so `often`."""
        there = ~np.isnan(values)
        seen = values[there] + np.float32(0)  # + 0 makes one of both zeros
        if often is not None:
            self.missing += int(often[~there].sum())
            self._add(seen, often[there])
            return
        self.missing += len(values) - len(seen)
        self._add(*np.unique(seen, return_counts=True))

    def merge(self, other: Distribution) -> None:
        """Count what the other counted as well."""
        self.missing += other.missing
        self.bits = max(self.bits, other.bits)
        self._add(*other.counted())

    def _add(self, values: NDArray[np.float32], counts: NDArray[np.int64]) -> None:
        self._waiting.append((values, counts.astype(np.int64)))
        if sum(len(each) for each, _ in self._waiting) > _WAITING:
            self._settle()

    def _settle(self) -> None:
        parts = [(self._values, self._counts), *self._waiting]
        self._waiting = []
        values = np.concatenate([each for each, _ in parts])
        counts = np.concatenate([each for _, each in parts])
        while True:
            kept, places = np.unique(_rounded(values, self.bits), return_inverse=True)
            if len(kept) <= MAX_DISTINCT:
                break
            self.bits += 1
        self._values, self._counts = kept, np.zeros(len(kept), np.int64)
        np.add.at(self._counts, places, counts)

    def counted(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Values in order, and how often each was there."""
        if self._waiting or self.bits:
            self._settle()
        return self._values, self._counts

    def bounded(self, least: float, most: float) -> Distribution:
        """The same with every value moved into [least, most]."""
        values, counts = self.counted()
        found = Distribution()
        found.missing, found.bits = self.missing, self.bits
        found._add(np.clip(values, np.float32(least), np.float32(most)), counts)
        return found

    @property
    def count(self) -> int:
        """Values that were there."""
        return int(self.counted()[1].sum())

    @property
    def mean(self) -> float:
        """Of the values that were there."""
        values, counts = self.counted()
        return float(values.astype(np.float64) @ counts / counts.sum())

    @property
    def deviation(self) -> float:
        """Population standard deviation."""
        values, counts = self.counted()
        away = values.astype(np.float64) - self.mean
        return float(np.sqrt((away * away) @ counts / counts.sum()))

    @property
    def median(self) -> float:
        """The middle value, or the mean of the two in the middle."""
        values, counts = self.counted()
        ends = np.cumsum(counts)
        middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
        return float(values[middle].astype(np.float64).mean())

    @property
    def most_frequent(self) -> float:
        """The value that was there most often, the smallest of them."""
        values, counts = self.counted()
        return float(values[int(counts.argmax())])

    def quantiles(self, at: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
        """The smallest value with at least that share of the other values below: no interpolation."""
        values, counts = self.counted()
        ends = np.cumsum(counts)
        ranks = np.ceil((ends[-1] - 1) * np.asarray(at, np.float64)).astype(np.int64)
        found: NDArray[np.float32] = values[np.searchsorted(ends, ranks, side="right")]
        return found


def _rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Values with the last mantissa bits cleared: towards zero, so that rounding twice is rounding once."""
    if not bits:
        return values
    cleared = values.view(np.uint32) & np.uint32((0xFFFFFFFF << bits) & 0xFFFFFFFF)
    return cleared.view(np.float32) + np.float32(0)


class Counts:
    """How often each value was there, exactly. Raises LimitExceeded beyond 1,048,576 different values."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.counts: Counter[Key] = Counter()

    def update(self, keys: Iterable[Key], counts: Iterable[int]) -> None:
        """Count each key so often."""
        for key, count in zip(keys, counts, strict=True):
            self.counts[key] += count
        self._check()

    def merge(self, other: Counts) -> None:
        """Count what the other counted as well."""
        self.counts.update(other.counts)
        self._check()

    def _check(self) -> None:
        if len(self.counts) > MAX_DISTINCT:
            raise LimitExceeded(
                f"Feature {self._name!r} has more than {MAX_DISTINCT:,} different values.",
                hint="Use `hash`, which needs to remember none.",
            )

    def frequent(self, *, min_count: int, max_size: int) -> list[Key]:
        """Keys seen at least `min_count` times, the most frequent first, ties in order; at most `max_size` (0: all)."""
        found = [key for _, key in sorted((-count, key) for key, count in self.counts.items() if count >= min_count)]
        return found[:max_size] if max_size else found


class LabelCounts:
    """Rows and positive labels by fold and value; what other folds say is the difference to all."""

    def __init__(self, name: str, *, folds: int) -> None:
        self.folds = folds
        self.rows = [Counts(name) for _ in range(folds)]
        self.positive = [Counts(name) for _ in range(folds)]

    def update(self, keys: Sequence[Key | None], labels: NDArray[np.int64], *, start: int) -> None:
        """Row `i` of this batch is row `start + i` of the data, and belongs to fold `(start + i) % folds`. None: missing."""
        for fold in range(self.folds):
            first = (fold - start) % self.folds
            rows: Counter[Key | None] = Counter()
            positive: Counter[Key | None] = Counter()
            for key, label in zip(keys[first :: self.folds], labels[first :: self.folds].tolist(), strict=True):
                rows[key] += 1
                positive[key] += label
            for state, found in ((self.rows[fold], rows), (self.positive[fold], positive)):
                present = {_MISSING if key is None else key: count for key, count in found.items()}
                state.update(present.keys(), present.values())

    def count(
        self,
        keys: Sequence[Key | None],
        often: NDArray[np.int64],
        labels: NDArray[np.int64],
        folds: NDArray[np.int64],
    ) -> None:
        """Rows of a key, a label and a fold, each so often."""
        for key, count, label, fold in zip(keys, often.tolist(), labels.tolist(), folds.tolist(), strict=True):
            known = _MISSING if key is None else key
            self.rows[fold].update([known], [count])
            self.positive[fold].update([known], [count * label])

    def merge(self, other: LabelCounts) -> None:
        """Count what the other counted as well."""
        for mine, theirs in zip([*self.rows, *self.positive], [*other.rows, *other.positive], strict=True):
            mine.merge(theirs)

    def shares(
        self, *, without: int | None, smoothing: float, min_count: int
    ) -> tuple[dict[str | float, float], float]:
        """Smoothed share of positive labels by value, and the share of all: `(positive + smoothing * all) / (rows + smoothing)`."""
        kept = [fold for fold in range(self.folds) if fold != without]
        rows: Counter[Key] = sum((self.rows[fold].counts for fold in kept), Counter())
        positive: Counter[Key] = sum((self.positive[fold].counts for fold in kept), Counter())
        total = rows.total()
        prior = positive.total() / total if total else 0.0
        found: dict[str | float, float] = {}
        for key in sorted(key for key in rows if not isinstance(key, tuple)):
            if rows[key] >= min_count:
                found[key] = (positive[key] + smoothing * prior) / (rows[key] + smoothing)
        return found, prior


_MISSING = ("missing",)
