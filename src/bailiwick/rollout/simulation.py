"""What a canary rule would do before it is used: promised against realised error rates, by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bailiwick.rollout.canary import WRONG, CanaryConfig, step_limit
from bailiwick.rollout.sequential import better_than, worse_than

_RUNNING, _ROLLED_BACK, _PROMOTED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Simulated:
    """Shares of `repetitions` rollouts that ended each way, and the median number of units until the end (capped)."""

    ratio: float
    rollback_rate: float
    promote_rate: float
    undecided_rate: float
    median_units: float
    repetitions: int
    false_decision: str
    promised: float | None

    @property
    def realised(self) -> float | None:
        """The simulated rate of the decision that would be wrong at this ratio; None where neither is."""
        return {"rollback": self.rollback_rate, "promotion": self.promote_rate}.get(self.false_decision)

    @property
    def standard_error(self) -> float:
        """Monte-Carlo error of a rate at the promised level (or at one half, the widest)."""
        rate = 0.5 if self.promised is None else self.promised
        return math.sqrt(rate * (1 - rate) / self.repetitions)


def steady(base_rate: float) -> Callable[[int], float]:
    """A control that is bad at one rate for ever."""
    return lambda _units: base_rate


def oscillating(base_rate: float, *, swing: float = 0.5, period_units: int = 20_000) -> Callable[[int], float]:
    """A control whose bad rate swings by `swing` of itself, as a day's traffic does."""
    return lambda units: base_rate * (1 + swing * math.sin(2 * math.pi * units / period_units))


def simulate(
    config: CanaryConfig,
    base_rate: float | Callable[[int], float],
    ratio: float,
    *,
    repetitions: int = 2000,
    look_every: int = 500,
    max_units: int = 1_000_000,
    seed: int = 1,
) -> Simulated:
    """Run the rule on rollouts whose candidate is `ratio` times as often wrong, deciding after every `look_every` units.

    Failures are left out (none happen), so the rule spends the wrong predictions' share of `rollback_alpha`.
    """
    rate = steady(base_rate) if isinstance(base_rate, float) else base_rate
    runs = _Runs(config, repetitions, np.random.default_rng(seed))
    for units in range(look_every, max_units + 1, look_every):
        runs.look(look_every, rate(units), ratio, units)
        if not runs.active.size:
            break
    runs.units[runs.active] = max_units
    false_decision = "rollback" if ratio <= 1 else "promotion" if ratio >= config.margin else ""
    promised = {"rollback": config.alphas[WRONG], "promotion": config.promote_beta}.get(false_decision)
    return Simulated(
        ratio=ratio,
        rollback_rate=float((runs.outcome == _ROLLED_BACK).mean()),
        promote_rate=float((runs.outcome == _PROMOTED).mean()),
        undecided_rate=float((runs.outcome == _RUNNING).mean()),
        median_units=float(np.median(runs.units)),
        repetitions=repetitions,
        false_decision=false_decision,
        promised=promised,
    )


class _Runs:
    """All repetitions at once: bad counts per ramp step are the whole state, as they are for `decide`."""

    def __init__(self, config: CanaryConfig, repetitions: int, rng: np.random.Generator) -> None:
        self.config = config
        self.rng = rng
        self.shares = np.asarray(config.steps) / 10_000
        self.harm, self.safety = worse_than(1.0), better_than(config.margin)
        self.limits = (math.log(1 / config.alphas[WRONG]), math.log(1 / config.promote_beta))
        self.bad: NDArray[np.int64] = np.zeros((repetitions, self.shares.size, 2), dtype=np.int64)
        self.step = np.zeros(repetitions, dtype=np.int64)
        self.seen = np.zeros(repetitions, dtype=np.int64)
        self.outcome = np.zeros(repetitions, dtype=np.int64)
        self.units = np.zeros(repetitions)
        self.active = np.arange(repetitions)

    def look(self, units: int, base_rate: float, ratio: float, total: int) -> None:
        """Let `units` more units arrive in every undecided run, then decide."""
        runs = self.active
        step = self.step[runs]
        candidate = self.rng.binomial(units, self.shares[step])
        self.bad[runs, step, 0] += self.rng.binomial(candidate, min(1.0, base_rate * ratio))
        self.bad[runs, step, 1] += self.rng.binomial(units - candidate, base_rate)
        self.seen[runs] += units
        harm = self.harm.log_evidence(self.shares, self.bad[runs, :, 0], self.bad[runs, :, 1])
        safety = self.safety.log_evidence(self.shares, self.bad[runs, :, 0], self.bad[runs, :, 1])
        rolled_back = harm >= self.limits[0]
        promoted = ~rolled_back & (safety >= self.limits[1])
        self._finish(runs[rolled_back], _ROLLED_BACK, total)
        self._finish(runs[promoted], _PROMOTED, total)
        calm = harm < math.log(step_limit(math.exp(self.limits[0])))
        ready = calm & (self.seen[runs] >= self.config.min_units_per_step) & (step + 1 < self.shares.size)
        self.step[runs[ready]] += 1
        self.seen[runs[ready]] = 0
        self.active = runs[~rolled_back & ~promoted]

    def _finish(self, runs: NDArray[np.int64], outcome: int, total: int) -> None:
        self.outcome[runs] = outcome
        self.units[runs] = total
