"""Has a column moved by more than matters? Effect minus confidence bound, over a relevance margin.

Numbers: Kolmogorov–Smirnov distance over the frozen cells, missing first, with the two-sample DKW bound
√(ln(2/a)/2·(n+m)/nm). Categories: total variation TV less its expected sampling noise ½Σ√(2/π·p(1-p)(1/n+1/m)) with
McDiarmid's bound √(ln(1/a)/2·(1/n+1/m)), and beside it the largest move of a single category by Clopper–Pearson limits
under Bonferroni, for TV is weak when one category of many moves. Both distances are shares of rows: margin 0.05 means
"less than one row in twenty is elsewhere".

The p-value of a column is that of "the true distance is at most the margin"; Benjamini–Hochberg at `alpha` decides over
the columns of one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import CategoricalProfile, FeatureProfile, Floats, NumericProfile, Profile

if TYPE_CHECKING:
    import numpy as np
    from scipy import special
else:
    np = deferred("numpy")
    special = deferred("scipy.special")

_SMALLEST_P = 1e-12  # below this a p-value is not told apart
_CANDIDATES = 5  # categories whose limits are computed: the farthest moved, which can only raise the p-value


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """The verdict on one column.

    `distance` is the observed one (KS or TV, in shares of rows); `bound` a lower confidence bound of the true distance,
    at the level that Benjamini–Hochberg gave this call, so that `drifted` is exactly "bound reaches the margin";
    `where` names the cell or category that moved most, for people.
    """

    feature: str
    kind: Literal["numeric", "categorical"]
    distance: float
    bound: float
    p_value: float
    drifted: bool
    where: str


@dataclass(frozen=True, slots=True)
class _Cells:
    """Shares of one column on both sides, and everything about sampling that its tests need."""

    feature: FeatureProfile
    reference: Floats
    current: Floats
    n: int
    m: int

    @property
    def noise(self) -> float:
        """1/n + 1/m: the variance of a difference of shares, per p(1-p)."""
        return 1 / self.n + 1 / self.m if self.n and self.m else math.inf


def compare(reference: Profile, current: Profile, *, alpha: float, margin: float = 0.05) -> list[FeatureDrift]:
    """One verdict a column, in the profile's order; `reference` and `current` must have the same bins.

    Guarantee, for one call, when rows are independent draws and no column's true distance exceeds `margin`: the chance
    that any column is called drifted is at most `alpha` (Benjamini–Hochberg under independence or positive dependence;
    under any dependence whatever at most `alpha`·(1+1/2+…+1/K) for K columns). When some columns have drifted, at most a
    share `alpha` of those reported is expected to be false.

    How firm: where nothing changed and the margin is 0.05, false alarms are rarer than promised by orders of magnitude,
    and the promise for numbers is proven (the DKW constant 2 holds for two samples within a factor e/2, Wei and Dudley
    2012, which the margin repays many times). At a true distance of just the margin the numeric bound is asymptotic; the
    noise of categories takes the pooled shares for the true ones. Simulations of both are in the tests.
    Over many calls alarms add up: the caller divides its budget among them. Raises InvalidInput for different bins, or
    alpha or margin outside (0, 1) and [0, 1).
    """
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha {alpha} is not a probability between 0 and 1.")
    if not 0 <= margin < 1:
        raise InvalidInput(f"margin {margin} must be at least 0 and less than 1: it is a share of rows.")
    if not reference.same_bins(current):
        raise InvalidInput("The profiles have different bins.", hint="Count both with the bins of one reference.")
    cells = [
        # Each column's own rows: a reference may hold more rows of its inputs than of its predictions.
        _cells(mine, theirs, sum(theirs.counts), sum(mine.counts))
        for mine, theirs in zip(reference.features, current.features, strict=True)
    ]
    p_values = [_p_value(column, margin) for column in cells]
    drifted = benjamini_hochberg(p_values, alpha)
    level = alpha * max(1, sum(drifted)) / max(1, len(cells))
    return [
        FeatureDrift(
            feature=column.feature.name,
            kind="numeric" if isinstance(column.feature, NumericProfile) else "categorical",
            distance=_distance(column),
            bound=max(0.0, _lower_bound(column, level)),
            p_value=p_value,
            drifted=verdict,
            where=_where(column),
        )
        for column, p_value, verdict in zip(cells, p_values, drifted, strict=True)
    ]


def benjamini_hochberg(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected at false discovery rate `alpha` (Benjamini and Hochberg 1995, step-up)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    passed = [rank for rank, i in enumerate(order, start=1) if p_values[i] <= rank * alpha / len(p_values)]
    rejected = set(order[: max(passed, default=0)])
    return [i in rejected for i in range(len(p_values))]


def _cells(reference: FeatureProfile, current: FeatureProfile, n: int, m: int) -> _Cells:
    then, now = np.array(reference.counts, dtype=float), np.array(current.counts, dtype=float)
    if isinstance(reference, CategoricalProfile):
        then, now = _open_cell(then), _open_cell(now)
        then[-2] += reference.unseen * m  # Good–Turing: what the reference had no luck to see is no news
    return _Cells(reference, then / max(1.0, then.sum()), now / max(1.0, now.sum()), n, m)


def _open_cell(counts: Floats) -> Floats:
    """OTHER and UNSEEN as one cell: which value was rare and which absent is chance of the reference."""
    return np.concatenate((counts[:-3], [counts[-3] + counts[-2], counts[-1]]))


def _distance(column: _Cells) -> float:
    if not column.n or not column.m:
        return 0.0
    moved = column.current - column.reference
    if isinstance(column.feature, NumericProfile):
        return float(np.abs(np.cumsum(moved)).max())
    return float(np.abs(moved).sum() / 2)


def _p_value(column: _Cells, margin: float) -> float:
    """Of "the true distance is at most `margin`"; 1 where either side has no rows."""
    if not column.n or not column.m:
        return 1.0
    if isinstance(column.feature, NumericProfile):
        excess = max(0.0, _distance(column) - margin)
        return _clip(2 * math.exp(-2 * excess**2 / column.noise))
    excess = max(0.0, _distance(column) - _expected_noise(column, column.feature) - margin)
    variation = math.exp(-2 * excess**2 / column.noise)
    return _clip(2 * min(variation, _largest_move_p_value(column, column.feature, margin)))


def _lower_bound(column: _Cells, level: float) -> float:
    """The margin at which `_p_value` would be `level`."""
    if not column.n or not column.m:
        return 0.0
    if isinstance(column.feature, NumericProfile):
        return _distance(column) - math.sqrt(math.log(2 / level) / 2 * column.noise)
    slack = math.sqrt(math.log(2 / level) / 2 * column.noise)  # each of the two tests has half the level
    variation = _distance(column) - _expected_noise(column, column.feature) - slack
    return max(variation, float(_largest_moves(column, column.feature, np.array([level / 2])).max()))


def _expected_noise(column: _Cells, feature: CategoricalProfile) -> float:
    """Mean TV of two samples that do not differ; `spread` stands for rare values that might have been cells instead."""
    pooled = (column.n * column.current + column.m * column.reference) / (column.n + column.m)
    deviations = np.sqrt(pooled * (1 - pooled)).sum() + feature.spread
    return float(0.5 * math.sqrt(2 / math.pi * column.noise) * deviations)


def _largest_moves(column: _Cells, feature: CategoricalProfile, levels: Floats) -> Floats:
    """Lower bounds, one row a candidate category and one column a level, of |p - q| over all categories at once.

    A move is bounded by the Clopper–Pearson limits of its two shares. Four limits a category, of as many categories as
    the reference might have singled out, share the level.
    """
    n, m = column.n, column.m
    p, q = column.current, column.reference
    pooled = (n * p + m * q) / (n + m)
    score = np.abs(p - q) / np.sqrt(pooled * (1 - pooled) + 1 / (n + m))
    chosen = np.argsort(-score, kind="stable")[:_CANDIDATES]
    rising = p[chosen] >= q[chosen]
    high, high_size = np.where(rising, p[chosen], q[chosen]), np.where(rising, n, m)
    low, low_size = np.where(rising, q[chosen], p[chosen]), np.where(rising, m, n)
    each = levels / (4 * max(feature.distinct, len(p)))
    upper = _upper_limit(low[:, None], low_size[:, None], each)
    luck = np.where(chosen == len(p) - 2, _luck_of_choice(column, feature), 0.0)
    return _lower_limit(high[:, None], high_size[:, None], each) - upper - luck[:, None]


def _luck_of_choice(column: _Cells, feature: CategoricalProfile) -> float:
    """How much of the open cell's move may be due to categories having been chosen for being frequent in the reference.

    Those chosen were luckier than those left to the open cell, by no more than the reference's own sampling noise.
    """
    if not feature.spread and not feature.unseen:
        return 0.0  # every value has its own cell: nothing was chosen
    deviations = np.sqrt(column.reference * (1 - column.reference)).sum() + feature.spread
    return float(0.5 * math.sqrt(2 / math.pi / column.m) * deviations)


def _largest_move_p_value(column: _Cells, feature: CategoricalProfile, margin: float) -> float:
    """The least level at which some category's move is bounded above the margin, by bisection on its logarithm."""
    low, high = math.log(_SMALLEST_P), 0.0
    if _largest_moves(column, feature, np.array([1.0])).max() < margin:
        return 1.0
    while high - low > 1e-3:
        levels = np.linspace(low, high, 18)[1:-1]
        reached = (_largest_moves(column, feature, np.exp(levels)) >= margin).any(axis=0)
        first = int(np.argmax(reached)) if reached.any() else len(levels)
        grid = np.concatenate(([low], levels, [high]))
        low, high = float(grid[first]), float(grid[first + 1])
    return math.exp(high)


