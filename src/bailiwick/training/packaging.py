"""Joins the feature graph and the model into one ONNX file, which is all that serving needs."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from bailiwick.core.canonical import canonical_json
from bailiwick.training.conversion import INPUT, OUTPUT, convert
from bailiwick.training.metadata import FORMAT

_DATATYPES = {TensorProto.FLOAT: "FP32", TensorProto.DOUBLE: "FP64", TensorProto.STRING: "BYTES"}


def package(features: onnx.ModelProto, estimator: Any) -> bytes:
    """One ONNX file: the inputs of the feature graph, the output `probability` float32 [rows]. Checked, and the same
    bytes for the same graph and estimator.

    Metadata: `bailiwick.format`, `bailiwick.signature` (OIP datatypes and shapes, JSON), and from the feature graph
    `bailiwick.features` (digest) and `bailiwick.names` (of the model's columns). Raises InvalidInput for an estimator
    that has no conversion.
    """
    matrix = features.graph.output[0]
    opsets = {item.domain: item.version for item in features.opset_import}
    model = convert(
        estimator,
        matrix.type.tensor_type.shape.dim[1].dim_value,
        opset=opsets[""],
        ml_opset=opsets["ai.onnx.ml"],
        ir_version=features.ir_version,
    )
    merged = _merge(features, model, matrix.name)
    properties = {item.key: item.value for item in features.metadata_props}
    signature = canonical_json(_signature(features.graph)).decode()
    helper.set_model_props(merged, {**properties, "bailiwick.format": FORMAT, "bailiwick.signature": signature})
    onnx.checker.check_model(merged, full_check=True)
    return bytes(merged.SerializeToString(deterministic=True))


def _merge(features: onnx.ModelProto, model: onnx.ModelProto, matrix: str) -> onnx.ModelProto:
    prefixed = onnx.compose.add_prefix(model, "model/")
    merged = onnx.compose.merge_models(features, prefixed, io_map=[(matrix, f"model/{INPUT}")], name="package")
    for node in merged.graph.node:
        node.output[:] = [OUTPUT if name == f"model/{OUTPUT}" else name for name in node.output]
    merged.graph.output[0].name = OUTPUT
    declared = list(features.graph.value_info)  # of operators outside the standard, whose types cannot be inferred
    del merged.graph.value_info[:]
    merged.graph.value_info.extend(declared)
    merged.doc_string = ""
    merged.producer_name = "bailiwick"
    merged.producer_version = ""
    return merged


def _signature(graph: onnx.GraphProto) -> dict[str, Any]:
    inputs = [
        {"name": item.name, "datatype": _DATATYPES[item.type.tensor_type.elem_type], "shape": [-1, 1]}
        for item in graph.input
    ]
    return {"inputs": inputs, "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1]}]}
