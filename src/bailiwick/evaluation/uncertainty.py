"""How far a metric may be off, from the counts that were kept with it: 95 % intervals without looking at rows again."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

Z = 1.959963984540054
"""The 0.975 quantile of the standard normal distribution."""

PROPORTIONS = frozenset({"accuracy", "base_rate"})


class Interval(Struct, frozen=True):
    """A two-sided 95 % interval and the method that gave it. Rows that come in clusters vary more than it says."""

    low: float
    high: float
    method: str


def interval(name: str, metrics: Mapping[str, float]) -> Interval | None:
    """The interval of one of the metrics of one set of rows; None where they do not determine it.

    Proportions need `rows`; `roc_auc` needs `rows` and `base_rate`.
    """
    value, rows = metrics.get(name, math.nan), metrics.get("rows", math.nan)
    if not (0 <= value <= 1 and 1 <= rows < math.inf):
        return None
    if name in PROPORTIONS:
        return wilson(value, rows)
    if name == "roc_auc" and 0 < metrics.get("base_rate", math.nan) < 1:
        positives = round(metrics["base_rate"] * rows)
        return hanley_mcneil(value, positives, round(rows) - positives)
    return None


def wilson(share: float, rows: float) -> Interval:
    """Wilson's score interval of a share of `rows` rows (E. B. Wilson, 1927)."""
    spread = Z * Z / rows
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half), method="Wilson")


def hanley_mcneil(area: float, positives: int, negatives: int) -> Interval | None:
    """Normal interval of an area under the ROC curve with the standard error of Hanley and McNeil (Radiology 143, 1982).

    None at the ends of the scale and with one class only, where the formula says nothing.
    """
    if not 0 < area < 1 or min(positives, negatives) < 1:
        return None
    two_positives, two_negatives = area / (2 - area), 2 * area * area / (1 + area)
    variance = area * (1 - area)
    variance += (positives - 1) * (two_positives - area * area) + (negatives - 1) * (two_negatives - area * area)
    half = Z * math.sqrt(max(0.0, variance) / (positives * negatives))
    return Interval(low=max(0.0, area - half), high=min(1.0, area + half), method="Hanley-McNeil")