def _lower_limit(share: Floats, size: Floats, level: Floats) -> Floats:
    """Clopper and Pearson's lower limit of a binomial share, one-sided."""
    successes = share * size
    limit = special.betaincinv(np.maximum(successes, 1e-9), size - successes + 1, level)
    return np.asarray(np.where(successes > 0, limit, 0.0))


def _upper_limit(share: Floats, size: Floats, level: Floats) -> Floats:
    """Clopper and Pearson's upper limit of a binomial share, one-sided."""
    successes = share * size
    limit = special.betainccinv(successes + 1, np.maximum(size - successes, 1e-9), level)
    return np.asarray(np.where(successes < size, limit, 1.0))


def _clip(p_value: float) -> float:
    return min(1.0, max(_SMALLEST_P, p_value))


def _where(column: _Cells) -> str:
    moved = column.current - column.reference
    if not np.any(moved):
        return ""
    if isinstance(column.feature, NumericProfile):
        cell = int(np.argmax(np.abs(np.cumsum(moved))))
        if cell == 0 or not column.feature.edges:
            return "missing"
        return f"≤ {column.feature.edges[min(cell, len(column.feature.edges)) - 1]:.6g}"
    cell = int(np.argmax(np.abs(moved)))
    named = [*column.feature.categories, "other or unseen values", "missing"]
    return named[cell]
