"""One matrix in place of many columns: what clients send who keep rows in an array and not in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bailiwick.serving.protocol import RequestTensor, nested_values
from bailiwick.serving.tensors import TensorSpec


def columns_of(tensors: Sequence[RequestTensor], specs: Sequence[TensorSpec]) -> Sequence[RequestTensor]:
    """The tensors with a matrix taken apart, column by column in the order of the model's inputs.

    It is one only where nothing else could be meant: its name is none of the model's, no other tensor is an input, all
    inputs are single values of its datatype, and it has a column for each. Anything else is left as it is.
    Raises Refused for values that do not fill the matrix.
    """
    names = {spec.name for spec in specs}
    unknown = [tensor for tensor in tensors if tensor.name not in names]
    if len(specs) < 2 or not unknown or len(tensors) - len(unknown):
        return tensors
    kinds = {(spec.datatype, spec.tail) for spec in specs}
    found = [
        tensor
        for tensor in unknown
        if len(tensor.shape) == 2 and tensor.shape[1] == len(specs) and kinds == {(tensor.datatype, (1,))}
    ]
    if len(found) != 1:
        return tensors
    return [*_apart(found[0], specs), *(tensor for tensor in unknown if tensor is not found[0])]


def _apart(matrix: RequestTensor, specs: Sequence[TensorSpec]) -> list[RequestTensor]:
    rows, width = matrix.shape
    values: Any = nested_values(matrix, rows * width)
    columns: Any
    if isinstance(values, list):
        columns = [values[place::width] for place in range(width)]
    else:
        columns = list(np.asarray(values).reshape(rows, width).T)
    return [
        RequestTensor(spec.name, spec.datatype, [rows, 1], column) for spec, column in zip(specs, columns, strict=True)
    ]
