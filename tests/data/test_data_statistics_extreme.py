"""Statistics of values that break arithmetic: numbers whose squares no double holds, and texts as long as books."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bailiwick.data.engines.duckdb_engine import DuckEngine
from bailiwick.data.engines.statistics import engine_statistics
from bailiwick.data.schema import infer_schema
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.counts import Numbers
from bailiwick.data.statistics.empties import add_empties
from bailiwick.data.statistics.weighting import add_weights
from bailiwick.data.validation import validate
from bailiwick.data.validation.row_rules import schema_checks
from bailiwick.data.validation.sql import offending_rows

GREATEST = float(np.finfo(np.float64).max)
EXTREMES = [
    [-1e308, 1e308, 1e308],
    [-GREATEST, GREATEST, 0.0],
    [1e200, 3e200, 2e200],
    [1e-200, 3e-200, 2e-200],
    [-GREATEST, 1.0, 2.0],
]


def _numbers(table: pa.Table) -> Any:
    return next(
        feature.num_stats for feature in compute_statistics(table).datasets[0].features if feature.path.step[0] == "x"
    )


def _deviation(values: list[float]) -> float:
    unit = max(abs(value) for value in values)
    return float(np.std(np.array(values) / unit)) * unit


@pytest.mark.parametrize("values", EXTREMES)
def test_moments_and_histograms_of_huge_and_tiny_numbers_are_finite_and_right(values: list[float]) -> None:
    told = _numbers(pa.table({"x": values}))
    assert told.mean == pytest.approx(sum(value / 3 for value in values), rel=1e-12)
    assert told.std_dev == pytest.approx(_deviation(values), rel=1e-12)
    assert told.median == sorted(values)[1]
    for histogram in told.histograms:
        edges = [edge for bucket in histogram.buckets for edge in (bucket.low_value, bucket.high_value)]
        assert all(map(math.isfinite, edges))
        assert edges == sorted(edges)
        assert sum(bucket.sample_count for bucket in histogram.buckets) == pytest.approx(3)


@pytest.mark.parametrize("values", EXTREMES)
def test_weighted_moments_of_huge_and_tiny_numbers_are_right(values: list[float]) -> None:
    table = pa.table({"x": values, "w": [1.0, 1.0, 1.0]})
    dataset = compute_statistics(table).datasets[0]
    add_weights(dataset, table, "w")
    (feature,) = (one for one in dataset.features if one.path.step[0] == "x")
    told = feature.num_stats.weighted_numeric_stats
    assert told.mean == pytest.approx(sum(value / 3 for value in values), rel=1e-12)
    assert told.std_dev == pytest.approx(_deviation(values), rel=1e-12)
    assert all(math.isfinite(bucket.high_value) for one in told.histograms for bucket in one.buckets)


@pytest.mark.parametrize("values", EXTREMES)
def test_an_engine_tells_the_same_of_huge_and_tiny_numbers(values: list[float]) -> None:
    table = pa.table({"x": values})
    here = _numbers(table)
    with closing(DuckEngine.of_table(table)) as engine:
        (feature,) = engine_statistics(engine).datasets[0].features
    there = feature.num_stats
    assert (there.mean, there.std_dev) == (pytest.approx(here.mean, rel=1e-9), pytest.approx(here.std_dev, rel=1e-9))
    assert there.histograms == here.histograms


def test_moments_of_numbers_that_share_points_are_finite_too() -> None:
    many = Numbers.merge_all([Numbers.of(np.linspace(-1e300, 1e300, 5000))], most=1000)
    assert not many.exact
    mean, deviation = many.moments()
    assert abs(mean) < 1e297
    assert deviation == pytest.approx(2e300 / math.sqrt(12), rel=0.01)


def test_a_missing_list_in_a_list_stands_for_none_as_an_empty_one_does() -> None:
    table = pa.table({"x": pa.array([[None, [1]], [[], [2]], None], pa.list_(pa.list_(pa.int64())))})
    dataset = compute_statistics(table).datasets[0]
    add_empties(dataset, table)
    assert [(stat.name, stat.num) for stat in dataset.features[0].custom_stats if stat.name == "list_empty"] == [
        ("list_empty", 2.0)
    ]


LONG = ["a", "x" * 1024, "x" * 1025, "y" * 100_000, "é" * 513, None, "a"]
RANKED = [("__LARGE_BYTES__", 3.0), ("a", 2.0), ("x" * 1024, 1.0)]


def _top(told: Any) -> list[tuple[str, float]]:
    return [(each.value, each.frequency) for each in told.top_values]


def test_texts_longer_than_a_kilobyte_are_ranked_as_one_and_told_by_their_number() -> None:
    table = pa.table({"t": LONG, "w": [1.0] * 7})
    statistics = compute_statistics(table)
    (feature, _) = statistics.datasets[0].features
    assert _top(feature.string_stats) == RANKED
    assert [bucket.label for bucket in feature.string_stats.rank_histogram.buckets] == [text for text, _ in RANKED]
    assert feature.string_stats.unique == 5
    assert len(statistics.SerializeToString()) < 10_000
    add_weights(statistics.datasets[0], table, "w")
    assert _top(feature.string_stats.weighted_string_stats) == RANKED
    with closing(DuckEngine.of_table(table)) as engine:
        there = engine_statistics(engine).datasets[0].features[0]
    assert _top(there.string_stats) == RANKED


def test_a_schema_inferred_from_long_texts_fits_them() -> None:
    table = pa.table({"t": LONG[:5] * 30})
    statistics = compute_statistics(table)
    schema = infer_schema(statistics)
    assert "__LARGE_BYTES__" in schema.string_domain[0].value
    assert validate(statistics, schema) == []
    assert offending_rows(table, schema_checks(schema, table.schema)) == []
