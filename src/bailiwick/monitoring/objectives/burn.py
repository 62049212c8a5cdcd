"""When a promise is being broken fast enough to tell somebody, and what such an alarm may be wrong about.

Pairs of windows as in chapter 5 of "The Site Reliability Workbook" (multiwindow, multi-burn-rate alerts): the long one
says that it matters, the short one that it still goes on. Where that book compares rates, which at ten requests an hour
raises an alarm for every second failure, the long window here must exceed its rate by an exact binomial test.
"""

from __future__ import annotations

from dataclasses import dataclass

from bailiwick.core.deferred import deferred
from bailiwick.monitoring.objectives.model import Burn

binomial = deferred("scipy.special")

MINUTES_OF_BUDGET = 30 * 24 * 60


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows, in minutes, and the burn rate above which both must be."""

    long: int
    short: int
    rate: float


PAIRS = (Pair(60, 5, 14.4), Pair(6 * 60, 30, 6.0), Pair(3 * 24 * 60, 6 * 60, 1.0))
WINDOWS = tuple(sorted({minutes for pair in PAIRS for minutes in (pair.long, pair.short)}))

LOOK_MS = 5_000
FALSE_ALARMS, PERIOD_DAYS = 1.0, 90
ALPHA = FALSE_ALARMS / (PERIOD_DAYS * 86_400_000 / LOOK_MS * len(PAIRS))
"""Chance of a false alarm at each look at each pair: together at most one in 90 days is expected of an objective that burns
just at its rates, with requests that fail independently of one another."""


def burning(burns: dict[int, Burn], budget: float) -> Pair | None:
    """The first pair whose rate is exceeded in both windows, in the long one beyond chance. `budget` is the share of requests that may be bad."""
    for pair in PAIRS:
        long, short = burns[pair.long], burns[pair.short]
        allowed = min(pair.rate * budget, 1.0)
        if short.rate > pair.rate and long.rate > pair.rate and tail(long.bad, long.requests, allowed) < ALPHA:
            return pair
    return None


def tail(bad: int, requests: int, share: float) -> float:
    """Chance of at least `bad` bad requests of `requests`, each bad with chance `share`."""
    if bad <= 0:
        return 1.0
    return float(binomial.betainc(bad, requests - bad + 1, share))


def burn(window_minutes: int, requests: int, bad: int, budget: float) -> Burn:
    """The burn rate of a window: 1 uses the budget up just when it ends, 0 not at all."""
    return Burn(window_minutes, requests, bad, bad / requests / budget if requests else 0.0)
