"""What Bailiwick asks of an estimator: to be a binary classifier of LightGBM or scikit-learn with classes 0 and 1."""

from __future__ import annotations

import warnings
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from bailiwick.core.errors import InvalidInput


def predict(estimator: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of the positive class, [rows]. Raises InvalidInput for anything but a binary classifier."""
    check_binary(estimator)
    if isinstance(estimator, lightgbm.Booster):
        return np.asarray(estimator.predict(features), np.float64)
    with warnings.catch_warnings():
        # An estimator fitted on a data frame says that a bare matrix has no column names; the graph fixes their order.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return np.asarray(estimator.predict_proba(features), np.float64)[:, 1]


def check_binary(estimator: Any) -> None:
    """Raises InvalidInput saying what the fit function should return instead."""
    if isinstance(estimator, lightgbm.Booster):
        if not str(estimator.dump_model(num_iteration=1).get("objective", "")).startswith("binary"):
            raise InvalidInput(
                "The fit function returned a LightGBM booster that is not binary.", hint="Use `objective: binary`."
            )
        return
    if not hasattr(estimator, "predict_proba"):
        raise InvalidInput(
            f"The fit function returned a {type(estimator).__name__}, which has no predict_proba.",
            hint="Return a fitted LightGBM or scikit-learn classifier.",
        )
    classes = [value.item() if hasattr(value, "item") else value for value in getattr(estimator, "classes_", [])]
    if classes != [0, 1]:
        raise InvalidInput(
            f"The fit function returned a {type(estimator).__name__} of classes {classes}; a binary classifier has [0, 1].",
            hint="Does the training data hold both outcomes?",
        )
