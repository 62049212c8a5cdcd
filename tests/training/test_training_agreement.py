"""How far answers are apart, and packages made of graphs that somebody else wrote."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from bailiwick.core.errors import InvalidInput
from bailiwick.serving.tensors import parse_signature
from bailiwick.training.agreement import compare, errors_of
from bailiwick.training.metadata import read_metadata
from bailiwick.training.wrapping import Draft, Input, graph_inputs, parse

FLOATS = arrays.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 3)))


@given(FLOATS)
def test_an_answer_agrees_with_itself(values: np.ndarray) -> None:
    assert errors_of(values, values).tolist() == [0.0] * len(values)


@given(FLOATS, st.floats(1e-4, 1.0))
def test_an_answer_that_is_off_is_told(values: np.ndarray, off: float) -> None:
    finite = np.where(np.isfinite(values) & (np.abs(values) < 1e30), values, 1.0)
    moved = finite + off * np.maximum(1.0, np.abs(finite))
    assert (errors_of(finite, moved) >= off * 0.99).all()


@pytest.mark.parametrize(
    ("expected", "found", "error"),
    [
        (math.nan, 1.0, 1.0),
        (1.0, math.nan, 1.0),
        (1e39, math.inf, 0.0),  # past float32, as packages compute
        (-1e39, math.inf, 1.0),
        (1e30, math.inf, 1.0),
        (2e6, 2e6 + 2, 1e-6),
        (0.5, 0.6, 0.1),
    ],
)
def test_the_error_of_a_number(expected: float, found: float, error: float) -> None:
    assert errors_of(np.array([expected]), np.array([found]))[0] == pytest.approx(error)


def test_labels_are_the_same_or_wrong() -> None:
    texts = np.array(["yes", "no"], object), np.array(["yes", "yes"], object)
    assert errors_of(*texts).tolist() == [0, 1]
    assert errors_of(np.array([1, 2]), np.array([1, 3])).tolist() == [0, 1]
    report = compare(
        {"x": np.array([1.0, 2.0])}, [("label", texts[0])], [("label", texts[1])], probes=1, tolerance=1e-5
    )
    assert (report.passed, report.label_flips, report.rows) == (False, 1, 2)
    assert report.worst == {"expected": {"label": "no"}, "found": {"label": "yes"}, "row": {"x": 2.0}}


def doubling(shape: list[int | None] | None = None) -> bytes:
    """y = 2 * features, and the first column of it as integers."""
    nodes = [
        helper.make_node("Add", ["features", "features"], ["variable"]),
        helper.make_node("ArgMax", ["features"], ["best"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "doubling",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2] if shape is None else shape)],
        [
            helper.make_tensor_value_info("variable", TensorProto.FLOAT, [None, 2]),
            helper.make_tensor_value_info("best", TensorProto.INT64, [None]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def test_a_matrix_is_fed_by_columns_and_read_as_the_model_answers() -> None:
    inputs = [Input("a", "FP64", nullable=False), Input("n", "INT64")]
    draft = Draft(doubling(), inputs, matrix=True)
    rows = {"a": np.array([[1.5], [2.5]]), "n": np.array([[3], [0]])}
    expected = [("second", np.array([6.0, 0.0])), ("which", np.array([1, 0])), ("both", np.array([[3.0, 6], [5, 0]]))]
    readings = draft.readings(rows, expected)
    assert [(each.source, each.view, each.datatype) for each in readings] == [
        ("model/variable", "column", "FP32"),
        ("model/best", "same", "INT64"),
        ("model/variable", "same", "FP32"),
    ]
    package = draft.package(readings, inputs)
    assert package == draft.package(readings, inputs)
    signature = parse_signature(
        str(read_metadata(parse(package)).signature).replace("'", '"').replace("False", "false")
    )
    assert [(spec.name, spec.datatype, spec.nullable) for spec in signature.inputs] == [
        ("a", "FP64", False),
        ("n", "INT64", True),
    ]
    found = onnxruntime.InferenceSession(package).run(["second", "which", "both"], rows)
    for (_, wanted), values in zip(expected, found, strict=True):
        np.testing.assert_array_equal(values, wanted)


def test_an_answer_that_no_output_can_be_is_refused() -> None:
    draft = Draft(doubling(), [Input("a", "FP32"), Input("b", "FP32")], matrix=True)
    rows = {"a": np.zeros((2, 1), np.float32), "b": np.zeros((2, 1), np.float32)}
    with pytest.raises(InvalidInput, match="has the shape of answer"):
        draft.readings(rows, [("answer", np.zeros((2, 7)))])


@pytest.mark.parametrize(("shape", "why"), [
    ([4, 2], "takes 4 rows at a time and no other number"),
    ([None, None], "only the first dimension"),
    ([], "no dimensions"),
])  # fmt: skip
def test_a_graph_that_takes_no_rows_is_refused(shape: list[int | None], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        graph_inputs(parse(doubling(shape)))


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Draft(b"no model", [], matrix=True)
