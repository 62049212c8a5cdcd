"""How much weight each value has: the state that weighted statistics are merged by, as `counts` and `texts` are by number.

While there are few different values all is exact but for the rounding of sums; past the limit neighbours share points, or the
lightest texts are left out, and `error` bounds by how much weight a rank, or a text's mass, is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.data.statistics.counts import Spread
from bailiwick.data.statistics.texts import LONG_TEXTS, LONGEST_RANKED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pa, pc = deferred("numpy"), deferred("pyarrow"), deferred("pyarrow.compute")

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


@dataclass(frozen=True, slots=True)
class NumberMasses:
    """Finite numbers of some weight in order, with their masses, and the mass of those that have no place in an order."""

    values: Floats = field(default_factory=lambda: np.empty(0))
    masses: Floats = field(default_factory=lambda: np.empty(0))
    nan: float = 0.0
    low_infinity: float = 0.0
    high_infinity: float = 0.0
    error: float = 0.0
    spread: Spread | None = None

    @staticmethod
    def of(values: Floats, weights: Floats) -> NumberMasses:
        """Of each value once."""
        finite = np.isfinite(values) & (weights > 0)
        inner, masses = _summed(values[finite] + 0.0, weights[finite])
        return NumberMasses(
            inner,
            masses,
            nan=float(weights[np.isnan(values)].sum()),
            low_infinity=float(weights[values == -np.inf].sum()),
            high_infinity=float(weights[values == np.inf].sum()),
        )

    @property
    def total(self) -> float:
        """The mass of all finite numbers."""
        return float(self.masses.sum())

    def told(self) -> Spread:
        """Ends and moments of the finite numbers, of which there must be some."""
        if self.spread is not None:
            return self.spread
        with np.errstate(over="ignore", invalid="ignore"):  # past 1e308 the answer is an infinity
            mean = float(np.dot(self.values, self.masses) / self.total)
            deviations = float(np.dot((self.values - mean) ** 2, self.masses))
        return Spread(self.total, float(self.values[0]), float(self.values[-1]), mean, deviations)

    def merge(self, other: NumberMasses, most: int) -> NumberMasses:
        """Of both, `most` different numbers at most; then neighbours share points."""
        values, masses = _summed(
            np.concatenate([self.values, other.values]), np.concatenate([self.masses, other.masses])
        )
        error, spread = self.error + other.error, None
        if self.spread or other.spread or len(values) > most:
            told = [part.told() for part in (self, other) if len(part.values)]
            spread = told[0] if len(told) == 1 else told[0].merge(told[1])
        if len(values) > most:
            values, masses, thinned = _thinned(values, masses, most // 2)
            error += thinned
        return NumberMasses(
            values,
            masses,
            self.nan + other.nan,
            self.low_infinity + other.low_infinity,
            self.high_infinity + other.high_infinity,
            error,
            spread,
        )


@dataclass(frozen=True, slots=True)
class TextMasses:
    """Different texts with their masses; `total` is that of all, `error` how much the mass of one may be too low."""

    values: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    masses: Floats = field(default_factory=lambda: np.empty(0))
    total: float = 0.0
    error: float = 0.0

    @staticmethod
    def of(values: pa.ChunkedArray, weights: Floats) -> TextMasses:
        """Of each value once."""
        summed = _by_text(values, weights)
        return TextMasses(*summed, total=float(weights.sum()))

    def merge(self, other: TextMasses, most: int) -> TextMasses:
        """Of both; past `most` the lighter half is left out (Misra and Gries 1982)."""
        if not len(self.values):
            return other
        both = pa.chunked_array([self.values, other.values])
        values, masses = _by_text(both, np.concatenate([self.masses, other.masses]))
        error = self.error + other.error
        if len(values) > most:
            least = float(np.partition(masses, -most // 2 - 1)[-most // 2 - 1])
            kept = np.flatnonzero(masses > least)
            values, masses, error = values.take(pa.array(kept)), masses[kept] - least, error + least
        return TextMasses(values, masses, self.total + other.total, error)

    def ranked(self, most: int) -> Sequence[tuple[str, float]]:
        """The heaviest, of equally heavy ones the later in order first; all long texts as one."""
        long = pa.array(pc.binary_length(self.values).to_numpy(zero_copy_only=False) > LONGEST_RANKED)
        named = pc.if_else(long, pa.scalar(LONG_TEXTS, self.values.type), self.values)
        values, masses = _by_text(pa.chunked_array([named]), self.masses)
        pairs = zip(masses.tolist(), values.to_pylist(), strict=True)
        return [(value, mass) for mass, value in sorted(pairs, reverse=True)[:most]]


def _by_text(values: pa.ChunkedArray, weights: Floats) -> tuple[pa.Array, Floats]:
    sums = pa.table({"v": values, "w": weights}).group_by("v").aggregate([("w", "sum")]).combine_chunks()
    texts = sums.column("v")
    return (
        texts.chunk(0) if texts.num_chunks else pa.array([], values.type),
        sums.column("w_sum").to_numpy().astype(np.float64),
    )


def _summed(values: Floats, masses: Floats) -> tuple[Floats, Floats]:
    """In order, equal numbers as one."""
    order = np.argsort(values, kind="stable")
    values, masses = values[order], masses[order]
    if not len(values):
        return values, masses
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[starts], np.add.reduceat(masses, starts)


def _thinned(values: Floats, masses: Floats, points: int) -> tuple[Floats, Floats, float]:
    """So many points of nearly equal mass at most, each the middle of the numbers that it stands for, and the most of a mass."""
    ends = np.cumsum(masses)
    bins = np.minimum((ends - masses / 2) * (points / ends[-1]), points - 1).astype(np.int64)
    starts = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
    stops = np.append(starts[1:], len(values))
    sums = np.add.reduceat(masses, starts)
    merged = sums[stops - starts > 1]
    return values[(starts + stops - 1) // 2], sums, float(merged.max()) if len(merged) else 0.0
