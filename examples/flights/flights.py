"""The user's own code: trains LightGBM to tell which flights will arrive more than fifteen minutes late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm

from bailiwick.training.model import Fold, Report


def fit(train: Fold, valid: Fold, params: Mapping[str, Any], report: Report) -> lightgbm.Booster:
    """A classifier fitted on `train`; every tenth tree reports the log loss on `valid`, so hopeless trials stop early."""

    def progress(state: Any) -> None:
        if state.iteration % 10 == 9:
            _, _, log_loss, *_ = state.evaluation_result_list[0]
            report(state.iteration + 1, log_loss)

    learning = lightgbm.Dataset(train.features, train.labels, feature_name=list(train.names))
    watching = lightgbm.Dataset(valid.features, valid.labels, reference=learning)
    settings = {
        "objective": "binary",
        "metric": "binary_logloss",
        "num_leaves": int(params.get("num_leaves", 31)),
        "learning_rate": float(params.get("learning_rate", 0.1)),
        "min_data_in_leaf": int(params.get("min_child_samples", 50)),
        "seed": int(params["seed"]),
        "num_threads": int(params["threads"]),
        "deterministic": True,  # the same rows, parameters and seed give the same trees
        "force_row_wise": True,
        "verbose": -1,
    }
    trees = int(params.get("trees", 100))
    return lightgbm.train(settings, learning, num_boost_round=trees, valid_sets=[watching], callbacks=[progress])
