"""Loading packages: what is fed in wide blocks computes the same, and what is no package is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.serving.models import ModelSet
from bailiwick.serving.runtime import ModelFailed, OnnxRuntime
from tests_support.serving import package_bytes, signed

NAMES = ["a", "b", "c", "carrier", "day"]


def mixed_package(opset: int) -> bytes:
    """a - b / c + code of (carrier + day), so that no two columns can be swapped unnoticed."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "abc"]
    inputs += [helper.make_tensor_value_info(name, TensorProto.STRING, [None, 1]) for name in ("carrier", "day")]
    nodes = []
    for name, base in (("carrier", 100.0), ("day", 1000.0)):
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [name],
                [f"{name}_code"],
                domain="ai.onnx.ml",
                keys_strings=["x", "y"],
                values_floats=[base, 3 * base],
            )
        )
    nodes += [
        helper.make_node("Div", ["b", "c"], ["ratio"]),
        helper.make_node("Sub", ["a", "ratio"], ["numbers"]),
        helper.make_node("Add", ["carrier_code", "day_code"], ["codes"]),
        helper.make_node("Add", ["numbers", "codes"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["probability"]),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])
    graph = helper.make_graph(
        nodes, "mixed", inputs, [output], [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])]
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, opset_imports=imports)
    model.ir_version = 8
    return signed(model, NAMES)


def stored(folder: Path, data: bytes) -> Path:
    path = folder / "package.onnx"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("opset", [9, 13, 18])
def test_wide_blocks_compute_what_the_package_computes(tmp_path: Path, opset: int) -> None:
    data = mixed_package(opset)
    random = np.random.default_rng(1)
    columns = {name: random.uniform(1, 9, (50, 1)).astype(np.float32) for name in "abc"}
    columns |= {name: random.choice(np.array(["x", "y"], dtype=object), (50, 1)) for name in ("carrier", "day")}
    expected = onnxruntime.InferenceSession(data).run(None, columns)[0]
    runtime = OnnxRuntime(stored(tmp_path, data))
    assert [block.name for block in runtime.blocks] == ["bailiwick.FP32", "bailiwick.BYTES"]
    feed = {block.name: np.hstack([columns[spec.name] for spec in block.specs]) for block in runtime.blocks}
    np.testing.assert_array_equal(runtime.run(feed)[0], expected)
    runtime.warm_up()


def test_a_model_that_fails_says_so(tmp_path: Path) -> None:
    runtime = OnnxRuntime(stored(tmp_path, package_bytes(1)))
    with pytest.raises(ModelFailed, match="The model failed"):
        runtime.run({"x": np.full((1, 1), -1, np.float32), "carrier": np.full((1, 1), "AA", object)})


def graph_package(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], *, datatype: str = "FP32", tail: str = "-1"
) -> bytes:
    """From `x`, a column, to `probability`."""
    kind = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64}[datatype]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, [None, 1])],
        [helper.make_tensor_value_info("probability", kind, None)],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    signature = (
        f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[-1,1]}}],'
        f'"outputs":[{{"name":"probability","datatype":"{datatype}","shape":[{tail}]}}]}}'
    )
    helper.set_model_props(model, {"bailiwick.format": "1", "bailiwick.signature": signature})
    return bytes(model.SerializeToString())


def test_rows_that_a_graph_loses_are_a_failure_and_no_answer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["values"]),
        helper.make_node("Less", ["values", "limit"], ["kept"]),
        helper.make_node("Compress", ["values", "kept"], ["probability"], axis=0),
    ]
    data = graph_package(nodes, {"flat": np.array([-1]), "limit": np.array(1000, np.float32)})
    runtime = OnnxRuntime(stored(tmp_path, data))
    runtime.warm_up()
    assert runtime.run({"x": np.array([[1], [2]], np.float32)})[0].tolist() == [1, 2]
    with pytest.raises(
        ModelFailed, match=r"for 2 rows it gave other outputs than it says: probability has shape \[1\]"
    ):
        runtime.run({"x": np.array([[1], [2000]], np.float32)})


def test_a_graph_that_takes_no_zeros_is_warmed_up_with_ones(tmp_path: Path) -> None:
    data = graph_package(
        [helper.make_node("Div", ["one", "x"], ["probability"])], {"one": np.array([1])}, datatype="INT64", tail="-1,1"
    )
    runtime = OnnxRuntime(stored(tmp_path, data))
    runtime.warm_up()
    assert runtime.run({"x": np.array([[-1]])})[0].tolist() == [[-1]]
    with pytest.raises(ModelFailed, match="by zero"):
        runtime.run({"x": np.array([[0]])})


