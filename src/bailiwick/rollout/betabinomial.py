"""The same test at one constant share, mixed over a Beta prior: closed form, and the way to a Bernoulli confidence sequence.

Formulas: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences"
(Annals of Statistics 2021), as in their `confseq` library, whose unit tests give the golden numbers of ours.
"""

from __future__ import annotations

import math

import numpy as np


def log_evidence(successes: float, failures: float, null: float, concentration: float, *, greater: bool) -> float:
    """Log e-value against a success probability of `null`, by a Beta prior of mean `null` and weight `concentration`.

    `greater` truncates the prior to probabilities above `null`, which makes it valid for every one below too.
    """
    prior = (concentration * (1 - null), concentration * null)
    posterior = (prior[0] + failures, prior[1] + successes)
    reach = 1 - null if greater else 1.0
    mixed = _log_incomplete_beta(*posterior, reach) - _log_incomplete_beta(*prior, reach)
    return float(mixed - successes * math.log(null) - failures * math.log1p(-null))


def _log_incomplete_beta(a: float, b: float, x: float) -> float:
    from scipy.special import betainc, betaln  # imported here: 14 MB that only a confidence interval needs

    mass = betainc(a, b, x)
    return float(betaln(a, b) + np.log(mass)) if mass > 0 else -math.inf


def concentration_for(events: float, alpha: float = 0.05, *, greater: bool = False) -> float:
    """The prior weight under which the bound is tightest after about `events` observations."""
    level = 2 * math.log(1 / (2 * alpha if greater else alpha))
    return max(events / (level + math.log1p(level)) - 1, 1e-3)


def bernoulli_interval(successes: int, trials: int, alpha: float, tightest: float) -> tuple[float, float]:
    """A confidence sequence for a probability: valid at all `trials` together, tightest after about `tightest` of them."""
    from scipy.optimize import brentq  # imported here, as above

    weight = concentration_for(tightest)
    seen = successes / trials

    def excess(p: float) -> float:
        return log_evidence(successes, trials - successes, p, weight, greater=False) + math.log(alpha)

    edge = 1e-12
    low = 0.0 if successes == 0 or excess(edge) < 0 else float(brentq(excess, edge, seen))
    high = 1.0 if successes == trials or excess(1 - edge) < 0 else float(brentq(excess, seen, 1 - edge))
    return low, high
