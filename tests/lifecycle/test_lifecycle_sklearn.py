"""scikit-learn pipelines among the features: part of the graph where it answers as they do, Python where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.evidence import model_card
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import Scorer, written
from bailiwick.lifecycle.verification import verify_version
from bailiwick.serving.python_runtime import PythonModels
from tests_support.fraud_project import CODE, PROJECT, rows
from tests_support.fraud_project import run_pipeline as run

SMALL = "  amount: number\n  country: {category: {min_count: 5}}\n"
PIPELINE = '  country: {one_hot: 5}\n  made: {sklearn: {pipeline: "fraud:prepare", inputs: [amount, country]}}\n'
ALONE = '  made: {sklearn: {pipeline: "fraud:prepare", inputs: [amount, country]}}\n'
CONVERTED = """
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler


def prepare():
    bins = KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")
    return ColumnTransformer([
        ("number", make_pipeline(SimpleImputer(), StandardScaler()), ["amount"]),
        ("bins", make_pipeline(SimpleImputer(), bins), ["amount"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["country"]),
    ])
"""
OWN = """
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder


def squeezed(values):
    return np.arctan(np.nan_to_num(values))


def prepare():
    number = make_pipeline(SimpleImputer(), FunctionTransformer(squeezed))
    return ColumnTransformer([
        ("number", number, ["amount"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["country"]),
    ])
"""
NO_NULLS = """
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder
from sklearn.decomposition import PCA


def prepare():
    return ColumnTransformer([
        ("number", PCA(1), ["amount"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["country"]),
    ])
"""
INFREQUENT = """
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder


def prepare():
    return ColumnTransformer([
        ("number", SimpleImputer(), ["amount"]),
        ("text", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10), ["country"]),
    ])
"""


def _write(folder: Path, code: str, features: str = PIPELINE, fit: str = CODE) -> None:
    (folder / "bailiwick.yaml").write_text(PROJECT.replace(SMALL, features), encoding="utf-8")
    (folder / "fraud.py").write_text(code + fit, encoding="utf-8")


def _served(platform: Platform, folder: Path, package: str, made: list[dict[str, object]]) -> np.ndarray:
    """As a serving process answers it."""
    runtime = PythonModels.of(platform.settings).open(written(platform, package, folder))
    try:
        feed: dict[str, np.ndarray] = {}
        for block in runtime.blocks:
            values = [[row[spec.name] for spec in block.specs] for row in made]
            kind = object if block.specs[0].datatype == "BYTES" else block.specs[0].dtype
            feed[block.name] = np.array(values, kind)
        return np.asarray(runtime.run(feed)[0])
    finally:
        runtime.close()


@pytest.mark.parametrize("features", [PIPELINE, ALONE])
def test_a_pipeline_that_converts_is_part_of_the_one_graph(
    platform: Platform, admin: Actor, folder: Path, tmp_path: Path, features: str
) -> None:
    _write(folder, CONVERTED, features)
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert version.runtime == "onnx"
    report = version.parity["pipelines"]["made"]
    assert (report["passed"], report["label_flips"], report["tolerance"]) == (True, 0, 1e-5)
    assert report["rows"] >= 1000
    assert report["probes"] > 100
    assert version.metrics["roc_auc"] > 0.7
    made = [{"amount": float("nan"), "country": "unseen"}, {"amount": 3.0, "country": "CH"}]
    low, high = _served(platform, tmp_path, version.package, made)
    assert 0 <= low < high <= 1


@pytest.mark.parametrize(
    ("code", "features", "reason"),
    [
        (OWN, PIPELINE, "made: skl2onnx cannot convert it"),
        (OWN, ALONE, "made: skl2onnx cannot convert it"),
        (NO_NULLS, PIPELINE, "made: the converted graph answers rows that the pipeline refuses"),
        (INFREQUENT, PIPELINE, "made: "),
    ],
)
def test_a_pipeline_that_does_not_convert_rightly_is_served_by_python_and_says_why(
    platform: Platform, admin: Actor, folder: Path, tmp_path: Path, code: str, features: str, reason: str
) -> None:
    _write(folder, code, features)
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert version.runtime == "python"
    assert version.parity["reason"].startswith(reason)
    assert version.parity["passed"] is True
    assert version.parity["rows"] >= 1000
    assert version.metrics["roc_auc"] > 0.7
    assert "stays Python: made: " in finished.step("train").message
    assert "made stays Python" in finished.step("features").message
    card = model_card(platform, "default", "fraud", 1)
    told = [fact.value for section in card.sections if section.key == "parity" for fact in section.facts]
    assert any(reason in str(each) for each in told)
    assert all(check.passed for check in verify_version(platform, "default", "fraud", 1))
    table = rows(seed=9).slice(0, 50)
    scorer = Scorer(platform, version.package)
    scores = scorer.score(table)
    scorer.close()
    made = [{"amount": row["amount"], "country": row["country"]} for row in table.to_pylist()]
    np.testing.assert_allclose(_served(platform, tmp_path, version.package, made), scores, atol=1e-6)


def test_a_model_that_has_no_conversion_stays_python_and_the_next_is_held_against_it(
    platform: Platform, admin: Actor, second: Actor, folder: Path
) -> None:
    fit = CODE.replace(
        "sklearn.linear_model import LogisticRegression", "sklearn.neighbors import KNeighborsClassifier"
    )
    own = "class Own(KNeighborsClassifier):\n    pass\n\n\n"
    fit = fit.replace("def fit", own + "def fit").replace(
        'LogisticRegression(C=params["c"], max_iter=200)', "Own(n_neighbors=25)"
    )
    _write(folder, CONVERTED, PIPELINE, fit)
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert version.runtime == "python"
    assert "Own cannot be packaged" in version.parity["reason"]
    [request] = platform.governance.requests("default", status="PENDING")
    platform.governance.approve(second, request.id)
    platform.registry.set_alias(admin, "fraud", "production", 1)
    gates = 'gates: ["roc_auc >= 0.7", "champion: log_loss non-inferior by 0.5"]'
    text = (folder / "bailiwick.yaml").read_text(encoding="utf-8").replace('gates: ["roc_auc >= 0.7"]', gates)
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")
    again = run(platform, admin, folder)
    assert again.status == "FINISHED", again.message


def test_a_model_whose_conversion_is_silently_wrong_stays_python(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    """Calibrated forests convert, and answer otherwise: skl2onnx's issue 1151 and others."""
    fit = CODE.replace(
        "from sklearn.linear_model import LogisticRegression",
        "from sklearn.calibration import CalibratedClassifierCV\nfrom sklearn.ensemble import RandomForestClassifier",
    ).replace(
        'LogisticRegression(C=params["c"], max_iter=200)',
        "CalibratedClassifierCV(RandomForestClassifier(20, max_depth=6, random_state=1), method='isotonic', cv=2)",
    )
    _write(folder, "", SMALL, fit)
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert version.runtime == "python"
    assert "does not answer as the trained model" in version.parity["reason"]
    assert version.parity["onnx"]["passed"] is False
    assert version.parity["onnx"]["rows"] >= 1000
    assert version.parity["passed"] is True


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def prepare():\n    return 3\n\n\n", "returned a int, which has no fit and transform"),
        (CONVERTED.replace('["country"]', '["land"]'), "cannot be fitted: ValueError"),
        (CONVERTED.replace("def prepare", "def prepares"), "prepare"),
    ],
)
def test_a_pipeline_that_is_none_is_told(platform: Platform, admin: Actor, folder: Path, code: str, said: str) -> None:
    _write(folder, code)
    finished = run(platform, admin, folder)
    assert finished.status == "FAILED"
    assert said in finished.message


