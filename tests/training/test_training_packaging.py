"""The package: one ONNX file that computes what the graph and the estimator compute."""

from __future__ import annotations

import json
import math
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.training.conversion import convert
from bailiwick.training.estimators import predict
from bailiwick.training.metadata import read_metadata
from bailiwick.training.packaging import package
from bailiwick.training.parity import check_parity

Prepared = Any  # the class of the fixtures in conftest.py, which pytest does not let tests import


def test_a_package_says_what_it_takes_and_gives(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    model = onnx.load_from_string(package(trees.proto, booster))
    metadata = read_metadata(model)
    assert metadata.signature == {
        "inputs": [
            {"name": "hour", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "temp", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "distance", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "city", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    assert metadata.names == trees.graph.names
    stamped = {item.key: item.value for item in trees.proto.metadata_props}
    assert metadata.features == stamped["bailiwick.features"]
    properties = {item.key: item.value for item in model.metadata_props}
    assert properties["bailiwick.format"] == "1"
    assert json.loads(properties["bailiwick.signature"]) == metadata.signature


def test_the_only_output_is_the_probability_of_the_positive_class(
    trees: Prepared, booster: lightgbm.LGBMClassifier
) -> None:
    session = onnxruntime.InferenceSession(package(trees.proto, booster))
    assert [(item.name, item.type, len(item.shape)) for item in session.get_outputs()] == [
        ("probability", "tensor(float)", 1)
    ]


def test_packaging_twice_gives_the_same_bytes(trees: Prepared, booster: lightgbm.LGBMClassifier) -> None:
    assert package(trees.proto, booster) == package(trees.proto, booster)


def test_a_file_that_is_no_package_is_refused(trees: Prepared) -> None:
    with pytest.raises(Corrupted, match="has format None"):
        read_metadata(trees.proto)


def _with_matrix(packaged: bytes) -> onnxruntime.InferenceSession:
    """The package with its inner feature matrix shown as a second output."""
    model = onnx.load_from_string(packaged)
    model.graph.output.append(onnx.helper.make_tensor_value_info("features/matrix", onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(model.SerializeToString())


numbers = st.one_of(st.none(), st.floats(width=32), st.sampled_from([math.nan, math.inf, -math.inf, 3.4e38, 12.0]))
texts = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["", "ams", "ber", "AMS"]))
rows = st.lists(st.tuples(numbers, numbers, numbers, texts), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=rows)
@pytest.mark.parametrize("kind", ["trees", "linear"])
def test_serving_computes_the_features_of_training_bit_for_bit(
    request: pytest.FixtureRequest, kind: str, made: list[tuple[float | None, float | None, float | None, str | None]]
) -> None:
    prepared, estimator, session = _packaged(request, kind)
    columns = dict(zip(("hour", "temp", "distance", "city"), zip(*made, strict=True), strict=True))
    table = pa.table(
        {name: pa.array(column, pa.string() if name == "city" else pa.float64()) for name, column in columns.items()}
    )
    training = prepared.graph.run(table)
    feed = {
        name: np.array(
            [["" if name == "city" and value is None else np.nan if value is None else value] for value in column],
            object if name == "city" else np.float32,
        )
        for name, column in columns.items()
    }
    probability, serving = session.run(["probability", "features/matrix"], feed)
    assert serving.tobytes() == training.tobytes()
    np.testing.assert_allclose(probability, predict(estimator, training), atol=1e-5)


_CACHE: dict[str, tuple[Prepared, object, onnxruntime.InferenceSession]] = {}


def _packaged(request: pytest.FixtureRequest, kind: str) -> tuple[Prepared, object, onnxruntime.InferenceSession]:
    if kind not in _CACHE:
        prepared: Prepared = request.getfixturevalue(kind)
        if kind == "trees":
            estimator = request.getfixturevalue("booster")
        else:
            estimator = LogisticRegression().fit(prepared.train.features, prepared.train.labels)
        _CACHE[kind] = (prepared, estimator, _with_matrix(package(prepared.proto, estimator)))
    return _CACHE[kind]


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=500),
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(15, max_depth=6, random_state=0),
        GradientBoostingClassifier(n_estimators=15, random_state=0),
        lightgbm.LGBMClassifier(n_estimators=15, boosting_type="dart", verbose=-1, n_jobs=1),
        lightgbm.LGBMClassifier(n_estimators=15, is_unbalance=True, verbose=-1, n_jobs=1),
    ],
    ids=["logistic", "pipeline", "forest", "boosting", "dart", "unbalanced"],
)
def test_these_classifiers_are_packaged_faithfully(linear: Prepared, estimator: object) -> None:
    estimator.fit(linear.train.features, linear.train.labels)  # type: ignore[attr-defined]
    report = check_parity(package(linear.proto, estimator), linear.graph.run, estimator, linear.table.slice(2000))
    assert report.passed, report


def test_a_bare_booster_is_packaged_too(trees: Prepared) -> None:
    data = lightgbm.Dataset(trees.train.features, trees.train.labels)
    trained = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, num_boost_round=10)
    report = check_parity(package(trees.proto, trained), trees.graph.run, trained, trees.table.slice(2000))
    assert report.passed, report


