"""Exact metrics of binary classifiers: labels 0 or 1, scores the probability of 1. NaN where the rows determine none."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.evaluation.model import Labels, Scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = deferred("numpy")

_SMALLEST = sys.float_info.epsilon
"""Scores are kept this far from 0 and 1 in the log loss, as scikit-learn does."""

BINS = 10


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its direction. `losses`, where there is one, gives the rows' losses whose mean is compared in pairs."""

    compute: Callable[[Labels, Scores], float]
    higher_is_better: bool
    losses: Callable[[Labels, Scores], NDArray[np.float64]] | None = None


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann-Whitney); NaN with one class only."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return math.nan
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(middle_ranks[places][labels == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def log_losses(labels: Labels, scores: Scores) -> NDArray[np.float64]:
    """Negative log likelihood of each row, in nats."""
    kept = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    return -np.where(labels == 1, np.log(kept), np.log1p(-kept))


def squared_errors(labels: Labels, scores: Scores) -> NDArray[np.float64]:
    """Squared distance of each row's score from its label."""
    return np.square(scores - labels)


def errors(labels: Labels, scores: Scores) -> NDArray[np.float64]:
    """1 for each row whose label at 0.5 is wrong."""
    wrong: NDArray[np.float64] = ((scores >= 0.5) != (labels == 1)).astype(np.float64)
    return wrong


def calibration_error(labels: Labels, scores: Scores) -> float:
    """Expected calibration error: mean distance between mean score and base rate over 10 bins of equal mass.

    Bins end at deciles of the scores and equal scores share a bin, so the order of rows does not matter.
    """
    edges = np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.searchsorted(edges, scores)
    gaps = np.bincount(bins, weights=scores - labels, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


METRICS: Mapping[str, Metric] = {
    "roc_auc": Metric(roc_auc, higher_is_better=True),
    "log_loss": Metric(
        lambda labels, scores: float(log_losses(labels, scores).mean()), higher_is_better=False, losses=log_losses
    ),
    "brier": Metric(
        lambda labels, scores: float(squared_errors(labels, scores).mean()),
        higher_is_better=False,
        losses=squared_errors,
    ),
    "accuracy": Metric(
        lambda labels, scores: 1 - float(errors(labels, scores).mean()), higher_is_better=True, losses=errors
    ),
    "calibration_error": Metric(calibration_error, higher_is_better=False),
    "base_rate": Metric(lambda labels, _: float(labels.mean()), higher_is_better=True),
    "rows": Metric(lambda labels, _: float(len(labels)), higher_is_better=True),
}


def metric(name: str) -> Metric:
    """Raises InvalidInput naming the metrics there are."""
    if name not in METRICS:
        raise InvalidInput.choice("Metric", name, METRICS)
    return METRICS[name]


def compute_metrics(labels: Labels, scores: Scores) -> dict[str, float]:
    """Every metric that these rows determine."""
    values = {name: item.compute(labels, scores) for name, item in METRICS.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}
