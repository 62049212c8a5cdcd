"""What the classes are called that columns of probabilities or scores are of: what the graph says, held against its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_CLEAR = 1e-5
"""By how much the largest number of a row must be the largest, so that it says the class whatever rounding did."""
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_NAMES = (TensorProto.STRING, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)


def is_label(values: NDArray[Any]) -> bool:
    """Whether an output is a class in each row: one value that is no real number."""
    return values.dtype.kind != "f" and values.size == len(values)


def labels_of(model: onnx.ModelProto, labels: NDArray[Any], scores: NDArray[Any]) -> tuple[list[Any], list[int]] | None:
    """The label of each column of `scores`, and which columns' are not known; None where it does not follow from the
    largest.

    A column that is the largest of no row has the label that the graph says, if all others have theirs from there.
    """
    ordered = np.sort(scores, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > _CLEAR
    best, flat = scores.argmax(axis=1)[clear], labels.reshape(-1)[clear]
    found: dict[int, Any] = {}
    for column in np.unique(best).tolist():
        values = set(flat[best == column].tolist())
        if len(values) != 1:
            return None
        found[column] = values.pop()
    width = scores.shape[1]
    agreeing = {
        tuple(each) for each in vocabularies(model, width) if all(each[column] == found[column] for column in found)
    }
    if len(agreeing) == 1:
        found = dict(enumerate(agreeing.pop()))
    elif len(set(found.values())) < 2:  # everything follows from what is always the same
        return None
    unknown = [column for column in range(width) if column not in found]
    return [found.get(column) for column in range(width)], unknown


def class_names(model: onnx.ModelProto, answers: Mapping[str, NDArray[Any]], output: str) -> list[str] | None:
    """What the columns of `output` are called, as the version's labels or its graph say; None where neither does."""
    scores = answers[output]
    for name, values in answers.items():
        if name != output and is_label(values):
            found = labels_of(model, values, scores)
            if found is not None and not found[1]:
                return [str(each) for each in found[0]]
    said = {tuple(map(str, each)) for each in vocabularies(model, scores.shape[1])}
    return list(said.pop()) if len(said) == 1 else None


def vocabularies(model: onnx.ModelProto, width: int) -> list[list[Any]]:
    """Every list of so many names of classes in a graph."""
    tensors = {each.name: each for each in model.graph.initializer}
    found: list[list[Any]] = []
    for node in model.graph.node:
        given = {
            each.name: helper.get_attribute_value(each) for each in node.attribute if each.name.startswith("class")
        }
        found += [[_plain(value) for value in given[name]] for name in _LABELS if given.get(name)]
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in tensors:
            tensor = tensors[node.input[0]]
            if tensor.data_type in _NAMES:
                found.append([_plain(value) for value in numpy_helper.to_array(tensor).ravel().tolist()])
    return [each for each in found if len(each) == width]


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
