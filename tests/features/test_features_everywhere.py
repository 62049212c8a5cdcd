"""The same row gets the same features: in training and in serving, of whatever Arrow type, alone and among many."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import Fitting, fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.options import OPTIONS
from bailiwick.features.specification import parse_features
from bailiwick.serving.packing import blocks_of, pack_inputs
from bailiwick.serving.tensors import TensorSpec
from tests_support.feature_rows import DECLARED, FITTED, GRAPH, LABELS, SCHEMA, TRAINING, rows


class _Serving:
    """The graph as serving runs it: columns of one datatype as one array, from plain Python values."""

    def __init__(self, model: onnx.ModelProto) -> None:
        specs = [TensorSpec(name, datatype, (-1, 1)) for name, datatype in GRAPH.inputs.items()]
        self.blocks = blocks_of(specs)
        packed = onnx.ModelProto()
        packed.CopyFrom(model)
        pack_inputs(packed, self.blocks)
        self.session = onnxruntime.InferenceSession(packed.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(self, made: list[dict[str, Any]]) -> NDArray[np.float32]:
        feed = {}
        for block in self.blocks:
            datatype = block.specs[0].datatype
            missing = "" if datatype == "BYTES" else float("nan")
            values = [[missing if row[s.name] is None else row[s.name] for s in block.specs] for row in made]
            with np.errstate(over="ignore"):
                feed[block.name] = (
                    np.array(values, object) if datatype == "BYTES" else _floats(values).astype(block.specs[0].dtype)
                )
        matrix: NDArray[np.float32] = self.session.run(["features/matrix"], feed)[0]
        return matrix


def _floats(values: list[list[Any]]) -> NDArray[np.float64]:
    return np.array([[float(each) for each in row] for row in values], np.float64)


SERVING = _Serving(compile_features(FITTED))
LOGARITHMS = np.array([name in {"log", "roots"} for name in GRAPH.names])
KINDS: dict[str, list[pa.DataType]] = {
    "text": [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    "number": [pa.float64(), pa.float32()],
    "whole": [pa.int64()],
}


def test_every_transform_is_among_those_that_are_tried() -> None:
    names = {name for declared in DECLARED.values() if isinstance(declared, dict) for name in declared}
    assert names == set(OPTIONS) - {"category", "sklearn"}  # `category` is what `ordinal` is compiled to
    assert {feature.transform for feature in FITTED.features} >= {"category"}


@settings(max_examples=150, deadline=None)
@given(rows, st.sampled_from(KINDS["text"]), st.sampled_from(KINDS["number"]), st.integers(1, 3))
def test_training_from_arrow_gives_the_bits_that_serving_gives_from_plain_values(
    made: list[dict[str, Any]], text: pa.DataType, number: pa.DataType, chunk: int
) -> None:
    table = pa.Table.from_pylist(made, SCHEMA)
    with np.errstate(over="ignore"):
        columns = [
            table[field.name].cast(text if field.type == pa.string() else number if field.name == "x" else field.type)
            for field in SCHEMA
        ]
    typed = pa.table(columns, SCHEMA.names)
    chunked = pa.concat_tables([typed.slice(first, chunk) for first in range(0, typed.num_rows, chunk)])
    trained, served = GRAPH.run(chunked), SERVING.run(made)
    assert trained.tobytes() == served.tobytes()


@settings(max_examples=100, deadline=None)
@given(rows)
def test_any_row_alone_gets_the_bits_it_gets_among_many_but_for_the_last_of_a_logarithm(
    made: list[dict[str, Any]],
) -> None:
    table = pa.Table.from_pylist(made, SCHEMA)
    together = GRAPH.run(table)
    alone = np.concatenate([GRAPH.run(table.slice(row, 1)) for row in range(len(made))])
    assert alone[:, ~LOGARITHMS].tobytes() == together[:, ~LOGARITHMS].tobytes()
    np.testing.assert_array_max_ulp(alone[:, LOGARITHMS], together[:, LOGARITHMS], maxulp=1)


def test_more_rows_than_are_run_at_once_get_what_they_get_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = GRAPH.run(TRAINING)
    monkeypatch.setattr("bailiwick.features.graph._ROWS_AT_ONCE", 4)
    np.testing.assert_array_max_ulp(GRAPH.run(TRAINING), whole, maxulp=1)


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint32(), pa.float32(), pa.bool_()])
def test_numbers_of_every_arrow_type_are_the_numbers_that_they_are(kind: pa.DataType) -> None:
    table = pa.table({"x": pa.array([1, 0, None, 1], pa.int64()).cast(kind)})
    declared = {"x": {"scale": {"method": "min_max", "impute": 0}}}
    fitted = fit_features(parse_features(declared), table)
    assert FeatureGraph(compile_features(fitted)).run(table).ravel().tolist() == [1, 0, 0, 1]


def test_every_transform_learns_the_same_from_parts_as_from_the_whole() -> None:
    """Each kind of state, merged from the back."""
    specs = parse_features(DECLARED)
    parts = []
    for first in range(0, TRAINING.num_rows, 2):
        parts.append(Fitting(specs, TRAINING.schema))
        parts[-1].update(TRAINING.slice(first, 2), start=first, labels=LABELS[first : first + 2])
    last = parts.pop()
    while parts:
        last.merge(parts.pop())
    assert last.finish().to_json() == FITTED.to_json()


def test_the_calendar_is_right_on_every_day_of_ten_thousand_years() -> None:
    days = np.arange(np.datetime64("0001-01-01"), np.datetime64("10000-01-01"))
    specs = parse_features({"t": {"date": ["year", "month", "day", "weekday", "day_of_year"]}})
    moments = pa.table({"t": days.astype("datetime64[ms]").astype(np.int64) + 86_399_999})
    graph = FeatureGraph(compile_features(fit_features(specs, moments.slice(0, 1))))
    months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    expected = [
        years.astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (days - months).astype(np.int64) + 1,
        (days.astype(np.int64) + 3) % 7,
        (days - years).astype(np.int64) + 1,
    ]
    assert datetime.fromtimestamp(0, UTC).weekday() == 3
    np.testing.assert_array_equal(graph.run(moments).T, np.stack(expected))