@pytest.mark.parametrize(("code", "said"), [(CONVERTED, ""), (OWN, 'pip install "bailiwick[sklearn]"')])
def test_without_pandas_a_pipeline_that_converts_is_in_the_graph_and_another_names_the_extra(
    platform: Platform, admin: Actor, folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    for module in ("bailiwick.training.pipelines", "bailiwick.lifecycle.training.pipelines"):
        monkeypatch.setattr(f"{module}.has_pandas", lambda: False)
    _write(folder, code)
    finished = run(platform, admin, folder)
    if said:
        assert finished.status == "FAILED"
        assert "has to stay Python (skl2onnx cannot convert it" in finished.message
        assert said in finished.message
    else:
        assert platform.registry.version("default", "fraud", 1).parity["pipelines"]["made"]["passed"] is True


def test_edited_pipelines_are_fitted_again_and_others_are_not(platform: Platform, admin: Actor, folder: Path) -> None:
    _write(folder, CONVERTED)
    first = run(platform, admin, folder)
    assert run(platform, admin, folder).step("features").status == "CACHED"
    _write(folder, CONVERTED.replace("KBinsDiscretizer(5", "KBinsDiscretizer(4"))
    edited = run(platform, admin, folder)
    assert edited.step("features").status == "FINISHED", edited.message
    assert edited.step("features").outputs["digest"] != first.step("features").outputs["digest"]
