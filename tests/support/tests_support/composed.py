"""Registered versions that are small enough to predict, and declarations over them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion
from bailiwick.training.metadata import FORMAT


def logistic(weight: float, *, name: str = "x", bias: float = 0.0, opset: int = 15, wide: bool = False) -> bytes:
    """probability = sigmoid(weight · column + bias); `wide` takes float64."""
    kind = TensorProto.DOUBLE if wide else TensorProto.FLOAT
    nodes = [helper.make_node("Cast", [name], ["narrow"], to=TensorProto.FLOAT)] if wide else []
    nodes += [
        helper.make_node("Mul", ["narrow" if wide else name, "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info(name, kind, [None, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [
            numpy_helper.from_array(np.array([weight], np.float32), "weight"),
            numpy_helper.from_array(np.array([bias], np.float32), "bias"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    signature = {
        "inputs": [{"name": name, "datatype": "FP64" if wide else "FP32", "shape": [-1, 1]}],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    helper.set_model_props(
        model,
        {
            "bailiwick.format": FORMAT,
            "bailiwick.signature": json.dumps(signature),
            "bailiwick.features": "",
            "bailiwick.names": json.dumps([name]),
        },
    )
    return bytes(model.SerializeToString())


def register(platform: Platform, actor: Actor, model: str, package: bytes, runtime: str = "onnx") -> ModelVersion:
    """A version with a package and nothing else."""
    properties = {item.key: item.value for item in onnx.load_from_string(package).metadata_props}
    signature: dict[str, Any] = json.loads(properties["bailiwick.signature"])
    return platform.registry.register(
        actor,
        model,
        package=platform.blobs.put(package),
        run_id="",
        snapshot="",
        signature=signature,
        metrics={},
        slices={},
        parity={"runtime": runtime, "passed": True},
        environment={},
        code_version="",
        parameters={},
    )
