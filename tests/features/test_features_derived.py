"""Every transform's graph against its meaning in plain Python, on arbitrary rows."""

from __future__ import annotations

import math
import resource
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.features.compilation import compile_features
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FittedFeatures
from bailiwick.features.specification import parse_features
from tests_support.feature_meaning import meaning

ROWS: list[dict[str, Any]] = [
    {"x": 1.0, "n": 5, "c": "a", "d": "u", "t": 951_782_400_000, "u": 1_700_000_000_000, "s": "red apple pie"},
    {"x": 2.5, "n": 5, "c": "b", "d": "v", "t": -2_208_988_800_000, "u": 0, "s": "red  apple"},
    {"x": None, "n": 7, "c": "a", "d": "u", "t": 4_102_444_799_999, "u": None, "s": ""},
    {"x": -4.0, "n": None, "c": None, "d": "é", "t": None, "u": 1, "s": None},
    {"x": 100.0, "n": 2**62, "c": "rare", "d": "v", "t": 1_234_567_890_123, "u": 10**15, "s": "pie red apple ☃"},
    {"x": 2.5, "n": 7, "c": "b", "d": "u", "t": 5, "u": 5, "s": "apple"},
]
SCHEMA = pa.schema(
    {
        "x": pa.float64(),
        "n": pa.int64(),
        "c": pa.string(),
        "d": pa.string(),
        "t": pa.int64(),
        "u": pa.int64(),
        "s": pa.string(),
    }
)
TRAINING = pa.Table.from_pylist(ROWS, SCHEMA)
LABELS = np.array([1, 0, 1, 0, 1, 0])
DECLARED: dict[str, object] = {
    "mean": {"impute": {"column": "x", "with": "mean", "indicator": True}},
    "frequent": {"impute": {"column": "x", "with": "most_frequent"}},
    "min_max": {"scale": {"column": "x", "method": "min_max"}},
    "robust": {"scale": {"column": "x", "method": "robust", "clip": [-3, 50]}},
    "clipped": {"clip": {"column": "x", "to": [0, 10]}},
    "shares": {"clip": {"column": "x", "quantiles": [0.2, 0.8]}},
    "log": {"log": {"column": "x", "clip": [0, 1e9], "impute": 0}},
    "width": {"bucketize": {"column": "x", "by": "width", "buckets": 4}},
    "given": {"bucketize": {"column": "x", "edges": [-4, 0, 2.5]}},
    "few": {"one_hot": {"column": "c", "min_count": 1, "max_size": 2, "indicator": True}},
    "numbers": {"one_hot": {"column": "n", "min_count": 1}},
    "ordered": {"ordinal": {"column": "c", "order": ["rare", "a"]}},
    "sorted": {"ordinal": {"column": "d", "order": "sorted"}},
    "hashed": {"hash": {"column": "s", "buckets": 1000}},
    "buckets": {"hash": {"column": "c", "buckets": 7, "one_hot": True}},
    "encoded": {"target": {"column": "c", "folds": 2, "smoothing": 2}},
    "numbered": {"target": {"column": "n", "folds": 2}},
    "parts": {
        "date": {
            "column": "t",
            "parts": ["year", "month", "day", "hour", "minute", "minute_of_day", "weekday", "day_of_year"],
        }
    },
    "round": {
        "date": {"column": "t", "parts": ["hour_cyclic", "weekday_cyclic", "month_cyclic", "day_of_year_cyclic"]}
    },
    "moment": {"number": {"column": "t"}},
    "age": {"age": ["t", "u"]},
    "size": {"text": {"column": "s"}},
    "grams": {"ngrams": {"column": "s", "longest": 3, "min_count": 1}},
    "tokens": {"ngrams": {"column": "s", "hash_buckets": 5}},
    "pair": {"cross": {"columns": ["c", "d"], "min_count": 1}},
    "pairs": {"cross": {"columns": ["c", "n"], "min_count": 1, "one_hot": True}},
    "ratio": {"expression": {"expression": "x / n", "impute": -1}},
    "rule": {"expression": "1 if c in ('a', 'b') and not missing(x) and 0 < x <= 2.5 or d == 'é' else min(abs(x), n)"},
    "roots": {"expression": "sqrt(abs(x)) + coalesce(n, 3) - log1p(abs(x)) * (c != 'a')"},
}
FITTED = fit_features(parse_features(DECLARED), TRAINING, LABELS)
GRAPH = FeatureGraph(compile_features(FITTED))

special = st.sampled_from([math.inf, -math.inf, math.nan, 3.4e38, 1e39, 0.0, -0.0, 2.5, -4.0, np.nextafter(2.5, 3)])
numbers = st.one_of(st.none(), st.floats(width=32), special)
whole = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([5, 7, 2**62, 2**63 - 1, -(2**63)]))
texts = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.lists(st.sampled_from(["red", "apple", "pie", "", "☃", "x"]), max_size=6).map(" ".join),
    st.sampled_from(["", "a", "b", "A", "u", "v", "é", "é", "rare", "\0", "\n", "<pad>", "🛫"]),
)
moments = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2_208_988_800_000, 4_133_980_799_999),
    st.sampled_from([-62_135_596_800_000, -62_135_596_800_001, 253_402_300_799_999, 253_402_300_800_000]),
)
rows = st.lists(
    st.fixed_dictionaries({"x": numbers, "n": whole, "c": texts, "d": texts, "t": moments, "u": moments, "s": texts}),
    min_size=1,
    max_size=6,
)


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
