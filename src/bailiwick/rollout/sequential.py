"""The count e-process: are bad units of the candidate too many for its share of traffic?

Assignment hashes each unit into the candidate with a known probability `share`. Therefore, given that a unit was bad,
it came from the candidate with probability `share * ratio / (share * ratio + 1 - share)`, where `ratio` is the
candidate's bad rate over the control's. The bad rate itself cancels, so outages, rush hours and ramps do no harm.

Assumptions, all under the reader's control:

* One count a unit, at its first bad event: several events of one user are one piece of evidence, not many.
* `share` is the share of *units that could have been counted*. Assignment is independent of what happens to a unit
  later, so for cohorts that are counted whole (failures at once; outcomes only of predictions old enough to have
  matured) that is the planned weight of the epoch, exactly. The observed share would be a noisy copy of it, and
  counting whatever labels happen to be there would not be valid: a late label in one arm looks like a good unit.
* Units that return keep their bucket, and a ramp only adds buckets to the candidate. Given no bad event before, a unit
  is still in the candidate with probability `share` when both arms are alike; when they differ, the ratio tested is
  that of units *ever* bad, which lies between 1 and the ratio per event.
* `share` of an epoch is fixed before its units arrive. It may depend on everything seen in earlier epochs (a ramp).

Likelihood ratios against one null ratio multiply over bad units and are averaged over a grid of alternatives; the
product is a martingale at the null ratio. The binomial has a monotone likelihood ratio, so it is a supermartingale for
every ratio on the null's far side: `P(it ever reaches 1/alpha) <= alpha` (Ville). Everything is in log space, and the
bad counts per epoch are sufficient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
else:
    np = deferred("numpy")

Floats: TypeAlias = "NDArray[np.float64]"

_WORSE = (1.05, 16.0, 32)  # from, to, how many, evenly in ratio
_BETTER = (1.05, 3.0, 20)
_LOWEST, _HIGHEST = math.log(1e-3), math.log(1e3)


@dataclass(frozen=True, slots=True)
class EpochCounts:
    """What one epoch of constant traffic split showed: `share` is the candidate's planned weight, in (0, 1)."""

    epoch: int
    share: float
    candidate_units: int
    control_units: int
    candidate_bad: int
    control_bad: int

    @property
    def units(self) -> int:
        """Units of both variants that could have been counted."""
        return self.candidate_units + self.control_units


def candidate_probability(share: ArrayLike, ratio: ArrayLike) -> Floats:
    """Probability that a bad unit is the candidate's, when its bad rate is `ratio` times the control's."""
    weighted = np.asarray(share, dtype=np.float64) * np.asarray(ratio, dtype=np.float64)
    return np.asarray(weighted / (weighted + 1.0 - np.asarray(share, dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class RatioTest:
    """A one-sided test of the rate ratio against `null`, with evidence averaged over `alternatives` on one side of it."""

    null: float
    alternatives: tuple[float, ...]

    def log_evidence(self, shares: ArrayLike, candidate_bad: ArrayLike, control_bad: ArrayLike) -> Floats:
        """Natural log of the e-value. Counts have shape `(..., epochs)`, `shares` `(epochs,)`; the result `(...)`."""
        share = np.asarray(shares, dtype=np.float64)[:, None]
        alternative = candidate_probability(share, np.asarray(self.alternatives)[None, :])
        null = candidate_probability(share, self.null)
        candidate = np.asarray(candidate_bad, dtype=np.float64) @ np.log(alternative / null)
        control = np.asarray(control_bad, dtype=np.float64) @ np.log((1.0 - alternative) / (1.0 - null))
        return log_mean_exp(candidate + control)

    def growth(self, share: float, ratio: float) -> float:
        """Expected log evidence a bad unit adds at `share` when `ratio` is the truth, for the best alternative; never negative."""
        truth = candidate_probability(share, ratio)
        alternative = candidate_probability(share, np.asarray(self.alternatives))
        null = candidate_probability(share, self.null)
        gain = truth * np.log(alternative / null) + (1.0 - truth) * np.log((1.0 - alternative) / (1.0 - null))
        return max(0.0, float(gain.max()))


def worse_than(null: float) -> RatioTest:
    """Rejects `ratio <= null`: evidence that the candidate is worse than that, looked for up to 16 times as bad."""
    return RatioTest(null, tuple(null * np.geomspace(*_WORSE)))


def better_than(null: float) -> RatioTest:
    """Rejects `ratio >= null`: evidence that the candidate is better than that, down to a third of it.

    A wider grid would be quicker to promote on a handful of bad units that happened to be the control's.
    """
    return RatioTest(null, tuple(null / np.geomspace(*_BETTER)))


def log_mean_exp(values: Floats) -> Floats:
    """Log of the mean of exponentials over the last axis, without overflow."""
    top = values.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(values - top).mean(axis=-1)))


def log_evidence(test: RatioTest, epochs: Sequence[EpochCounts]) -> float:
    """Log e-value of `test` after `epochs`; 0 (an e-value of 1) without any."""
    if not epochs:
        return 0.0
    counts = [(epoch.share, epoch.candidate_bad, epoch.control_bad) for epoch in epochs]
    shares, candidate, control = np.asarray(counts, dtype=np.float64).T
    return float(test.log_evidence(shares, candidate, control))


def estimated_ratio(epochs: Sequence[EpochCounts]) -> float | None:
    """The most likely rate ratio, between 0.001 and 1000; None before any bad unit was seen."""
    if not any(epoch.candidate_bad + epoch.control_bad for epoch in epochs):
        return None
    low, high = _LOWEST, _HIGHEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(epochs, middle) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def _score(epochs: Sequence[EpochCounts], log_ratio: float) -> float:
    ratio = math.exp(log_ratio)
    expected = [epoch.share * ratio / (epoch.share * ratio + 1 - epoch.share) for epoch in epochs]
    pairs = zip(epochs, expected, strict=True)
    return sum(epoch.candidate_bad - (epoch.candidate_bad + epoch.control_bad) * p for epoch, p in pairs)


def ratio_interval(epochs: Sequence[EpochCounts], alpha: float) -> tuple[float, float]:
    """A confidence sequence for the rate ratio: covers the truth at all looks together with probability `1 - alpha`.

    It holds the null ratios that a two-sided grid mixture has not rejected; (0, inf) while there is nothing to reject.
    """
    if not epochs:
        return 0.0, math.inf
    counts = [(epoch.share, epoch.candidate_bad, epoch.control_bad) for epoch in epochs]
    shares, candidate, control = np.asarray(counts, dtype=np.float64).T
    ratios = np.exp(np.linspace(_LOWEST, _HIGHEST, 4001))
    p = candidate_probability(shares[:, None], ratios[None, :])
    likelihood = candidate @ np.log(p) + control @ np.log1p(-p)
    mixed = log_mean_exp(likelihood[::40])
    kept = np.flatnonzero(mixed - likelihood < math.log(1 / alpha))
    low = 0.0 if kept[0] == 0 else float(ratios[kept[0] - 1])
    high = math.inf if kept[-1] == ratios.size - 1 else float(ratios[kept[-1] + 1])
    return low, high
