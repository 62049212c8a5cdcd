"""Converts an estimator to ONNX: one input `features`, one output `probability` of the positive class, [rows]."""

from __future__ import annotations

import re
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxmltools
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType as BoosterInput
from skl2onnx.common.data_types import FloatTensorType

from bailiwick.core.errors import InvalidInput
from bailiwick.training.estimators import check_binary

INPUT = "features"
OUTPUT = "probability"
_PROBABILITIES = "probabilities"
_BOOSTER_OPSET = 15
"""The last that onnxmltools knows; what it makes of a booster means the same under 20, as the gate confirms."""
_ZERO = np.float32(1e-35)  # kZeroThreshold in LightGBM's include/LightGBM/meta.h


def convert(estimator: Any, width: int, *, opset: int, ml_opset: int, ir_version: int) -> onnx.ModelProto:
    """An ONNX model of the estimator over `width` features, at exactly the given versions so that it can be merged.

    Raises InvalidInput for estimators without a converter.
    """
    check_binary(estimator)
    if isinstance(estimator, lightgbm.LGBMClassifier | lightgbm.Booster):
        model = _convert_lightgbm(estimator, width, opset)
    else:
        model = _convert_sklearn(estimator, width, opset)
    _keep_positive_class(model.graph)
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)])
    model.ir_version = ir_version
    return model


def convert_regressor(
    estimator: lightgbm.LGBMRegressor, width: int, *, opset: int, ml_opset: int, ir_version: int
) -> onnx.ModelProto:
    """As `convert`, of a booster that answers with a number: one output, [rows, 1]."""
    model: onnx.ModelProto = onnxmltools.convert_lightgbm(
        _with_float32_thresholds(estimator.booster_),
        name="model",
        initial_types=[(INPUT, BoosterInput([None, width]))],
        target_opset=min(opset, _BOOSTER_OPSET),
    )
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)])
    model.ir_version = ir_version
    return model


def convert_classes(
    estimator: lightgbm.LGBMClassifier, width: int, *, opset: int, ml_opset: int, ir_version: int
) -> onnx.ModelProto:
    """As `convert`, of a booster of several classes: one output, their probabilities, [rows, classes]."""
    model = _convert_lightgbm(estimator, width, opset)
    _keep_only(model.graph, _PROBABILITIES)
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)])
    model.ir_version = ir_version
    return model


def _convert_lightgbm(estimator: Any, width: int, opset: int) -> onnx.ModelProto:
    booster = estimator if isinstance(estimator, lightgbm.Booster) else estimator.booster_
    model: onnx.ModelProto = onnxmltools.convert_lightgbm(
        _with_float32_thresholds(booster),
        name="model",
        initial_types=[(INPUT, BoosterInput([None, width]))],
        target_opset=min(opset, _BOOSTER_OPSET),
        zipmap=False,
    )
    return model


def _with_float32_thresholds(booster: lightgbm.Booster) -> lightgbm.Booster:
    """The same booster with float32 thresholds, which is what ONNX keeps.

    The converter rounds them to the nearest, and rows on a threshold may then take the other branch.
    """
    text = booster.model_to_string()
    text = re.sub(r"^threshold=(.*)$", lambda match: f"threshold={_float32(match[1])}", text, flags=re.MULTILINE)
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)  # byte lengths, which have changed
    return lightgbm.Booster(model_str=text)


def _float32(thresholds: str) -> str:
    """For a float32 `x`, `x <= threshold` stays the same test when the threshold is rounded down to a float32.

    Except about zero: LightGBM reads every number within 1e-35 of zero as zero, so there a threshold moves to the end
    of that range beyond which it began to matter.
    """
    exact = np.array(thresholds.split(), np.float64)
    nearest = exact.astype(np.float32)
    down = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    down = np.where((exact >= -_ZERO) & (exact < 0), np.nextafter(-_ZERO, np.float32(-np.inf)), down)
    down = np.where((exact >= 0) & (exact < _ZERO), _ZERO, down)
    return " ".join(repr(float(value)) for value in down)


def _convert_sklearn(estimator: Any, width: int, opset: int) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = skl2onnx.convert_sklearn(
            estimator,
            name="model",
            initial_types=[(INPUT, FloatTensorType([None, width]))],
            target_opset=opset,
            options={"zipmap": False},
        )
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidInput(
            f"A {type(estimator).__name__} cannot be packaged: it has no working conversion to ONNX ({reason}).",
            hint="Return a LightGBM classifier, or a scikit-learn linear model, forest or gradient boosting classifier.",
        ) from error
    return model


def _keep_positive_class(graph: onnx.GraphProto) -> None:
    """Replace the outputs by column 1 of the probabilities, and drop the nodes that nothing needs any more."""
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "positive_class"))
    graph.node.append(
        helper.make_node("Gather", [_PROBABILITIES, "positive_class"], [OUTPUT], name="positive_class", axis=1)
    )
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None]))
    _keep_only(graph, OUTPUT)


def _keep_only(graph: onnx.GraphProto, output: str) -> None:
    """Drop the other outputs, and the nodes that nothing needs any more."""
    for each in [one for one in graph.output if one.name != output]:
        graph.output.remove(each)
    needed = {output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [constant for constant in graph.initializer if constant.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)
