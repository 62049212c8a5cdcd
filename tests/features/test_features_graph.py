"""The compiled graph against the meaning of the transforms, written out in plain Python."""

from __future__ import annotations

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import LIMIT, fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FittedFeature, FittedFeatures
from bailiwick.features.specification import parse_features

TRAINING = pa.table(
    {
        "plain": [1.0, 2.0, None, 4.0, 4.5],
        "scaled": [10.0, 20.0, 30.0, 40.0, None],
        "logged": [0.0, 1.0, 2.0, 100.0, 3.0],
        "bucketed": [1, 2, 3, 4, 5],
        "halved": [-1.5, 0.0, 2.0, 7.5, None],
        "city": ["x", "y", "x", None, "é"],
        "day": [1, 1, 2, 2, 3],
        "kind": ["a", "b", "a", "a", "c"],
    }
)
DECLARED: dict[str, object] = {
    "plain": "number",
    "scaled": {"scale": "standard"},
    "logged": "log",
    "bucketed": {"bucketize": 3},
    "halved": {"bucketize": {"buckets": 2, "impute": -3}},
    "city": {"category": {"min_count": 1}},
    "day": {"one_hot": {"min_count": 2}},
    "kind": {"one_hot": {"min_count": 1}},
}
FITTED = fit_features(parse_features(DECLARED), TRAINING)
GRAPH = FeatureGraph(compile_features(FITTED))

numbers = st.one_of(st.none(), st.floats(width=32), st.sampled_from([math.inf, -math.inf, math.nan, 3.4e38, 0.0, -0.0]))
texts = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["", "x", "y", "é", "a", "b", "X"]))
days = st.one_of(st.none(), st.integers(-5, 5))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "plain": numbers,
            "scaled": numbers,
            "logged": numbers,
            "bucketed": numbers,
            "halved": numbers,
            "city": texts,
            "day": days,
            "kind": texts,
        }
    ),
    min_size=1,
    max_size=6,
)
SCHEMA = pa.schema(
    [(name, pa.float64()) for name in ("plain", "scaled", "logged", "bucketed", "halved")]
    + [("city", pa.string()), ("day", pa.int64()), ("kind", pa.string())]
)


def _meaning(feature: FittedFeature, value: float | str | None) -> list[float]:
    """What the docstrings say, one value at a time."""
    if feature.transform in {"category", "one_hot"}:
        key = ("" if value is None else value) if feature.datatype == "BYTES" else value
        code = feature.categories.index(key) + 1 if key in feature.categories else 0
        if feature.transform == "category":
            return [float(code)]
        return [float(code == wanted) for wanted in range(len(feature.categories) + 1)]
    number = feature.fill if value is None or math.isnan(float(value)) else max(-LIMIT, min(LIMIT, float(value)))
    if feature.transform == "log":
        return [math.log1p(max(number, 0.0))]
    if feature.transform == "bucketize":
        return [float(sum(edge <= number for edge in feature.edges))]
    return [(number - feature.offset) * feature.factor]


@settings(max_examples=200, deadline=None)
@given(rows)
def test_the_graph_computes_what_the_transforms_mean_on_any_rows(made: list[dict[str, float | str | None]]) -> None:
    matrix = GRAPH.run(pa.Table.from_pylist(made, schema=SCHEMA))
    assert np.isfinite(matrix).all()
    for found, row in zip(matrix, made, strict=True):
        expected = [number for feature in FITTED.features for number in _meaning(feature, row[feature.column])]
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_one_row_alone_gets_the_same_bits_as_among_many() -> None:
    matrix = GRAPH.run(TRAINING)
    for row in range(TRAINING.num_rows):
        assert GRAPH.run(TRAINING.slice(row, 1)).tobytes() == matrix[row].tobytes()


def test_threads_that_share_a_large_table_make_the_same_bits() -> None:
    table = pa.concat_tables([TRAINING] * (40_000 // TRAINING.num_rows + 1))
    alone = GRAPH.run(table)
    assert FeatureGraph(compile_features(FITTED), threads=3).run(table).tobytes() == alone.tobytes()


def test_no_rows_give_an_empty_matrix_of_the_right_width() -> None:
    assert GRAPH.run(TRAINING.slice(0, 0)).shape == (0, len(FITTED.names))


def test_a_plain_number_passes_bit_for_bit() -> None:
    fitted = fit_features(parse_features({"a": "number"}), pa.table({"a": [1.0]}))
    values = [0.1, -7.25e-30, struct.unpack("f", b"\x01\x02\x03\x3f")[0]]
    matrix = FeatureGraph(compile_features(fitted)).run(pa.table({"a": values}))
    assert matrix.tobytes() == np.array(values, np.float32).tobytes()


def test_a_category_without_frequent_values_is_always_other() -> None:
    declared = {"c": {"category": {"min_count": 9}}, "n": {"one_hot": {"min_count": 9}}}
    table = pa.table({"c": ["x", None], "n": [0, 1]})
    graph = FeatureGraph(compile_features(fit_features(parse_features(declared), table)))
    assert graph.run(table).tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_a_graph_of_numbers_and_categories_stays_small() -> None:
    declared = {"plain": "number", "logged": "number", "city": {"category": 1}, "kind": {"category": 1}}
    model = compile_features(fit_features(parse_features(declared), TRAINING))
    assert [node.op_type for node in model.graph.node] == [
        "Concat",
        "Imputer",
        "Clip",
        "LabelEncoder",
        "LabelEncoder",
        "Concat",
    ]


def test_compiling_twice_gives_the_same_bytes() -> None:
    again = FittedFeatures.from_json(FITTED.to_json())
    assert compile_features(again).SerializeToString() == compile_features(FITTED).SerializeToString()


def test_a_missing_or_mistyped_column_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"Feature column 'city' is not known"):
        GRAPH.run(TRAINING.drop_columns("city"))
    wrong = TRAINING.set_column(0, "plain", pa.array(["1"] * 5))
    with pytest.raises(InvalidInput, match=r"'plain' was fitted on numbers, and the column now holds string"):
        GRAPH.run(wrong)


def test_a_column_that_is_all_missing_is_imputed() -> None:
    nothing = TRAINING.set_column(0, "plain", pa.nulls(5)).set_column(5, "city", pa.nulls(5))
    matrix = GRAPH.run(nothing)
    fills = {feature.column: feature.fill for feature in FITTED.features}
    assert set(matrix[:, GRAPH.names.index("plain")]) == {fills["plain"]}
    assert set(matrix[:, GRAPH.names.index("city")]) == {1.0 + FITTED.features[5].categories.index("")}
