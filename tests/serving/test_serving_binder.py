"""However the values of a request came, a model is fed the same arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.serving.binder import Batch, Binder
from bailiwick.serving.protocol import InferRequest, Refused, RequestTensor
from bailiwick.serving.tensors import FLOATS, NUMPY_TYPES, TensorSpec

SPECS = (
    TensorSpec("a", "FP32", (-1, 1)),
    TensorSpec("b", "FP32", (-1, 1), nullable=False),
    TensorSpec("c", "INT64", (-1, 1)),
    TensorSpec("d", "BYTES", (-1, 1)),
    TensorSpec("e", "FP64", (-1, 2, 3)),
    TensorSpec("f", "BOOL", (-1, 1)),
    TensorSpec("g", "FP16", (-1, 1)),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP16": st.floats(width=16),
    "FP32": st.floats(width=32),
    "FP64": st.floats(),
    "INT64": st.integers(-(1 << 63), (1 << 63) - 1),
    "BYTES": st.text(max_size=3),
    "BOOL": st.booleans(),
}


@st.composite
def requests(draw: st.DrawFn) -> list[RequestTensor]:
    """Tensors that fit, and now and then one that is missing, given twice, of another shape, type or length."""
    rows = draw(st.integers(1, 4))
    specs = draw(st.permutations([*SPECS, TensorSpec("who", "BYTES", (-1, 1)), TensorSpec("when", "INT64", (-1, 1))]))
    specs = specs[: draw(st.sampled_from([len(specs), len(specs), len(specs), 5]))]
    specs += draw(st.sampled_from([[], [], [], specs[:1]]))
    tensors = []
    for spec in specs:
        count = rows * spec.width + draw(st.sampled_from([0] * 99 + [1]))
        datatype = draw(st.sampled_from([spec.datatype] * 99 + ["FP32"]))
        shapes = [[rows, *spec.tail]] * 200 + [[rows], [rows, 1, 1], [], [rows + 1, 1], [0, 1]]
        values = draw(st.lists(VALUES[spec.datatype], min_size=count, max_size=count))
        if spec.datatype in FLOATS and draw(st.sampled_from([False] * 5 + [True])):
            values[:1] = [math.nan]
        tensors.append(RequestTensor(spec.name, datatype, list(draw(st.sampled_from(shapes))), values))
    return tensors


@given(requests())
def test_rows_that_come_as_arrays_are_bound_as_those_that_come_as_lists(tensors: list[RequestTensor]) -> None:
    binder = Binder(SPECS, key="who", time="when")
    as_arrays = []
    for tensor in tensors:
        kind = next((spec.dtype for spec in SPECS if spec.name == tensor.name), None)
        kind = kind or NUMPY_TYPES["BYTES" if tensor.name == "who" else "INT64"]
        values: Any = np.array(tensor.data, dtype=kind)
        as_arrays.append(RequestTensor(tensor.name, tensor.datatype, tensor.shape, values))
    assert told(binder, as_arrays) == told(binder, list(map(as_json, tensors)))


@given(
    st.lists(st.floats(width=32) | st.integers(-9, 9) | st.sampled_from([None, True, "1", 1e39, 10**400]), max_size=7),
    st.sampled_from([[1, 2, 3]] * 9 + [[1, 6], [2, 2, 3], [6], []]),
    st.sampled_from(["m"] * 9 + ["n"]),
    st.sampled_from(["FP32"] * 9 + ["FP64"]),
)
def test_one_row_of_a_matrix_is_bound_as_it_is_among_others(
    values: list[Any], shape: list[int], name: str, datatype: str
) -> None:
    spec = TensorSpec("m", "FP32", (-1, 2, 3))
    row = as_json(RequestTensor(name, datatype, shape, values))
    usual = Binder((spec,))
    usual._matrix = None
    assert told(Binder((spec,)), [row]) == told(usual, [row])
    six = [each if isinstance(each, float) and abs(each) < 1e38 else 0.5 for each in (*values, *[0.25] * 6)][:6]
    assert Binder((spec,)).bind(InferRequest([RequestTensor("m", "FP32", [1, 2, 3], six)])).rows == 1


def told(binder: Binder, tensors: list[RequestTensor]) -> object:
    """What a model would be fed, bit by bit, or that the request is refused."""
    try:
        batch = binder.bind(InferRequest(tensors))
    except Refused as refused:
        return refused.status
    return _plainly(batch)


def _plainly(batch: Batch) -> object:
    arrays = {
        name: (array.shape, array.dtype.str, array.tolist() if array.dtype == object else _bits(array))
        for name, array in batch.arrays.items()
    }
    return batch.rows, arrays, batch.units, batch.times, batch.missing


def _bits(array: np.ndarray) -> bytes:
    """Every NaN is the same one."""
    return (
        np.where(np.isnan(array), np.array(np.nan, array.dtype), array).tobytes()
        if array.dtype.kind == "f"
        else array.tobytes()
    )


def as_json(tensor: RequestTensor) -> RequestTensor:
    """JSON has no NaN: null is what stands for it in a list."""
    values = [None if isinstance(value, float) and math.isnan(value) else value for value in tensor.data or ()]
    return RequestTensor(tensor.name, tensor.datatype, tensor.shape, values)
