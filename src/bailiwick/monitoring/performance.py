"""How well a window's predictions turned out, and its losses scaled into [0, 1] for the detector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from bailiwick.core.deferred import deferred
from bailiwick.evaluation.metrics import errors, log_losses, roc_auc, squared_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = deferred("numpy")

Floats: TypeAlias = "NDArray[np.float64]"

_LARGEST_LOG_LOSS = math.log(100)
"""Log losses are cut here (a probability of 0.01 for what happened): a bounded loss is what can be bet on without assumptions."""

_SCALES = {"misclassification": 1.0, "brier": 1.0, "log_loss": _LARGEST_LOG_LOSS}


def summarise(outcomes: Floats, probabilities: Floats) -> dict[str, float]:
    """Metrics of a window; empty without outcomes, and without `auc` where only one class occurred."""
    if not outcomes.size:
        return {}
    labels, scores = outcomes.astype(np.int64), probabilities.astype(np.float64)
    found = {
        "auc": roc_auc(labels, scores),
        "log_loss": float(log_losses(labels, scores).mean()),
        "brier": float(squared_errors(labels, scores).mean()),
        "misclassification": float(errors(labels, scores).mean()),
        "positive_rate": float(labels.mean()),
        "mean_probability": float(scores.mean()),
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def bounded_losses(metric: str, outcomes: Floats, probabilities: Floats) -> Floats:
    """The loss of each row in [0, 1], in the given order."""
    losses = {"misclassification": errors, "brier": squared_errors, "log_loss": log_losses}[metric]
    scaled = losses(outcomes.astype(np.int64), probabilities.astype(np.float64)) / _SCALES[metric]
    return np.asarray(np.minimum(scaled, 1.0))


def bounded_baseline(metric: str, expected_loss: float, margin: float) -> float:
    """The mean of the bounded loss that is still in order: the expected one, `margin` of itself worse, within (0, 1).

    Cutting log losses only lowers their mean, so the bound stays on the safe side.
    """
    return min(max(expected_loss * (1 + margin) / _SCALES[metric], 1e-4), 0.99)
