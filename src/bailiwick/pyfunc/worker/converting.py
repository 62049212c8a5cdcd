"""Estimators to ONNX."""

from __future__ import annotations

import importlib.util
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .channel import Head, Named
from .loading import estimator_of, flavour_of


def estimator(folder: str, head: Head) -> Named:
    """The estimator that the flavour keeps, pickled anew: for a converter that is in another environment."""
    return [("estimator", pickle.dumps(estimator_of(folder, head["flavours"])))]


def conversions(folder: str, head: Head) -> Iterator[tuple[str, bytes]]:
    """ONNX models of the estimator, the likeliest first: (form of its inputs, bytes). Raises when there is none."""
    flavour = flavour_of(head["flavours"])
    if head.get("pickled"):
        with open(os.path.join(folder, head["pickled"]), "rb") as file:
            model = pickle.load(file)
    else:
        model = estimator_of(folder, head["flavours"])
    columns = head["columns"]
    converter = {"lightgbm": convert_lightgbm, "xgboost": convert_xgboost, "catboost": convert_catboost}.get(
        flavour, convert_sklearn
    )
    width = sum(each["width"] for each in columns)
    failed = []
    for form in forms(columns, flavour, tensors=head["tensors"]):
        try:
            converted = converter(model, form, columns, width)
        except Exception as error:  # noqa: BLE001 - a converter may raise anything, and another form may do
            failed.append(f"{type(error).__name__}: {error}".splitlines()[0][:200])
        else:
            yield form, converted
    if len(failed) == len(forms(columns, flavour, tensors=head["tensors"])):
        raise ValueError(failed[0])


def forms(columns: Sequence[Mapping[str, Any]], flavour: str, *, tensors: bool) -> list[str]:
    """`matrix`: all inputs as one float matrix. `columns`: each its own, whole numbers as such. `floats`: as floats."""
    numeric = all(each["dtype"] != "text" for each in columns)
    if tensors:
        return ["matrix"] if numeric and len(columns) == 1 else []
    if flavour != "sklearn":
        return ["matrix"] if numeric else []
    return (["matrix"] if numeric else []) + ["columns", "floats"]


def convert_sklearn(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:
    """By skl2onnx."""
    import skl2onnx
    from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType

    def kind(column: Mapping[str, Any]) -> Any:
        if column["dtype"] == "text":
            return StringTensorType([None, 1])
        if form == "columns" and column["dtype"].startswith(("int", "uint")):
            return Int64TensorType([None, 1])
        if form == "columns" and column["dtype"] == "bool":
            return BooleanTensorType([None, 1])
        return FloatTensorType([None, 1])

    register_boosters()
    if form == "matrix":
        types = [("features", FloatTensorType([None, width]))]
    else:
        types = [(column["name"], kind(column)) for column in columns]
    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    made = skl2onnx.convert_sklearn(
        model, name="model", initial_types=types, options=options, target_opset={"": 17, "ai.onnx.ml": 3}
    )
    return bytes(made.SerializeToString())


def register_boosters() -> None:
    """Let boosters be converted where they are steps of a scikit-learn pipeline."""
    import skl2onnx
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    if importlib.util.find_spec("lightgbm") is None or importlib.util.find_spec("onnxmltools") is None:
        return
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as converter

    skl2onnx.update_registered_converter(
        lightgbm.LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        converter,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    skl2onnx.update_registered_converter(
        lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", calculate_linear_regressor_output_shapes, converter
    )


def convert_lightgbm(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:  # noqa: ARG001
    """By onnxmltools."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    made = onnxmltools.convert_lightgbm(
        getattr(model, "booster_", model),
        name="model",
        initial_types=[("features", FloatTensorType([None, width]))],
        target_opset=15,
        zipmap=False,
    )
    return bytes(made.SerializeToString())


def convert_xgboost(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:  # noqa: ARG001
    """By onnxmltools."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.get_booster() if hasattr(model, "get_booster") else model
    booster.feature_names = None  # the converter knows features by their number only
    types = [("features", FloatTensorType([None, width]))]
    made = onnxmltools.convert_xgboost(model, name="model", initial_types=types, target_opset=15)
    return bytes(made.SerializeToString())


def convert_catboost(model: Any, form: str, columns: Sequence[Mapping[str, Any]], width: int) -> bytes:  # noqa: ARG001
    """By CatBoost itself."""
    path = os.path.join(os.environ["TMPDIR"], "model.onnx")
    model.save_model(path, format="onnx")
    with open(path, "rb") as file:
        return file.read()
