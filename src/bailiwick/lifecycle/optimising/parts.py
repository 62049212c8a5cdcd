"""Parts of a graph: which of its nodes are the model proper, and what a tensor in the middle is for given rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bailiwick.core.errors import InvalidInput

TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
NEW_TREES = "TreeEnsemble"
"""Of ai.onnx.ml 5, which writes trees otherwise."""
PRODUCTS = ("MatMul", "Gemm", "Conv")
DENSE = ("MatMul", "Gemm")
_VECTORS = ("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor")
_ENDS = "bailiwick.as it is"
_LOOKED_THROUGH = 512

Columns = Mapping[str, NDArray[Any]]


def has_products(model: onnx.ModelProto, kinds: Sequence[str] = PRODUCTS) -> bool:
    """Whether it multiplies by weights, which is what quantisation and float16 are about."""
    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) >= 2}
    weights |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    return any(node.op_type in kinds and weights.intersection(node.input[1:]) for node in model.graph.node)


def ensembles(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that are trees, as they are written up to ai.onnx.ml 4."""
    return [node for node in model.graph.node if node.op_type in TREES]


def ints(node: onnx.NodeProto, name: str) -> list[int]:
    """An attribute of whole numbers; empty where there is none."""
    return next((list(each.ints) for each in node.attribute if each.name == name), [])


def text(node: onnx.NodeProto, name: str) -> str:
    """An attribute that is a word; empty where there is none."""
    return "".join(str(each.s, "utf-8") for each in node.attribute if each.name == name)


def matrix_of(model: onnx.ModelProto) -> str:
    """The tensor that the first node of the model proper takes. Raises InvalidInput."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in (*TREES, NEW_TREES, *_VECTORS, *PRODUCTS):
            return str(next(name for name in node.input if name not in weights))
    raise InvalidInput("nothing in the graph stands out as the model: it has no trees, no linear model and no layers")


def values_of(model: onnx.ModelProto, tensor: str, columns: Columns) -> NDArray[np.float32]:
    """What a matrix in the middle is for these rows. Raises InvalidInput where it is none."""
    from bailiwick.lifecycle.packaging.gate import open_session

    part, name = cut(model, tensor)
    found = open_session(part.SerializeToString()).run([name], dict(columns))[0]
    values: NDArray[np.float32] = np.asarray(found, np.float32)
    if values.ndim != 2:
        raise InvalidInput("what feeds the model is no matrix of numbers")
    return values


def cut(model: onnx.ModelProto, tensor: str) -> tuple[onnx.ModelProto, str]:
    """The part of a graph that makes one tensor, with all of its inputs; and what that tensor is called there."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    kept = needed_for(model.graph.node, tensor)
    needed = {tensor}.union(*(node.input for node in kept))
    constants = [each for each in model.graph.initializer if each.name in needed]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)
    if tensor in {each.name for each in graph.input}:
        graph.node.append(helper.make_node("Identity", [tensor], [_ENDS], name=_ENDS))
        tensor = _ENDS
    graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None, None]))
    return made, tensor


def without_end(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of what was cut, less the one that makes an input an output."""
    return [node for node in model.graph.node if node.name != _ENDS]


def needed_for(nodes: Sequence[onnx.NodeProto], *tensors: str) -> list[onnx.NodeProto]:
    """The nodes that these tensors depend on, in order."""
    needed, kept = set(tensors), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def probabilities_behind(
    model: onnx.ModelProto, answer: str, columns: Columns
) -> Iterable[tuple[str, NDArray[np.float32]]]:
    """Tensors in the middle whose rows are probabilities of several classes, of what `answer` depends on or stands beside;
    the last first, with what they are for the first of these rows.
    """
    from bailiwick.lifecycle.packaging.gate import open_session

    outputs = {each.name for each in model.graph.output}
    behind = needed_for(model.graph.node, answer)
    names = [name for node in reversed(behind) for name in reversed(node.output) if name and name not in outputs]
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.output[:]
    made.graph.node.extend(behind)
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    if not names:
        return
    few = {name: values[:_LOOKED_THROUGH] for name, values in columns.items()}
    for name, values in zip(names, open_session(made.SerializeToString()).run(names, few), strict=True):
        if isinstance(values, np.ndarray) and are_probabilities(values):
            yield name, np.asarray(values, np.float32)


def are_probabilities(values: NDArray[Any], tolerance: float = 1e-3) -> bool:
    """Whether each row has numbers of several classes that add up to 1."""
    if values.dtype.kind != "f" or values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all():
        return False
    return bool((values >= -tolerance).all() and (np.abs(values.sum(axis=1) - 1) < tolerance).all())
