"""Statistics beyond one column at a time: correlations, lift, weights, slices, and what values seem to mean."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from bailiwick.core.errors import InvalidInput
from bailiwick.data.schema import infer_schema, parse_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.crossing import add_correlations, add_lift
from bailiwick.data.statistics.describing import describe
from bailiwick.data.statistics.information import add_information
from bailiwick.data.statistics.meaning import add_meanings, is_language, time_format
from bailiwick.data.statistics.slicing import slices_by
from bailiwick.data.statistics.view import DatasetView
from bailiwick.data.statistics.weighting import add_weights
from bailiwick.data.validation import validate


def _dataset(table: pa.Table) -> Any:
    return compute_statistics(table).datasets[0]


_NUMBERS = st.lists(st.tuples(*[st.none() | st.integers(-1000, 1000)] * 2), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None)
@given(_NUMBERS)
def test_correlations_are_of_the_rows_that_have_both(pairs: list[tuple[int | None, int | None]]) -> None:
    table = pa.table(
        {"x": pa.array([x for x, _ in pairs], pa.int64()), "y": pa.array([y for _, y in pairs], pa.int64())}
    )
    dataset = _dataset(table)
    add_correlations(dataset, table)
    (cross,) = dataset.cross_features
    both = np.array([(x, y) for x, y in pairs if x is not None and y is not None], dtype=float).reshape(-1, 2)
    assert cross.count == len(both)
    if len(both):
        expected = np.cov(both.T, bias=True)
        assert cross.num_cross_stats.covariance == pytest.approx(expected[0, 1], rel=1e-6, abs=1e-6)
        if expected[0, 0] > 0 and expected[1, 1] > 0:
            correlation = expected[0, 1] / np.sqrt(expected[0, 0] * expected[1, 1])
            assert cross.num_cross_stats.correlation == pytest.approx(correlation, rel=1e-6, abs=1e-6)


def test_lift_is_how_much_likelier_a_label_is_given_a_value() -> None:
    table = pa.table({"late": [1, 1, 0, 0], "carrier": ["UA", "UA", "UA", "B6"], "n": [1, 2, 3, 4]})
    dataset = _dataset(table)
    add_lift(dataset, table, "late")
    (cross,) = dataset.cross_features
    on_time, late = cross.categorical_cross_stats.lift.lift_series
    assert (late.y_int, late.y_count) == (1, 2)
    told = [(value.x_string, value.lift, value.x_count, value.x_and_y_count) for value in late.lift_values]
    assert told == [("UA", pytest.approx(4 / 3), 3, 2), ("B6", 0, 1, 0)]
    assert [value.x_string for value in on_time.lift_values] == ["B6", "UA"]
    with pytest.raises(InvalidInput, match="Did you mean 'late'"):
        add_lift(dataset, table, "lat")
    many = pa.table({"y": list(range(101))})
    with pytest.raises(InvalidInput, match="at most 100 different"):
        add_lift(_dataset(many), many, "y")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(-9, 9), st.none() | st.sampled_from("abc")),
                min_size=1, max_size=20))  # fmt: skip
def test_a_row_of_weight_three_counts_as_three_rows(rows: list[tuple[int, int | None, str | None]]) -> None:
    schema = pa.schema([("w", pa.int64()), ("n", pa.int64()), ("t", pa.string())])
    weighted = pa.Table.from_pylist([dict(zip("wnt", row, strict=True)) for row in rows], schema=schema)
    repeated = pa.Table.from_pylist(
        [dict(zip("wnt", row, strict=True)) for row in rows for _ in range(row[0])], schema=schema
    )
    dataset, plain = _dataset(weighted), _dataset(repeated)
    add_weights(dataset, weighted, "w")
    assert dataset.weighted_num_examples == plain.num_examples
    view, other = DatasetView(dataset), DatasetView(plain)
    assert view.by_weight
    for name in ("n", "t"):
        here, there = view.features[name,], other.features[name,]
        assert (here.present, here.missing, here.total_values) == (there.present, there.missing, there.total_values)
    numbers, expected = view.features["n",].numbers.weighted_numeric_stats, other.features["n",].numbers
    assert numbers.mean == pytest.approx(expected.mean)
    assert numbers.std_dev == pytest.approx(expected.std_dev, abs=1e-9)
    assert view.features["t",].values == other.features["t",].values


def test_what_is_no_weight_is_named() -> None:
    table = pa.table({"w": [1.0, -1.0], "t": ["a", "b"]})
    for column, message in (("w", "row 2: -1.0 is no weight"), ("t", "is string, not numbers"), ("v", "is not known")):
        with pytest.raises(InvalidInput, match=message):
            add_weights(_dataset(table), table, column)


def test_slices_stand_beside_all_examples() -> None:
    table = pa.table({"carrier": ["UA", "B6", "UA", None], "n": [1, 2, 3, 4]})
    statistics = describe(table, slices=slices_by(table, "carrier"), correlations=True, label="n", meanings=True)
    told = [(dataset.name, dataset.num_examples) for dataset in statistics.datasets]
    assert told == [("All Examples", 4), ("carrier_B6", 1), ("carrier_UA", 2)]
    schema = parse_schema(
        'feature { name: "carrier" type: BYTES } feature { name: "n" type: INT int_domain { max: 3 } }'
    )
    assert [anomaly.kind for anomaly in validate(statistics, schema)] == ["INT_TYPE_BIG_INT"]
    with pytest.raises(InvalidInput, match="Did you mean 'carrier'"):
        slices_by(table, "carier")


def test_meanings_are_guessed_and_inferred_into_the_schema() -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=13 * i) for i in range(120)]
    table = pa.table(
        {
            "at": moments,
            "day": [moment.strftime("%Y-%m-%d") for moment in moments],
            "seconds": [int(moment.timestamp()) for moment in moments],
            "said": [f"the plane of gate {i} was late again" for i in range(120)],
            "few": ["2013-01-01"] + [None] * 119,
            "n": list(range(120)),
        }
    )
    statistics = compute_statistics(table)
    add_meanings(statistics.datasets[0], table)
    told = {feature.name: feature.WhichOneof("domain_info") for feature in infer_schema(statistics).feature}
    assert told == {
        "at": "time_domain", "day": "time_domain", "seconds": "time_domain", "said": "natural_language_domain",
        "few": "domain", "n": None,
    }  # fmt: skip
    assert time_format(["2013-01-31 23:59:58"] * 4 + ["soon"]) == "%Y-%m-%d %H:%M:%S"
    assert time_format(["2013-01-31"] * 3 + ["soon"]) == ""
    assert [is_language(text) for text in ("a b c", "some words here", "two words", "")] == [False, True, False, False]


def test_lists_in_lists_are_told_level_by_level() -> None:
    table = pa.table({"deep": [[["a", "b"], ["c", "d"]], None, [["e", "f"], None]]})
    common = _dataset(table).features[0].string_stats.common_stats
    outer, inner = common.presence_and_valency_stats
    assert (common.num_missing, common.min_num_values, common.max_num_values, common.tot_num_values) == (1, 2, 4, 6)
    assert (outer.num_missing, outer.min_num_values, outer.max_num_values, outer.tot_num_values) == (1, 2, 2, 4)
    assert (inner.num_missing, inner.min_num_values, inner.max_num_values, inner.tot_num_values) == (1, 2, 2, 6)
    schema = infer_schema(compute_statistics(table))
    assert [count.min for count in schema.feature[0].value_counts.value_count] == [2, 2]
    deeper = pa.table({"deep": [[["a", "b", "c"], ["c", "d"]]]})
    assert [anomaly.kind for anomaly in validate(compute_statistics(deeper), schema)] == [
        "FEATURE_TYPE_HIGH_NUMBER_VALUES"
    ]
    flat = pa.table({"deep": [["a", "b"]]})
    assert [anomaly.kind for anomaly in validate(compute_statistics(flat), schema)] == ["VALUE_NESTEDNESS_MISMATCH"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.none() | st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=60))
def test_information_is_that_of_the_counts_and_never_below_chance(rows: list[tuple[str | None, int]]) -> None:
    table = pa.table({"t": pa.array([t for t, _ in rows], pa.string()), "y": [y for _, y in rows]})
    dataset = _dataset(table)
    add_information(dataset, table, "y")
    told = {stat.name: stat.num for stat in dataset.features[0].custom_stats}
    expected = mutual_info_score([str(t) for t, _ in rows], [y for _, y in rows]) / math.log(2)
    assert told["mutual_information"] == pytest.approx(expected, abs=1e-9)
    assert 0 <= told["adjusted_mutual_information"] <= told["mutual_information"]
    assert not dataset.features[1].custom_stats


def test_information_tells_what_matters_from_what_does_not() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=4000)
    columns = {"x": x, "u": rng.normal(size=4000), "w": rng.integers(0, 90, 4000).astype(str), "same": np.zeros(4000)}
    table = pa.table({**columns, "late": x > 0, "tags": [["a"]] * 4000})
    found = describe(table, label="late")
    told = {f.path.step[0]: {stat.name: stat.num for stat in f.custom_stats} for f in found.datasets[0].features}
    assert told["x"]["adjusted_mutual_information"] > 0.9
    assert told["w"]["mutual_information"] > 0.01
    assert max(told[name]["adjusted_mutual_information"] for name in ("u", "w", "same")) < 0.005
    assert told["late"] == told["tags"] == {}
    with pytest.raises(InvalidInput, match="Label column 'tags' is list"):
        add_information(_dataset(table), table, "tags")


def test_a_schemas_sparse_and_weighted_features_are_validated_from_the_rows() -> None:
    schema = parse_schema(
        'feature { name: "v" type: INT } feature { name: "i" type: INT } feature { name: "n" type: FLOAT } '
        'sparse_feature { name: "s" value_feature { name: "v" } index_feature { name: "i" } } '
        'weighted_feature { name: "w" feature { step: "v" } weight_feature { step: "n" } }'
    )
    good = pa.table({"v": [[1, 2], None], "i": [[0, 1], None], "n": [[0.5, 0.5], None]})
    assert validate(describe(good, schema=schema), schema) == []
    bad = pa.table({"v": [[1, 2], None], "i": [[0], [1]], "n": [[0.5], None]})
    assert [(anomaly.feature, anomaly.kind) for anomaly in validate(describe(bad, schema=schema), schema)] == [
        ("s", "SPARSE_FEATURE_MISSING_VALUE"),
        ("s", "SPARSE_FEATURE_LENGTH_MISMATCH"),
        ("s", "SPARSE_FEATURE_LENGTH_MISMATCH"),
        ("w", "WEIGHTED_FEATURE_LENGTH_MISMATCH"),
    ]
