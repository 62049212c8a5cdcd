"""The canary rule: how much traffic a new version has earned, with both errors bounded at every look.

Two metrics are counted per unit: `wrong` (the matured outcome disagrees with the decision of the model) and `failed`
(the call ended in a status of 500 or more). For each, against the control in the same epochs:

* **roll back** when the e-value of "the candidate is no worse" reaches `1 / alpha`. `rollback_alpha` is shared out by
  weighted Bonferroni (`failed_weight`, 0.2 by default, to failures, the rest to wrong predictions), so that a candidate
  no worse in either is rolled back with probability at most `rollback_alpha`, ever;
- **promote** when "the candidate is at least `margin` times worse" is rejected at `promote_beta` for *every* metric, so
  that a candidate that much worse in any one is promoted with probability at most `promote_beta`, ever. Failures rarer
  than `failure_tolerance` (0.5 % of units by default) do not stand in the way: a metric that never fires proves nothing
  by its ratio, so the rate itself may be shown to be small instead;
* otherwise **step** up the ramp, once the step has seen enough units and nothing speaks strongly against the candidate;
* otherwise **hold**. Inconclusive is never a reason to ship.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bailiwick.core.errors import InvalidInput
from bailiwick.rollout.sequential import (
    EpochCounts,
    RatioTest,
    better_than,
    estimated_ratio,
    log_evidence,
    ratio_interval,
    worse_than,
)

WRONG = "wrong"
FAILED = "failed"
_BASIS_POINTS = 10_000


class Action(StrEnum):
    """What a look at the evidence leads to; only people abort."""

    HOLD = "hold"
    STEP = "step"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class CanaryConfig:
    """The rule. `ramp` is in per cent of traffic, strictly rising; a last 100 is the promotion itself and may be left out."""

    ramp: tuple[float, ...] = (1.0, 5.0, 10.0, 25.0, 50.0)
    rollback_alpha: float = 0.01
    promote_beta: float = 0.05
    margin: float = 1.25
    min_units_per_step: int = 1000
    failed_weight: float = 0.2
    failure_tolerance: float = 0.005
    threshold: float = 0.5
    outcome_delay_ms: int = 0

    def __post_init__(self) -> None:
        for name in ("rollback_alpha", "promote_beta", "threshold"):
            if not 0 < getattr(self, name) < 1:
                raise InvalidInput(f"{name} {getattr(self, name)} must lie between 0 and 1, both excluded.")
        for name in ("failed_weight", "failure_tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidInput(f"{name} {getattr(self, name)} must lie between 0 and 1, 1 excluded.")
        if not 1 < self.margin <= 10:
            raise InvalidInput(f"margin {self.margin} must be above 1 and at most 10: 1.25 means 25 % more bad units.")
        if self.min_units_per_step < 1 or self.outcome_delay_ms < 0:
            raise InvalidInput("min_units_per_step must be at least 1 and outcome_delay_ms at least 0.")
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or not 0 < self.steps[0] <= self.steps[-1]:
            raise InvalidInput(
                f"ramp {list(self.ramp)} must rise strictly, in per cent, from above 0 to at most 100.",
                hint="For example [1, 5, 10, 25, 50].",
            )
        if self.steps[-1] >= _BASIS_POINTS or max(self.ramp) > 100:
            raise InvalidInput(
                f"ramp {list(self.ramp)} needs a step below 100 %: without a control nothing is compared."
            )

    @property
    def steps(self) -> tuple[int, ...]:
        """The ramp in basis points, without a final 100 %."""
        points = tuple(round(percent * 100) for percent in self.ramp)
        return points[:-1] if len(points) > 1 and points[-1] == _BASIS_POINTS else points

    @property
    def alphas(self) -> dict[str, float]:
        """The share of `rollback_alpha` each metric may spend; a metric without a share is not watched."""
        shares = {WRONG: 1 - self.failed_weight, FAILED: self.failed_weight}
        return {metric: share * self.rollback_alpha for metric, share in shares.items() if share > 0}


@dataclass(frozen=True, slots=True)
class CanaryState:
    """Where the rollout stands: `step` is an index into the ramp, `epoch` the traffic split that belongs to it."""

    step: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric at one look. The e-values may be compared with `1 / alpha` at any time, as often as one likes."""

    metric: str
    candidate_units: int
    control_units: int
    candidate_bad: int
    control_bad: int
    ratio: float | None
    ratio_low: float
    ratio_high: float | None
    worse: float
    worse_needed: float
    acceptable: float
    acceptable_needed: float
    events_needed: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision with everything it rests on; `reason` is one sentence for people."""

    action: Action
    reason: str
    readings: tuple[Reading, ...]


Evidence = Mapping[str, Sequence[EpochCounts]]
"""Counts of each metric, epoch by epoch."""


def decide(config: CanaryConfig, state: CanaryState, evidence: Evidence) -> Verdict:
    """Roll back, promote, step or hold. Pure: the same evidence always leads to the same verdict."""
    readings = tuple(read(config, metric, evidence.get(metric, ())) for metric in config.alphas)
    worst = max(readings, key=lambda reading: reading.worse / reading.worse_needed)
    if worst.worse >= worst.worse_needed:
        return Verdict(Action.ROLLBACK, _rollback_reason(config, worst), readings)
    if all(reading.acceptable >= reading.acceptable_needed for reading in readings):
        return Verdict(Action.PROMOTE, _promote_reason(config), readings)
    seen = sum(counts.units for counts in evidence.get(WRONG, ()) if counts.epoch >= state.epoch)
    if state.step + 1 < len(config.steps) and seen >= config.min_units_per_step:
        if all(reading.worse < step_limit(reading.worse_needed) for reading in readings):
            after = config.steps[state.step + 1] / 100
            return Verdict(Action.STEP, f"{seen} units judged at this step without alarm: on to {after:g} %.", readings)
        return Verdict(
            Action.HOLD, f"Evidence against the candidate is growing ({worst.metric}): not one unit more.", readings
        )
    return Verdict(Action.HOLD, _hold_reason(config, state, seen), readings)


def step_limit(needed: float) -> float:
    """The e-value of harm from which on the ramp waits: half way to a rollback, on the log scale."""
    return math.sqrt(needed)


def read(config: CanaryConfig, metric: str, epochs: Sequence[EpochCounts]) -> Reading:
    """The e-values, rate ratio and confidence sequence of one metric."""
    needed, promotion = 1 / config.alphas[metric], 1 / config.promote_beta
    worse, better = worse_than(1.0), better_than(config.margin)
    harm, safety = log_evidence(worse, epochs), log_evidence(better, epochs)
    if metric == FAILED and config.failure_tolerance > 0:
        safety = _either(safety, rarity(epochs, config.failure_tolerance))
    low, high = ratio_interval(epochs, config.promote_beta)
    return Reading(
        metric=metric,
        candidate_units=sum(counts.candidate_units for counts in epochs),
        control_units=sum(counts.control_units for counts in epochs),
        candidate_bad=sum(counts.candidate_bad for counts in epochs),
        control_bad=sum(counts.control_bad for counts in epochs),
        ratio=estimated_ratio(epochs),
        ratio_low=low,
        ratio_high=None if math.isinf(high) else high,
        worse=bounded_exp(harm),
        worse_needed=needed,
        acceptable=bounded_exp(safety),
        acceptable_needed=promotion,
        events_needed=_events_needed(epochs, (worse, math.log(needed) - harm), (better, math.log(promotion) - safety)),
    )


def rarity(epochs: Sequence[EpochCounts], tolerance: float) -> float:
    """Log e-value against "the candidate's bad rate is at least `tolerance`", by a bet on rates of half and a tenth of it."""
    bad = sum(counts.candidate_bad for counts in epochs)
    good = sum(counts.candidate_units for counts in epochs) - bad
    bets = [bad * math.log(part) + good * math.log((1 - part * tolerance) / (1 - tolerance)) for part in (0.5, 0.1)]
    return _either(*bets)


def bounded_exp(log_value: float) -> float:
    """An e-value as a finite float: evidence beyond e^300 reads the same to people and stays valid JSON."""
    return math.exp(min(log_value, 300.0))


def _either(first: float, second: float) -> float:
    top = max(first, second)
    return top + math.log((math.exp(first - top) + math.exp(second - top)) / 2)


def _events_needed(epochs: Sequence[EpochCounts], *tests: tuple[RatioTest, float]) -> int | None:
    """Bad units still needed until the nearer decision, were the estimated ratio the truth at the present share."""
    ratio = estimated_ratio(epochs)
    if ratio is None:
        return None
    share = epochs[-1].share
    growths = [(missing, test.growth(share, ratio)) for test, missing in tests]
    needed = [max(0, math.ceil(missing / growth)) for missing, growth in growths if growth > 1e-6]
    return min(needed, default=None)


def _rollback_reason(config: CanaryConfig, reading: Reading) -> str:
    ratio = f"{reading.ratio:.2f}" if reading.ratio is not None else "?"
    return (
        f"The candidate has {ratio} times the control's rate of {reading.metric} predictions ({reading.candidate_bad} of "
        f"{reading.candidate_units} units against {reading.control_bad} of {reading.control_units}); were it no worse, "
        f"this would happen at most once in {1 / config.rollback_alpha:.0f} rollouts."
    )


def _promote_reason(config: CanaryConfig) -> str:
    return (
        f"A candidate {config.margin:g} times worse would look this good at most once in "
        f"{1 / config.promote_beta:.0f} rollouts."
    )


def _hold_reason(config: CanaryConfig, state: CanaryState, seen: int) -> str:
    if state.step + 1 >= len(config.steps):
        return f"Inconclusive at the last step after {seen} judged units: holding until the evidence decides."
    return f"{seen} of the {config.min_units_per_step} judged units that this step needs."
