"""The e-detector: has the mean of a loss in [0, 1] risen above its baseline, without knowing when it would?

Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (NEJSDS 2023), with
bets `1 + fraction * (loss - baseline)` mixed over several fractions in Shiryaev-Roberts form: before each loss some
mass *starts*, then everything is multiplied by the bet. While the mean of each loss, given the past, is at most the
baseline, the mixture exceeds what was started by nothing on average. Stopping when it reaches `threshold` therefore
takes at least `threshold` units of started mass on average, for any distribution and any dependence of that kind.

One unit started at each observation gives an average run length of `threshold` observations. One unit at the first
observation of each window gives one of `threshold` *windows*, which is what a budget of false alarms speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bailiwick.core.deferred import deferred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
else:
    np = deferred("numpy")

Floats: TypeAlias = "NDArray[np.float64]"

_BETS = 8
_BOLDEST = 0.75
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Detector:
    """The rule: `baseline` is the highest mean that is in order, in (0, 1); `threshold` the run length promised."""

    baseline: float
    threshold: float

    @property
    def fractions(self) -> Floats:
        """Bets from a tenth of the loss's scale to three quarters of what ruin would allow; none can lose everything."""
        boldest = _BOLDEST / self.baseline
        return np.asarray(np.geomspace(min(0.1, boldest / 10), boldest, _BETS))


@dataclass(frozen=True, slots=True)
class DetectorState:
    """What has been seen: one value a bet, and counts. All JSON; an empty `values` is a fresh start."""

    values: tuple[float, ...] = ()
    observations: int = 0
    alarms: int = 0


@dataclass(frozen=True, slots=True)
class Detection:
    """After some losses: the state to keep, the index of the loss that alarmed (or None), and the highest evidence seen.

    `evidence` is relative to the threshold: 1 is an alarm.
    """

    state: DetectorState
    alarm: int | None
    evidence: float


def each_observation(count: int) -> Floats:
    """Starts for a run length counted in observations."""
    return np.ones(count)


def each_window(count: int) -> Floats:
    """Starts for a run length counted in windows: one at the first of the window's observations."""
    return np.asarray(np.arange(count) == 0, dtype=np.float64)


def detect(rule: Detector, state: DetectorState, losses: ArrayLike, starts: Floats) -> Detection:
    """Feed losses in event order. At an alarm the state starts afresh and the remaining losses are left out."""
    loss = np.clip(np.asarray(losses, dtype=np.float64), 0.0, 1.0)
    values = np.asarray(state.values or np.zeros(_BETS), dtype=np.float64)
    peak = float(values.mean()) / rule.threshold
    for begin in range(0, loss.size, _CHUNK):
        path = _path(rule, values, loss[begin : begin + _CHUNK], starts[begin : begin + _CHUNK])
        evidence = path.mean(axis=1) / rule.threshold
        peak = max(peak, float(evidence.max()))
        over = np.flatnonzero(evidence >= 1.0)
        if over.size:
            at = begin + int(over[0])
            fresh = DetectorState((0.0,) * _BETS, state.observations + at + 1, state.alarms + 1)
            return Detection(fresh, at, float(evidence[over[0]]))
        values = path[-1]
    kept = DetectorState(tuple(values.tolist()), state.observations + loss.size, state.alarms)
    return Detection(kept, None, peak)


def _path(rule: Detector, values: Floats, loss: Floats, starts: Floats) -> Floats:
    """Shape (losses, bets): `value = bet * (value + start)`, unrolled as `product * (value + sum of start / product before)`."""
    bets = 1.0 + rule.fractions[None, :] * (loss[:, None] - rule.baseline)
    with np.errstate(over="ignore"):
        product = np.cumprod(bets, axis=0)
        before = np.vstack([np.ones((1, bets.shape[1])), product[:-1]])
        return np.asarray(np.minimum(product * (values + np.cumsum(starts[:, None] / before, axis=0)), 1e300))
