"""Tree ensembles with fewer trees, and small students of any model: what of a graph is its model, and what feeds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bailiwick.core.errors import InvalidInput
from bailiwick.training.conversion import INPUT, OUTPUT, convert

TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
PRODUCTS = ("MatMul", "Gemm")
_LINEAR = ("LinearClassifier", "LinearRegressor")
_ML_OPSET = 3
_SEED = 11


def tree_count(model: onnx.ModelProto) -> int:
    """Trees of the only ensemble; 0 where there is none, or several."""
    nodes = _ensembles(model)
    return len(set(_ints(nodes[0], "nodes_treeids"))) if len(nodes) == 1 else 0


def has_products(model: onnx.ModelProto) -> bool:
    """Whether it multiplies by matrices of weights, which is what quantisation and float16 are about."""
    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
    return any(node.op_type in PRODUCTS and weights.intersection(node.input) for node in model.graph.node)


def first_trees(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The same with its first `count` trees: of boosted trees the model as it was after as many rounds.

    Trees of a forest each bear a share of the answer, so those that stay bear more.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    node = _ensembles(made)[0]
    ids = sorted(set(_ints(node, "nodes_treeids")))
    kept = set(ids[:count])
    side = "class" if node.op_type == TREES[0] else "target"
    masks = {
        "nodes_": [each in kept for each in _ints(node, "nodes_treeids")],
        f"{side}_": [each in kept for each in _ints(node, f"{side}_treeids")],
    }
    forest = _text(node, "post_transform") in {"", "NONE"} and side == "class"
    for attribute in node.attribute:
        for prefix, mask in masks.items():
            if attribute.name.startswith(prefix):
                _filter(attribute, mask)
        if forest and attribute.name == "class_weights":
            attribute.floats[:] = [each * len(ids) / count for each in attribute.floats]
    return made


def student(model: onnx.ModelProto, columns: dict[str, NDArray[Any]], answers: NDArray[np.float32]) -> onnx.ModelProto:
    """A small boosted ensemble in place of the model, taught what the model itself answers to these rows.

    Each row is taught as both classes, weighed by the probability, so that the student learns probabilities, not labels.
    Raises InvalidInput for a graph in which nothing stands out as the model.
    """
    matrix = _matrix(model)
    features = _cut(model, matrix)
    session = _session(features)
    found = np.asarray(session.run([matrix], columns)[0], np.float32)
    fitted = lightgbm.LGBMClassifier(
        n_estimators=40,
        num_leaves=15,
        learning_rate=0.15,
        min_child_samples=20,
        random_state=_SEED,
        n_jobs=1,
        verbose=-1,
    )
    labels = np.concatenate([np.ones(len(found)), np.zeros(len(found))]).astype(np.int64)
    weights = np.concatenate([answers, 1 - answers]).clip(1e-6)
    fitted.fit(np.concatenate([found, found]), labels, sample_weight=weights)
    opsets = {each.domain: each.version for each in model.opset_import}
    taught = convert(
        fitted,
        found.shape[1],
        opset=opsets.get("", 15),
        ml_opset=opsets.get("ai.onnx.ml", _ML_OPSET),
        ir_version=model.ir_version,
    )
    taught = onnx.compose.add_prefix(taught, "student/")
    for node in taught.graph.node:
        node.input[:] = [matrix if name == f"student/{INPUT}" else name for name in node.input]
        node.output[:] = [OUTPUT if name == f"student/{OUTPUT}" else name for name in node.output]
    features.graph.node.extend(taught.graph.node)
    features.graph.initializer.extend(taught.graph.initializer)
    del features.graph.output[:]
    features.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None]))
    if "ai.onnx.ml" not in opsets:
        features.opset_import.append(helper.make_opsetid("ai.onnx.ml", _ML_OPSET))
    return features


def _matrix(model: onnx.ModelProto) -> str:
    """The tensor that the first node of the model proper takes."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in (*TREES, *_LINEAR, *PRODUCTS):
            return str(next(name for name in node.input if name not in weights))
    raise InvalidInput("Nothing in the graph stands out as the model: it has no trees, no linear model and no layers.")


def _cut(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The part of a graph that makes one tensor, with all of its inputs."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph, needed = made.graph, {tensor}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [each for each in model.graph.initializer if each.name in needed]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)
    if tensor in {each.name for each in graph.input}:
        graph.node.append(helper.make_node("Identity", [tensor], [f"{tensor} as it is"]))
        tensor = f"{tensor} as it is"
    graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None, None]))
    return made


def _session(model: onnx.ModelProto):  # type: ignore[no-untyped-def]  # noqa: ANN202 - onnxruntime has no types
    from bailiwick.lifecycle.packaging.gate import open_session

    return open_session(model.SerializeToString())


def _ensembles(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in TREES]


def _ints(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == name), [])


def _text(node: onnx.NodeProto, name: str) -> str:
    return "".join(str(each.s, "utf-8") for each in node.attribute if each.name == name)


def _filter(attribute: onnx.AttributeProto, mask: Iterable[bool]) -> None:
    for field in ("ints", "floats", "strings"):
        values = getattr(attribute, field)
        if values:
            values[:] = [value for value, wanted in zip(list(values), mask, strict=True) if wanted]