def test_thresholds_that_float32_cannot_hold_send_rows_the_same_way() -> None:
    """Values that are neighbours in float32 are split between them by a double, which must be rounded down."""
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    features = np.array([[low]] * 50 + [[high]] * 50, np.float32)
    labels = np.array([0] * 50 + [1] * 50)
    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=5, verbose=-1, n_jobs=1).fit(features, labels)
    proto = convert(model, 1, opset=15, ml_opset=3, ir_version=8)
    (found,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"features": features})
    np.testing.assert_allclose(found, predict(model, features), atol=1e-6)
    assert found[0] != found[-1]


def test_numbers_next_to_zero_are_zero_as_lightgbm_reads_them() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(2000, 1)).astype(np.float32)
    features[::10] = 0
    labels = ((features[:, 0] < 0) | (random.uniform(size=2000) < 0.3)).astype(np.int64)
    model = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1).fit(features, labels)
    proto = convert(model, 1, opset=15, ml_opset=3, ir_version=8)
    tiny = np.float32(1e-35)
    ends = [np.nextafter(end, np.float32(way)) for end in (tiny, -tiny) for way in (-1, 1)]
    rows = np.array([[value] for value in (*ends, tiny, -tiny, 0.0, -0.0, 1e-45)], np.float32)
    (found,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"features": rows})
    np.testing.assert_allclose(found, predict(model, rows), atol=1e-6)


def test_native_categories_of_lightgbm_are_packaged_faithfully(trees: Prepared) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, min_child_samples=5)
    model.fit(trees.train.features, trees.train.labels, categorical_feature=[trees.graph.names.index("city")])
    report = check_parity(package(trees.proto, model), trees.graph.run, model, trees.table.slice(2000))
    assert report.passed, report


@pytest.mark.parametrize(
    ("estimator", "labels", "message"),
    [
        (Ridge(), [0, 1], "returned a Ridge, which has no predict_proba"),
        (LogisticRegression(), ["no", "yes"], r"of classes \['no', 'yes'\]; a binary classifier has \[0, 1\]"),
        (LogisticRegression(), [0, 1, 2], r"of classes \[0, 1, 2\]"),
        (HistGradientBoostingClassifier(max_iter=2), [0, 1], "HistGradientBoostingClassifier cannot be packaged"),
    ],
)
def test_an_estimator_that_cannot_be_packaged_is_refused_with_a_way_out(
    linear: Prepared, estimator: object, labels: list[object], message: str
) -> None:
    made = np.array([labels[index % len(labels)] for index in range(100)])
    estimator.fit(linear.features[:100], made)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match=message) as raised:
        package(linear.proto, estimator)
    assert raised.value.hint


def test_a_booster_that_is_not_binary_is_refused(trees: Prepared) -> None:
    data = lightgbm.Dataset(trees.train.features, trees.train.labels)
    trained = lightgbm.train({"objective": "regression", "verbose": -1, "num_threads": 1}, data, num_boost_round=2)
    with pytest.raises(InvalidInput, match="not binary"):
        package(trees.proto, trained)
