"""Scikit-learn pipelines that are known to convert wrongly, silently or not at all: none of them may serve a wrong answer.

A package is either ONNX that answers new rows as the pipeline does, or the pipeline itself with the reason recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
    TargetEncoder,
)

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.packaging.story import package_version
from bailiwick.lifecycle.platform import Platform
from bailiwick.serving.runtime import OnnxRuntime
from tests_support.logged_models import register, sklearn_model

NUMERIC, TEXTS = ["n1", "n2", "n3"], ["c1", "c2"]
TOLERANCE = 1e-5


def _rows(seed: int, *, unseen: bool) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    made = {name: random.normal(0, 3, 400) for name in NUMERIC}
    made["c1"] = random.choice(np.array(["aa", "bb", "cc", "dd"], object), 400)
    made["c2"] = random.choice(np.array([*["x", "y"] * 20, "rare"], object), 400)
    if unseen:
        made["c1"][::17] = "never seen"
    return pd.DataFrame(made)


ROWS = _rows(1, unseen=False)
LABELS = ((ROWS.n1 + ROWS.n2 / 2 + (ROWS.c1 == "aa") * 2) > 0).to_numpy().astype(np.int64)


def _encoded(encoder: Any, *, scaler: Any = None, numeric: list[str] = NUMERIC) -> ColumnTransformer:
    return ColumnTransformer([("n", scaler or StandardScaler(), numeric), ("c", encoder, TEXTS)])


def _one_hot() -> ColumnTransformer:
    return _encoded(OneHotEncoder(handle_unknown="ignore", sparse_output=False))


def _booster(**options: Any) -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1, **options)


def _ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(15, random_state=0)


PIPELINES: dict[str, Any] = {
    "one-hot, logistic": lambda: make_pipeline(_one_hot(), LogisticRegression(max_iter=500)),
    "target encoder, logistic": lambda: make_pipeline(_encoded(TargetEncoder()), LogisticRegression(max_iter=500)),
    "bins, logistic": lambda: make_pipeline(
        _encoded(_ordinal(), scaler=KBinsDiscretizer(5, quantile_method="averaged_inverted_cdf")),
        LogisticRegression(max_iter=500),
    ),
    "power, boosting": lambda: make_pipeline(
        _encoded(_ordinal(), scaler=PowerTransformer()), GradientBoostingClassifier(n_estimators=15)
    ),
    "one-hot, LightGBM": lambda: make_pipeline(_one_hot(), _booster()),
    "ordinal, LightGBM": lambda: make_pipeline(_encoded(_ordinal()), _booster()),
    "stacking": lambda: make_pipeline(
        _one_hot(),
        StackingClassifier([("l", LogisticRegression(max_iter=500)), ("b", _booster())], cv=2),
    ),
    "one-hot, forest": lambda: make_pipeline(_one_hot(), _forest()),
    "calibrated LightGBM, sigmoid": lambda: make_pipeline(_one_hot(), CalibratedClassifierCV(_booster(), cv=2)),
    "calibrated LightGBM, isotonic": lambda: make_pipeline(
        _one_hot(), CalibratedClassifierCV(_booster(), cv=2, method="isotonic")
    ),
    "calibrated forest": lambda: make_pipeline(_one_hot(), CalibratedClassifierCV(_forest(), cv=2)),
    "calibrated logistic, isotonic": lambda: make_pipeline(
        _one_hot(), CalibratedClassifierCV(LogisticRegression(max_iter=500), cv=2, method="isotonic")
    ),
    "histogram boosting": lambda: make_pipeline(_encoded(_ordinal()), HistGradientBoostingClassifier(max_iter=10)),
    "infrequent": lambda: make_pipeline(
        _encoded(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30, sparse_output=False)),
        LogisticRegression(max_iter=500),
    ),
    "text imputer": lambda: make_pipeline(
        _encoded(
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            scaler=SimpleImputer(strategy="median"),
        ),
        LogisticRegression(max_iter=500),
    ),
    "function": lambda: make_pipeline(
        _encoded(
            OneHotEncoder(handle_unknown="ignore"),
            scaler=FunctionTransformer(np.cbrt, feature_names_out="one-to-one"),
        ),
        LogisticRegression(max_iter=500),
    ),
    "voting": lambda: make_pipeline(
        _one_hot(), VotingClassifier([("l", LogisticRegression(max_iter=500)), ("f", _forest())], voting="soft")
    ),
}
WRONG = {
    "calibrated LightGBM, sigmoid",
    "calibrated LightGBM, isotonic",
    "calibrated logistic, isotonic",
    "histogram boosting",
    "function",
    "infrequent",
}
"""Those that the converters of today turn into other answers, or into nothing."""


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_served_as_it_answers_or_not_converted(
    platform: Platform, admin: Actor, tmp_path: Path, name: str
) -> None:
    model = PIPELINES[name]().fit(ROWS, LABELS)
    example = {column: ROWS[column].to_numpy() for column in ROWS}
    folder = sklearn_model(tmp_path / "m", model, example, "predict_proba")
    register(platform, admin, "trap", folder)
    version = package_version(platform, admin, "trap", 1)
    assert version.parity["passed"] is True
    assert version.parity["rows"] >= 1000
    assert version.parity["reason"]
    if name in WRONG:
        assert version.runtime == "python"
    if version.runtime == "python":
        assert "ONNX" in version.parity["reason"] or "graph" in version.parity["reason"]
        return
    package = tmp_path / "package"
    package.write_bytes(platform.blobs.get(version.package))
    runtime = OnnxRuntime(package)
    unseen = _rows(2, unseen=name != "bins, logistic")
    feed = {
        block.name: unseen[[spec.name for spec in block.specs]].to_numpy().astype(block.specs[0].dtype)
        for block in runtime.blocks
    }
    found = np.asarray(runtime.run(feed)[0], np.float64)
    np.testing.assert_allclose(found, model.predict_proba(unseen), atol=TOLERANCE)
