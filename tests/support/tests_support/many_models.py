"""Models of every kind that people bring, fitted on a small set of rows and packaged as they are when MLflow logged them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bailiwick.training.wrapping import Draft, Input

ROWS = 4_000
NAMES = ("a", "b", "c", "d", "e", "f")
RANDOM = np.random.default_rng(12)
X: NDArray[np.float32] = RANDOM.normal(size=(ROWS, len(NAMES))).astype(np.float32)
_SIGNAL = 1.5 * X[:, 0] + X[:, 1] * X[:, 2] - np.abs(X[:, 3])
LATE: NDArray[np.int64] = (RANDOM.random(ROWS) < 1 / (1 + np.exp(-_SIGNAL))).astype(np.int64)
DELAY: NDArray[np.float32] = (10 * _SIGNAL + RANDOM.normal(size=ROWS)).astype(np.float32)
KIND: NDArray[np.int64] = np.digitize(_SIGNAL + 0.3 * RANDOM.normal(size=ROWS), [-1.5, 0.5]).astype(np.int64)
HALF = ROWS // 2
"""Models are fitted on the rows before, and judged on those after."""

Expected = Sequence[tuple[str, NDArray[Any]]]


def wrapped(converted: onnx.ModelProto, expected: Expected, *, rows: int = HALF) -> bytes:
    """A converter's graph of a matrix, as a package of columns that answers as the model itself did."""
    inputs = [Input(name, "FP32") for name in NAMES]
    draft = Draft(converted.SerializeToString(), inputs, matrix=True)
    columns = {name: X[:rows, place : place + 1] for place, name in enumerate(NAMES)}
    return draft.package(draft.readings(columns, expected), inputs)


def _lightgbm(made: Any) -> onnx.ModelProto:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    converted: onnx.ModelProto = onnxmltools.convert_lightgbm(
        made.booster_, initial_types=[("x", FloatTensorType([None, len(NAMES)]))], target_opset=15, zipmap=False
    )
    return converted


def _sklearn(made: Any) -> onnx.ModelProto:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {id(made): {"zipmap": False}} if hasattr(made, "predict_proba") else None
    converted: onnx.ModelProto = skl2onnx.convert_sklearn(
        made, initial_types=[("x", FloatTensorType([None, len(NAMES)]))], target_opset=15, options=options
    )
    return converted


def _positive(made: Any) -> Expected:
    return [("probability", made.predict_proba(X[:HALF])[:, 1].astype(np.float32))]


def _classes(made: Any) -> Expected:
    return [("probabilities", made.predict_proba(X[:HALF]).astype(np.float32))]


def _number(made: Any) -> Expected:
    return [("predictions", np.asarray(made.predict(X[:HALF]), np.float32).reshape(-1))]


def lightgbm_positive() -> bytes:
    import lightgbm

    made = lightgbm.LGBMClassifier(n_estimators=80, num_leaves=15, verbose=-1, n_jobs=1).fit(X[:HALF], LATE[:HALF])
    return wrapped(_lightgbm(made), _positive(made))


def lightgbm_classes() -> bytes:
    import lightgbm

    made = lightgbm.LGBMClassifier(n_estimators=40, num_leaves=7, verbose=-1, n_jobs=1).fit(X[:HALF], KIND[:HALF])
    return wrapped(_lightgbm(made), _classes(made))


def lightgbm_number() -> bytes:
    import lightgbm

    made = lightgbm.LGBMRegressor(n_estimators=80, num_leaves=15, verbose=-1, n_jobs=1).fit(X[:HALF], DELAY[:HALF])
    return wrapped(_lightgbm(made), _number(made))


def forest_positive() -> bytes:
    from sklearn.ensemble import RandomForestClassifier

    made = RandomForestClassifier(60, max_depth=6, random_state=1).fit(X[:HALF], LATE[:HALF])
    return wrapped(_sklearn(made), _positive(made))


def forest_classes() -> bytes:
    from sklearn.ensemble import RandomForestClassifier

    made = RandomForestClassifier(60, max_depth=6, random_state=1).fit(X[:HALF], KIND[:HALF])
    return wrapped(_sklearn(made), _classes(made))


def forest_number() -> bytes:
    from sklearn.ensemble import RandomForestRegressor

    made = RandomForestRegressor(60, max_depth=6, random_state=1).fit(X[:HALF], DELAY[:HALF])
    return wrapped(_sklearn(made), _number(made))


def boosted_positive() -> bytes:
    from sklearn.ensemble import GradientBoostingClassifier

    made = GradientBoostingClassifier(n_estimators=60, random_state=1).fit(X[:HALF], LATE[:HALF])
    return wrapped(_sklearn(made), _positive(made))


def linear_positive() -> bytes:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:HALF], LATE[:HALF])
    return wrapped(_sklearn(made), _positive(made))


def linear_number() -> bytes:
    from sklearn.linear_model import Ridge

    made = Ridge().fit(X[:HALF], DELAY[:HALF])
    return wrapped(_sklearn(made), _number(made))


def layers_classes() -> bytes:
    from sklearn.neural_network import MLPClassifier

    made = MLPClassifier((64, 32), max_iter=400, random_state=1, early_stopping=True).fit(X[:HALF], KIND[:HALF])
    return wrapped(_sklearn(made), _classes(made))


def layers_number() -> bytes:
    from sklearn.neural_network import MLPRegressor

    made = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=400, random_state=1, early_stopping=True).fit(
        X[:HALF], DELAY[:HALF]
    )
    return wrapped(_sklearn(made), _number(made))


IMAGES: NDArray[np.float32] = RANDOM.normal(size=(ROWS, 1, 8, 8)).astype(np.float32)
SHAPES: NDArray[np.int64] = (IMAGES[:, 0, :4].mean(axis=(1, 2)) > IMAGES[:, 0, 4:].mean(axis=(1, 2))).astype(np.int64)


def convolutions() -> bytes:
    """Two filters, the mean of the upper and of the lower half, and what is larger: probabilities of two classes."""
    filters = np.ones((4, 1, 3, 3), np.float32) / 9 + RANDOM.normal(0, 0.01, (4, 1, 3, 3)).astype(np.float32)
    dense = np.zeros((4 * 36, 2), np.float32)
    dense.reshape(4, 6, 6, 2)[:, :3, :, 1] = dense.reshape(4, 6, 6, 2)[:, 3:, :, 0] = 1
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["found"], kernel_shape=[3, 3]),
        helper.make_node("Flatten", ["found"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(filters, "filters"), numpy_helper.from_array(dense, "dense")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    inputs = [Input("image", "FP32", (-1, 1, 8, 8))]
    draft = Draft(model.SerializeToString(), inputs, matrix=False)
    given = {"image": IMAGES[:HALF]}
    return draft.package(draft.readings(given, [("probabilities", draft.run(given)["model/probabilities"])]), inputs)


MAKERS: Mapping[str, Callable[[], bytes]] = {
    each.__name__: each
    for each in (
        lightgbm_positive,
        lightgbm_classes,
        lightgbm_number,
        forest_positive,
        forest_classes,
        forest_number,
        boosted_positive,
        linear_positive,
        linear_number,
        layers_classes,
        layers_number,
    )
}


@cache
def package_of(name: str) -> bytes:
    """One of the models above; fitted once."""
    return MAKERS[name]()


def labels_for(name: str) -> NDArray[Any]:
    """Of the rows after `HALF`."""
    labels: Mapping[str, NDArray[Any]] = {"positive": LATE, "classes": KIND, "number": DELAY}
    return labels[name.rpartition("_")[2]][HALF:]
