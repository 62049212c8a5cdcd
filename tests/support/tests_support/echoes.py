"""Models that give back what they are sent, of any datatypes and shapes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from onnx import TensorProto, helper

from bailiwick.endpoints.model import Variant
from tests_support.serving import Serving

KINDS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}


def echo_package(
    *tensors: tuple[str, str, list[int]], outputs: Sequence[str] = (), params: Sequence[str] = ()
) -> bytes:
    """Each input `x` comes back as `out_x`, or under the name at its place in `outputs`."""
    given = outputs or [f"out_{name}" for name, _, _ in tensors]
    inputs = [helper.make_tensor_value_info(name, KINDS[kind], [None, *tail]) for name, kind, tail in tensors]
    back = [
        helper.make_tensor_value_info(name, KINDS[kind], [None, *tail])
        for name, (_, kind, tail) in zip(given, tensors, strict=True)
    ]
    nodes = [helper.make_node("Identity", [name], [back]) for (name, _, _), back in zip(tensors, given, strict=True)]
    model = helper.make_model(
        helper.make_graph(nodes, "echo", inputs, back), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    described = [{"name": name, "datatype": kind, "shape": [-1, *tail]} for name, kind, tail in tensors]
    signature = {
        "inputs": described,
        "params": list(params),
        "outputs": [each | {"name": name} for name, each in zip(given, described, strict=True)],
    }
    helper.set_model_props(
        model, {"bailiwick.format": "1", "bailiwick.signature": msgspec.json.encode(signature).decode()}
    )
    return bytes(model.SerializeToString())


def route_echo(
    serving: Serving, *tensors: tuple[str, str, list[int]], version: int = 1, params: Sequence[str] = ()
) -> None:
    digest = serving.store(echo_package(*tensors, params=params))
    serving.route(Variant(f"v{version}", "late", version, digest, 10_000), key="", time="")
