"""One operator that is too large cannot be ended: the worker that it holds ends itself, and the others go on."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from bailiwick.serving.overtime import GRACE_SECONDS
from bailiwick.serving.worker import STUCK
from tests_support.server import until
from tests_support.serving import signed
from tests_support.worker import Control, Worker


def one_huge_operator() -> bytes:
    """The product of a matrix with itself that is as wide as the input says."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=1),
        helper.make_node("Cast", ["most"], ["size"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["size", "one"], ["side"]),
        helper.make_node("Add", ["side", "one"], ["wide"]),
        helper.make_node("Concat", ["wide", "wide"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["m"]),
        helper.make_node("MatMul", ["m", "m"], ["p"]),
        helper.make_node("ReduceMax", ["p"], ["zero"], keepdims=1),
        helper.make_node("Add", ["x", "zero"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "huge",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    return signed(model, ["x"])


def body(value: float) -> dict[str, object]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [value]}]}


def test_a_worker_that_is_held_by_an_operator_ends_and_another_goes_on(tmp_path: Path) -> None:
    control = Control()
    control.route(control.variant(1, data=one_huge_operator()))
    first = Worker(tmp_path / "home", control.port, models_seconds=1)
    both = [first, Worker(tmp_path / "home", control.port, port=first.port, worker=1, models_seconds=1)]
    try:
        until(lambda: len({report.worker for report in control.reports}) == 2, "both workers")
        first.wait_for(control.table.revision)
        assert first.call("POST", "/v2/models/late/infer", body(3.0))[0] == 200
        lost: list[type[BaseException]] = []

        def ask() -> None:
            try:
                first.call("POST", "/v2/models/late/infer", body(13_000.0))
            except (OSError, http.client.HTTPException) as error:
                lost.append(type(error))

        began = time.monotonic()
        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: sum(not each.process.is_alive() for each in both) == 1, "the end of one")
        assert 1 + GRACE_SECONDS <= time.monotonic() - began < 1 + GRACE_SECONDS + 10
        asking.join(10)
        assert len(lost) == 1
        assert sorted(each.process.exitcode or 0 for each in both) == [0, STUCK]
        assert first.call("POST", "/v2/models/late/infer", body(3.0))[0] == 200
    finally:
        for each in both:
            each.process.kill()
            each.process.join()
        control.close()
