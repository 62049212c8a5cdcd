"""Packages small enough to predict by hand, and a handler that serves them without a server or a control plane."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import onnx
from onnx import TensorProto, helper

from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from bailiwick.serving.control import ControlClient
from bailiwick.serving.follower import RouteCache, RouteFollower
from bailiwick.serving.handler import InferenceHandler, Response
from bailiwick.serving.http.form import Asked
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.witness import Witness

CODES = {"AA": 10.0, "UA": 20.0}


def package_bytes(version: int, *, extra: bool = False) -> bytes:
    """probability = x + code of carrier + 1000 * version (+ extra); it fails when `x` is negative."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
    ]
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["carrier"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=list(CODES),
            values_floats=list(CODES.values()),
            default_float=0.0,
        ),
        helper.make_node("Less", ["x", "zero"], ["negative"]),
        helper.make_node("Cast", ["negative"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["base", "index"], ["level"]),  # index 1 is out of range
        helper.make_node("Add", ["x", "code"], ["sum"]),
        helper.make_node("Add", ["sum", "level"], ["plain"]),
    ]
    if extra:
        inputs.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [None, 1]))
        nodes.append(helper.make_node("Add", ["plain", "extra"], ["total"]))
    nodes.append(helper.make_node("Reshape", ["total" if extra else "plain", "flat"], ["probability"]))
    graph = helper.make_graph(
        nodes,
        "package",
        inputs,
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("base", TensorProto.FLOAT, [1], [1000.0 * version]),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)])
    model.ir_version = 8
    return signed(model, ["x", "carrier", *(["extra"] if extra else [])])


def signed(model: onnx.ModelProto, names: list[str]) -> bytes:
    """The model's bytes with a signature of columns: texts where the graph says so, float32 elsewhere."""
    texts = {item.name for item in model.graph.input if item.type.tensor_type.elem_type == TensorProto.STRING}
    signature = {
        "inputs": [
            {"name": name, "datatype": "BYTES" if name in texts else "FP32", "shape": [-1, 1]} for name in names
        ],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }
    helper.set_model_props(
        model, {"bailiwick.format": "1", "bailiwick.signature": msgspec.json.encode(signature).decode()}
    )
    return bytes(model.SerializeToString())


class Serving:
    """A handler and its follower on a folder, without a control plane and without a server."""

    def __init__(self, home: Path, *, spool_bytes: int = 1 << 30, witness: Witness | None = None) -> None:
        self.home = home
        self.cache = RouteCache(home / "serve")
        self.spool = SpoolWriter(home / "spool", limit_bytes=spool_bytes)
        self.metrics = Metrics(0, dict)
        self.handler = InferenceHandler(self.spool, self.metrics, witness)
        control = ControlClient("http://127.0.0.1:9")
        self.follower = RouteFollower(control, self.cache, self.handler, self.metrics)
        self.revision = 0

    def store(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.cache.package(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest

    def variant(self, version: int, weight: int = 10_000, **options: bool) -> Variant:
        return Variant(f"v{version}", "late", version, self.store(package_bytes(version, **options)), weight)

    def route(self, *variants: Variant, name: str = "late", key: str = "tail", time: str = "at") -> Endpoint:
        self.revision += 1
        endpoint = Endpoint(name, "salt", self.revision, variants, key, time)
        self.follower.install(RouteTable(1, self.revision, (endpoint,)))
        return endpoint

    def call(self, method: str, path: str, body: object = b"", **headers: str) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        answer = self.handler.handle(method, path, sent, data)
        return answer.status, msgspec.json.decode(answer.body)

    def together(self, asked: Sequence[Asked]) -> list[Response]:
        """What requests get that arrive together."""
        outcomes = self.handler.run_together(asked)
        return [self.handler.response(each, outcome) for each, outcome in zip(asked, outcomes, strict=True)]

    def infer(self, body: object, path: str = "/v2/models/late/infer") -> tuple[int, dict[str, Any]]:
        return self.call("POST", path, body)


def heavy_package(elements: int) -> bytes:
    """probability = x, after so many sines a row: about 10 ns each, alone or together with other rows."""
    ones = helper.make_tensor("ones", TensorProto.FLOAT, [1, elements], [1.0] * elements)
    nodes = [
        helper.make_node("Mul", ["x", "ones"], ["wide"]),
        helper.make_node("Sin", ["wide"], ["sines"]),
        helper.make_node("ReduceMax", ["sines"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
        ],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [
            ones,
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    return signed(model, ["x", "carrier"])