def test_a_run_that_never_ends_is_ended_and_the_next_is_answered(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 1])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Add", ["value", "one"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            value,
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, 1]),
        ],
        [onnx.numpy_helper.from_array(np.array([[1]], np.float32), "one")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "limit"], ["endless"]),
        helper.make_node("Loop", ["turns", "endless", "x"], ["probability"], body=body),
    ]
    data = graph_package(nodes, {"limit": np.array(1000, np.float32), "turns": np.array(1 << 62)}, tail="-1,1")
    runtime = OnnxRuntime(stored(tmp_path, data), seconds=0.3)
    runtime.warm_up()
    with pytest.raises(ModelFailed, match=r"no answer within 0\.3 seconds"):
        runtime.run({"x": np.array([[2000]], np.float32)})
    assert runtime.run({"x": np.array([[2]], np.float32)})[0].tolist() == [[2]]


def test_one_row_in_bound_memory_is_answered_as_among_others_by_many_threads(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "two"], ["probability"])]
    runtime = OnnxRuntime(stored(tmp_path, graph_package(nodes, {"two": np.array(2, np.float32)}, tail="-1,1")))
    first = runtime.run({"x": np.array([[1]], np.float32)})[0]

    def asked(start: int) -> bool:
        return all(
            runtime.run({"x": np.array([[number]], np.float32)})[0].tolist() == [[2 * number]]
            for number in range(start, start + 2000)
        )

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(asked, range(0, 40_000, 10_000)))
    assert first.tolist() == [[2]]  # it is the caller's own, whatever was run after it


def test_one_row_whose_answer_has_another_shape_is_no_answer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Cast", ["places"], ["probability"], to=1),
    ]
    runtime = OnnxRuntime(stored(tmp_path, graph_package(nodes, {}, tail="-1,1")))
    with pytest.raises(ModelFailed, match="dimensions"):
        runtime.run({"x": np.array([[3]], np.float32)})
    with pytest.raises(ModelFailed, match="dimensions"):
        runtime.run({"x": np.array([[0]], np.float32)})


def changed(**metadata: str | None) -> bytes:
    model = onnx.load_model_from_string(package_bytes(1))
    properties = {item.key: item.value for item in model.metadata_props} | metadata
    helper.set_model_props(model, {key: value for key, value in properties.items() if value is not None})
    return bytes(model.SerializeToString())


def signature(inputs: str, outputs: str = '{"name":"probability","datatype":"FP32","shape":[-1]}') -> str:
    return f'{{"inputs":[{inputs}],"outputs":[{outputs}]}}'


X = '{"name":"x","datatype":"FP32","shape":[-1,1]}'
CARRIER = '{"name":"carrier","datatype":"BYTES","shape":[-1,1]}'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no model", "not an ONNX model"),
        (changed(**{"bailiwick.signature": None}), "no bailiwick.signature"),
        (changed(**{"bailiwick.signature": "{"}), "cannot be read"),
        (changed(**{"bailiwick.signature": signature(X)}), "name different tensors"),
        (changed(**{"bailiwick.signature": signature(X + "," + CARRIER.replace("BYTES", "TEXT"))}), "BYTES"),
        (changed(**{"bailiwick.signature": signature(X + "," + CARRIER.replace("-1", "2"))}), "must be"),
        (changed(**{"bailiwick.signature": signature(X + "," + CARRIER.replace("BYTES", "FP32"))}), "LabelEncoder"),
        (
            changed(
                **{
                    "bailiwick.signature": signature(
                        X + "," + CARRIER, '{"name":"probability","datatype":"FP32","shape":[-1,2]}'
                    )
                }
            ),
            "has shape",
        ),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    models = ModelSet(lambda _: stored(tmp_path, data))
    with pytest.raises(BailiwickError, match=message):
        models.load("digest")
    assert models.loaded == {}


def test_packages_are_loaded_once_and_dropped_when_unused(tmp_path: Path) -> None:
    models = ModelSet(lambda digest: stored(tmp_path, package_bytes(int(digest))))
    first = models.load("1")
    assert models.load("1") is first
    models.load("2")
    models.keep(["2"])
    assert list(models.loaded) == ["2"]
    with pytest.raises(InvalidInput):
        ModelSet(lambda _: stored(tmp_path, b"")).load("3")


def test_a_graph_that_declares_another_width_than_it_gives_is_still_run_row_by_row(tmp_path: Path) -> None:
    """As scikit-learn's converter writes forests of several numbers."""
    held = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=2,
        nodes_treeids=[0],
        nodes_nodeids=[0],
        nodes_featureids=[0],
        nodes_values=[0.0],
        nodes_modes=["LEAF"],
        nodes_truenodeids=[0],
        nodes_falsenodeids=[0],
        target_treeids=[0, 0],
        target_nodeids=[0, 0],
        target_ids=[0, 1],
        target_weights=[3.0, 5.0],
    )
    graph = helper.make_graph(
        [held],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )
    outputs = [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    told = {"bailiwick.signature": json.dumps({"inputs": inputs, "outputs": outputs})}
    helper.set_model_props(model, told)
    runtime = OnnxRuntime(stored(tmp_path, model.SerializeToString()))
    runtime.warm_up()
    for rows in (1, 3):
        assert runtime.run({"x": np.zeros((rows, 1), np.float32)})[0].tolist() == [[3.0, 5.0]] * rows
