"""Whether a form is no worse than the version, with a stated error: paired non-inferiority tests, held together by Holm.

For one form the rows' losses are paired with the version's, and "it is worse by the margin or more" is what must be
refuted. The test is a one-sided t test whose statistic is corrected for the skewness of the differences (Hall's
transformation, *On the Removal of Skewness by Transformation*, 1992): losses of a few rows that change much are skewed,
and there the plain t test passes up to twice as many bad forms as it says (`docs/decisions/0020`). Of all forms that are judged together the
chance that any bad one passes is at most `ERROR` (Holm 1979), whichever is then picked, and however they depend on one
another. Rows are taken as independent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ERROR = 0.05
"""The chance that any form of a version passes that is worse than it may be."""


def refuted(differences: NDArray[np.float64], margin: float) -> float:
    """P value of "their mean is `margin` or more"; exact in what it knows where all differences are the same."""
    count = len(differences)
    if count < 2 or not np.isfinite(differences).all():
        return 1.0
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread <= 1e-12 * max(1.0, abs(mean)):
        return 0.0 if mean < margin else 1.0
    from scipy.special import stdtr

    skew = float(np.mean((differences - mean) ** 3)) / spread**3
    z = (mean - margin) / spread
    corrected = z + skew * z**2 / 3 + skew**2 * z**3 / 27 + skew / (6 * count)
    return float(stdtr(count - 1, count**0.5 * corrected))


def held_together(values: Sequence[float]) -> list[float]:
    """P values adjusted by Holm's steps: each may be held against `ERROR` as if it were the only one."""
    adjusted = [1.0] * len(values)
    most = 0.0
    for step, place in enumerate(sorted(range(len(values)), key=lambda each: values[each])):
        most = max(most, min(1.0, values[place] * (len(values) - step)))
        adjusted[place] = most
    return adjusted


def seldom_beyond(times: NDArray[np.float64], limit: float, share: float = 0.01) -> float:
    """P value of "`share` of calls or more take longer than `limit`", by the exact binomial test; 1 for no calls."""
    from scipy.special import bdtr

    return float(bdtr(int((times > limit).sum()), len(times), share)) if len(times) else 1.0
