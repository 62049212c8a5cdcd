"""Which columns that are fed a tensor's columns are made of: followed through the graph, node by node.

What a node does column by column is known for the operators that feature graphs are made of; of any other, each column is
taken to be made of everything that it was given, which can only merge columns, never part what belongs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Made = list[frozenset[str]]
"""Of each column of a tensor, names of the inputs that it is made of."""

_COLUMN_BY_COLUMN = frozenset(
    [
        "Identity",
        "Cast",
        "Clip",
        "Min",
        "Max",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Log",
        "Exp",
        "Sqrt",
        "Abs",
        "Neg",
        "Sign",
        "Floor",
        "Ceil",
        "Round",
        "Mod",
        "Not",
        "And",
        "Or",
        "Xor",
        "Equal",
        "Less",
        "LessOrEqual",
        "Greater",
        "GreaterOrEqual",
        "Where",
        "IsNaN",
        "IsInf",
        "Imputer",
        "Scaler",
        "LabelEncoder",
        "Binarizer",
        "Relu",
        "Sigmoid",
        "Tanh",
        "Erf",
        "Sin",
        "Cos",
        "Tan",
        "Asin",
        "Acos",
        "Atan",
        "Softplus",
    ]
)


def made_of(model: onnx.ModelProto, wanted: str, feed: Mapping[str, np.ndarray]) -> Made | None:
    """Of the tensor `wanted`; None where it has no columns of its own. `feed` is any input of at least two rows."""
    shapes = _shapes(model, wanted, feed)
    rows = len(next(iter(feed.values())))
    known: dict[str, Made] = {
        each.name: [frozenset({each.name})] * _width(feed[each.name].shape, rows) for each in model.graph.input
    }
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(helper.get_attribute_value(node.attribute[0]))
            continue
        if not all(name in shapes for name in node.output if name):
            continue
        given = [known.get(name, []) for name in node.input if name]
        for place, name in enumerate(node.output):
            if name:
                width = _width(shapes[name], rows)
                known[name] = _of_node(
                    node, place, given, constants, width, [_width(shapes[n], rows) for n in node.output]
                )
    found = known.get(wanted)
    return found if found is not None and shapes[wanted][0] == rows else None


def _of_node(
    node: onnx.NodeProto,
    place: int,
    given: Sequence[Made],
    constants: Mapping[str, np.ndarray],
    width: int,
    widths: Sequence[int],
) -> Made:
    said = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    everything = [frozenset[str]().union(*(column for made in given for column in made))] * width
    if node.op_type in {"Concat", "Reshape"}:
        joined = [column for made in given for column in made]
        return joined if len(joined) == width and said.get("axis", 1) in {1, -1} else everything
    if node.op_type == "Split" and said.get("axis") in {1, -1}:
        start = sum(widths[:place])
        part = given[0][start : start + width]
        return part if len(given[0]) == sum(widths) else everything
    if node.op_type == "Gather" and said.get("axis") == 1 and node.input[1] in constants:
        places = constants[node.input[1]].ravel()
        return [given[0][each] for each in places] if len(places) == width else everything
    if node.op_type == "MatMul" and node.input[1] in constants:
        return _product(given[0], constants[node.input[1]], everything)
    if node.op_type in _COLUMN_BY_COLUMN and all(len(made) in {0, 1, width} for made in given):
        return [_union(made[column if len(made) == width else 0] for made in given if made) for column in range(width)]
    return everything


def _union(parts: object) -> frozenset[str]:
    return frozenset[str]().union(*parts)  # type: ignore[misc]


def _product(given: Made, matrix: np.ndarray, everything: Made) -> Made:
    if matrix.ndim != 2 or len(matrix) != len(given) or matrix.shape[1] != len(everything):
        return everything
    return [_union(given[row] for row in np.flatnonzero(matrix[:, column])) for column in range(matrix.shape[1])]


def _shapes(model: onnx.ModelProto, wanted: str, feed: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Of every tensor that `wanted` is made of, by running the graph once with all of them as outputs."""
    needed, nodes = {wanted}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    names = [name for node in reversed(nodes) for name in node.output if name]
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    del open_model.graph.output[:]
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(open_model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fed = {each.name: feed[each.name] for each in session.get_inputs()}
    return {name: np.shape(found) for name, found in zip(names, session.run(names, fed), strict=True)}


def _width(shape: Sequence[int], rows: int) -> int:
    """Columns of a tensor of so many rows; everything else is a constant, whose columns are of no input."""
    return prod(shape[1:]) if shape and shape[0] == rows else prod(shape)


def players_of(made: Made) -> list[frozenset[str]]:
    """Columns that share a feature belong together: sets of input columns, each feature made of one set at most."""
    sets: list[set[str]] = []
    for columns in made:
        if not columns:
            continue
        met = [each for each in sets if each & columns]
        joined = set(columns).union(*met)
        sets = [each for each in sets if not each & columns] + [joined]
    return sorted((frozenset(each) for each in sets), key=sorted)
