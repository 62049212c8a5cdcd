"""Every transform's graph against its meaning in plain Python, on arbitrary rows."""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from bailiwick.core.errors import InvalidInput
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FittedFeatures
from bailiwick.features.specification import parse_features
from tests_support.feature_meaning import meaning
from tests_support.feature_rows import FITTED, GRAPH, LABELS, ROWS, SCHEMA, TRAINING, rows


@settings(max_examples=300, deadline=None)
@given(rows)
def test_the_graph_computes_what_the_transforms_mean_on_any_rows(made: list[dict[str, Any]]) -> None:
    matrix = GRAPH.run(pa.Table.from_pylist(made, SCHEMA))
    assert np.isfinite(matrix).all()
    for found, row in zip(matrix, made, strict=True):
        np.testing.assert_allclose(found, meaning(FITTED, row), rtol=3e-6, atol=3e-6)


def test_one_row_alone_gets_the_same_bits_as_among_many_but_for_the_last_of_a_logarithm() -> None:
    matrix = GRAPH.run(TRAINING)
    logarithms = [name in {"log", "roots"} for name in GRAPH.names]
    for row in range(TRAINING.num_rows):
        alone = GRAPH.run(TRAINING.slice(row, 1))[0]
        np.testing.assert_array_max_ulp(alone, matrix[row], maxulp=1)
        assert np.array_equal(alone[np.logical_not(logarithms)], matrix[row][np.logical_not(logarithms)])


def test_whole_codes_and_counts_are_exact() -> None:
    for found, row in zip(GRAPH.run(TRAINING), ROWS, strict=True):
        for name, value, wanted in zip(GRAPH.names, found.tolist(), meaning(FITTED, row), strict=True):
            if not name.startswith(
                ("robust", "min_max", "log", "round", "encoded", "numbered", "age", "ratio", "roots")
            ):
                assert value == np.float32(wanted), name


@pytest.mark.parametrize("size", [255, 256, 257, 300, 5000])
def test_the_first_tokens_of_a_long_text_are_seen_and_the_rest_is_not(size: int) -> None:
    made = [{**ROWS[0], "s": "  ".join(["red"] * (size - 1) + ["pie"]) + " "}, {**ROWS[1], "s": "☃" * size}]
    for found, row in zip(GRAPH.run(pa.Table.from_pylist(made, SCHEMA)), made, strict=True):
        np.testing.assert_allclose(found, meaning(FITTED, row), rtol=3e-6, atol=3e-6)


def test_one_long_text_does_not_take_memory_for_every_row() -> None:
    table = pa.table({"s": ["x" * 4_000_000, *["a b"] * 20_000, "w " * 1_000_000]})
    specs = parse_features({"s": "text", "h": {"ngrams": {"column": "s", "hash_buckets": 4}}})
    graph = FeatureGraph(compile_features(fit_features(specs, table)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    matrix = graph.run(table)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert matrix[0, 0] == 4_000_000
    assert matrix[-1, 1] == 256
    assert grown < 2 << 20  # KiB: filled up to the longest, letters alone would take 2 TB


DATES = parse_features({"t": {"date": ["year", "month", "day", "hour", "minute", "weekday", "day_of_year"]}})


def test_every_day_from_1900_to_2100_has_the_parts_that_pythons_calendar_says() -> None:
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (1900, 2101))
    days = np.arange(first, last, 86_400_000)
    table = pa.table({"t": np.concatenate([days, days - 1, days + 43_199_999])})
    matrix = FeatureGraph(compile_features(fit_features(DATES, table))).run(table)
    for found, moment in zip(matrix.tolist(), table["t"].to_pylist(), strict=True):
        when = datetime.fromtimestamp(moment // 1000, UTC)
        parts = [when.year, when.month, when.day, when.hour, when.minute, when.weekday(), when.timetuple().tm_yday]
        assert found == parts, when


def test_timestamps_dates_and_milliseconds_have_the_same_parts() -> None:
    whole_days = [951_782_400_000, -86_400_000, None]
    kinds = [pa.int64(), pa.timestamp("ms"), pa.timestamp("ns", "Europe/Paris"), pa.timestamp("us"), pa.date32()]
    found = []
    for kind in kinds:
        column = pa.array(whole_days, pa.timestamp("ms")).cast(kind)
        table = pa.table({"t": column})
        found.append(FeatureGraph(compile_features(fit_features(DATES, table))).run(table).tolist())
    assert all(each == found[0] for each in found)
    assert found[0][0][:3] == [2000.0, 2.0, 29.0]


def test_fitted_features_of_every_kind_survive_json() -> None:
    again = FittedFeatures.from_json(FITTED.to_json())
    assert again == FITTED
    assert compile_features(again).SerializeToString() == compile_features(FITTED).SerializeToString()


def test_what_was_fitted_before_there_were_derived_features_keeps_its_digest() -> None:
    fitted = fit_features(parse_features({"x": "number"}), TRAINING)
    assert (
        fitted.to_json()
        == b'{"features":[{"column":"x","transform":"number","datatype":"FP32","fill":2.5}],"format":1}'
    )


def test_a_graph_without_texts_to_cut_needs_the_standard_operators_alone() -> None:
    plain = compile_features(fit_features(parse_features({"x": "number", "t": {"date": "hour"}}), TRAINING))
    assert {item.domain: item.version for item in plain.opset_import} == {"": 15, "ai.onnx.ml": 3}
    assert {item.domain for item in compile_features(FITTED).opset_import} == {"", "ai.onnx.ml", "com.microsoft"}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"h": {"hash": {"column": "n", "buckets": 4}}}, "'h': hash needs text, and the column holds int64"),
        ({"h": {"date": {"column": "s", "parts": "hour"}}}, "date needs UTC milliseconds or timestamps"),
        ({"h": {"cross": ["c", "x"]}}, "cross needs text, whole numbers or booleans, and the column holds double"),
        ({"h": {"expression": "c + 1"}}, "'c' is used as numbers, and the column holds string"),
        ({"h": {"expression": "x == 'a'"}}, "'x' is used as text, and the column holds double"),
        ({"h": {"expression": "log(0 - abs(x) - 1)"}}, "is a number in no row"),
        ({"h": {"ngrams": {"column": "s", "min_count": 100}}}, "no n-gram is in 100 texts"),
        ({"h": {"ordinal": {"column": "n", "order": ["a"]}}}, "order has 'a', and the column holds numbers"),
        ({"h": {"target": "nope"}}, "must be a number"),
    ],
)
def test_what_a_transform_cannot_use_is_refused_by_name(declared: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        fit_features(parse_features(declared), TRAINING, LABELS)
