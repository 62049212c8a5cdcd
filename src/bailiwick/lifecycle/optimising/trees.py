"""Tree ensembles with fewer trees, and small students of any model: what of a graph is its model, and what feeds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.optimising.refitting import refit, scale
from bailiwick.training.conversion import OUTPUT, convert, convert_regressor

TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
PRODUCTS = ("MatMul", "Gemm", "Conv")
DENSE = ("MatMul", "Gemm")
_LINEAR = ("LinearClassifier", "LinearRegressor")
_ML_OPSET = 3
_SEED = 11
_ENDS = "bailiwick.as it is"


def tree_count(model: onnx.ModelProto) -> int:
    """Trees of the only ensemble; 0 where there is none, or several, or one whose numbers are doubles."""
    nodes = _ensembles(model)
    if len(nodes) != 1 or any(each.name.endswith("_as_tensor") and each.t.dims for each in nodes[0].attribute):
        return 0
    return len(set(_ints(nodes[0], "nodes_treeids")))


def has_products(model: onnx.ModelProto, kinds: Sequence[str] = PRODUCTS) -> bool:
    """Whether it multiplies by weights, which is what quantisation and float16 are about."""
    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) >= 2}
    weights |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    return any(node.op_type in kinds and weights.intersection(node.input[1:]) for node in model.graph.node)


def first_trees(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The same with its first `count` trees: of boosted trees the model as it was after as many rounds.

    Of trees that each speak for one of several classes whole rounds stay. Trees of a forest each bear a share of the
    answer, so those that stay bear more.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    node = _ensembles(made)[0]
    ids = sorted(set(_ints(node, "nodes_treeids")))
    side = "class" if node.op_type == TREES[0] else "target"
    count -= count % _in_a_round(node, side)
    if not count:
        raise InvalidInput("so few trees do not speak for every class")
    kept = set(ids[:count])
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


def pruned(model: onnx.ModelProto, count: int, columns: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """The first `count` trees, with leaves set anew where that brings them closer to the whole (see `refitting`)."""
    made = first_trees(model, count)
    whole, node = _ensembles(model)[0], _ensembles(made)[0]
    matrix = _values(model, str(node.input[0]), columns)
    if node.op_type == TREES[1]:
        scale(node, whole, matrix)
    refit(node, whole, matrix)
    return made


def student(
    model: onnx.ModelProto, columns: dict[str, NDArray[Any]], answers: NDArray[np.float32] | None, output: str = OUTPUT
) -> onnx.ModelProto:
    """A small boosted ensemble in place of the model, taught what the model itself answers to these rows.

    A probability is taught as both classes, weighed by it, so that the student learns probabilities, not labels; any
    other number as it is. Raises InvalidInput for a graph in which nothing stands out as the model, or that has other
    outputs too.
    """
    matrix = _matrix(model)
    if answers is None or [each.name for each in model.graph.output] != [output]:
        raise InvalidInput("a student answers with one probability or number, and the model with more")
    found = _values(model, matrix, columns)
    features, _ = _cut(model, matrix)
    opsets = {each.domain: each.version for each in model.opset_import}
    teach = _probability if output == OUTPUT else _number
    taught = teach(found, answers, opsets.get("", 15), opsets.get("ai.onnx.ml", _ML_OPSET), model.ir_version)
    taught = onnx.compose.add_prefix(taught, "student/")
    source, answer = f"student/{taught_input(taught)}", taught.graph.output[0].name
    for node in taught.graph.node:
        node.input[:] = [matrix if name == source else name for name in node.input]
    declared = model.graph.output[0]
    flat = len(declared.type.tensor_type.shape.dim) < 2
    taught.graph.initializer.append(
        numpy_helper.from_array(np.array([-1] if flat else [-1, 1], np.int64), "student/shape")
    )
    taught.graph.node.append(helper.make_node("Reshape", [answer, "student/shape"], [output]))
    kept = [node for node in features.graph.node if node.name != _ENDS]
    del features.graph.node[:]
    features.graph.node.extend([*kept, *taught.graph.node])
    features.graph.initializer.extend(taught.graph.initializer)
    del features.graph.output[:]
    features.graph.output.append(declared)
    if "ai.onnx.ml" not in opsets:
        features.opset_import.append(helper.make_opsetid("ai.onnx.ml", _ML_OPSET))
    return features


def taught_input(taught: onnx.ModelProto) -> str:
    """The name of the only input, without the prefix."""
    return str(taught.graph.input[0].name).removeprefix("student/")


_SMALL: dict[str, Any] = {
    "n_estimators": 40,
    "num_leaves": 15,
    "learning_rate": 0.15,
    "min_child_samples": 20,
    "random_state": _SEED,
    "n_jobs": 1,
    "verbose": -1,
}


def _probability(
    found: NDArray[np.float32], answers: NDArray[np.float32], opset: int, ml_opset: int, ir_version: int
) -> onnx.ModelProto:
    labels = np.concatenate([np.ones(len(found)), np.zeros(len(found))]).astype(np.int64)
    weights = np.concatenate([answers, 1 - answers]).clip(1e-6)
    fitted = lightgbm.LGBMClassifier(**_SMALL)
    fitted.fit(np.concatenate([found, found]), labels, sample_weight=weights)
    return convert(fitted, found.shape[1], opset=opset, ml_opset=ml_opset, ir_version=ir_version)


def _number(
    found: NDArray[np.float32], answers: NDArray[np.float32], opset: int, ml_opset: int, ir_version: int
) -> onnx.ModelProto:
    fitted = lightgbm.LGBMRegressor(**_SMALL).fit(found, answers)
    return convert_regressor(fitted, found.shape[1], opset=opset, ml_opset=ml_opset, ir_version=ir_version)


def _matrix(model: onnx.ModelProto) -> str:
    """The tensor that the first node of the model proper takes."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in (*TREES, *_LINEAR, *PRODUCTS):
            return str(next(name for name in node.input if name not in weights))
    raise InvalidInput("Nothing in the graph stands out as the model: it has no trees, no linear model and no layers.")


def _values(model: onnx.ModelProto, tensor: str, columns: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """What one tensor is for these rows."""
    from bailiwick.lifecycle.packaging.gate import open_session

    part, name = _cut(model, tensor)
    found = open_session(part.SerializeToString()).run([name], columns)[0]
    values: NDArray[np.float32] = np.asarray(found, np.float32)
    if values.ndim != 2:
        raise InvalidInput("what feeds the model is no matrix of numbers")
    return values


def _cut(model: onnx.ModelProto, tensor: str) -> tuple[onnx.ModelProto, str]:
    """The part of a graph that makes one tensor, with all of its inputs; and what that tensor is called there."""
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
        graph.node.append(helper.make_node("Identity", [tensor], [_ENDS], name=_ENDS))
        tensor = _ENDS
    graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None, None]))
    return made, tensor


def _in_a_round(node: onnx.NodeProto, side: str) -> int:
    """Trees of one round of boosting: as many as there are classes, where each tree speaks for one."""
    spoken: dict[int, set[int]] = {}
    for tree, target in zip(_ints(node, f"{side}_treeids"), _ints(node, f"{side}_ids"), strict=True):
        spoken.setdefault(tree, set()).add(target)
    every = set().union(*spoken.values()) if spoken else set()
    return len(every) if len(every) > 1 and all(len(each) == 1 for each in spoken.values()) else 1


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
