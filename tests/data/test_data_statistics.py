"""Statistics are exact, in TFDV's format, and mean what TFDV means by them."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics.streaming import stream_statistics

_Type = statistics_pb2.FeatureNameStatistics


def _feature(values: Any, arrow_type: pa.DataType | None = None) -> Any:
    statistics = compute_statistics(pa.table({"c": pa.array(values, arrow_type)}))
    return statistics.datasets[0].features[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.integers(-1000, 1000), min_size=1, max_size=50))
def test_counts_and_moments_of_whole_numbers_are_exact(values: list[int | None]) -> None:
    stats = _feature(values, pa.int64()).num_stats
    present = [value for value in values if value is not None]
    assert stats.common_stats.num_non_missing == len(present)
    assert stats.common_stats.num_missing == len(values) - len(present)
    assert stats.num_zeros == present.count(0)
    if present:
        assert (stats.min, stats.max) == (min(present), max(present))
        assert stats.mean == pytest.approx(np.mean(present), abs=1e-9)
        assert stats.std_dev == pytest.approx(np.std(present), abs=1e-9)
        assert stats.median == np.median(present)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=60))
def test_every_value_is_in_one_bucket_whatever_the_floats(values: list[float]) -> None:
    stats = _feature(values, pa.float64()).num_stats
    standard, quantiles = stats.histograms
    assert standard.num_nan == quantiles.num_nan == sum(map(math.isnan, values))
    counted = sum(bucket.sample_count for bucket in standard.buckets)
    assert counted == len(values) - standard.num_nan
    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) < max(finite):
        for bucket in standard.buckets[:9]:
            assert bucket.sample_count == sum(bucket.low_value <= value < bucket.high_value for value in finite)
    assert sum(bucket.sample_count for bucket in quantiles.buckets) == pytest.approx(counted)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=50))
def test_counts_of_text_are_exact_and_ties_put_the_later_value_first(values: list[str | None]) -> None:
    stats = _feature(values, pa.string()).string_stats
    counts = Counter(value for value in values if value is not None)
    assert stats.unique == len(counts)
    ranked = sorted(counts, key=lambda value: (counts[value], value.encode()), reverse=True)
    assert [(b.label, b.sample_count) for b in stats.rank_histogram.buckets] == [(v, counts[v]) for v in ranked]
    assert [(t.value, t.frequency) for t in stats.top_values] == [(v, counts[v]) for v in ranked[:20]]
    if counts:
        lengths = [len(value.encode()) for value in values if value is not None]
        assert stats.avg_length == pytest.approx(np.mean(lengths))


def test_kinds_follow_tfdv() -> None:
    table = pa.table(
        {
            "flag": [True, False],
            "whole": pa.array([1, 2], pa.uint8()),
            "real": pa.array([1.0, None], pa.float32()),
            "text": pa.array(["a", None]).dictionary_encode(),
            "raw": [b"ab", b"c"],
            "record": [{"a": 1}, None],
            "nothing": pa.nulls(2),
            "day": [dt.date(1970, 1, 2), None],
        }
    )
    dataset = compute_statistics(table, "train").datasets[0]
    assert (dataset.name, dataset.num_examples) == ("train", 2)
    kinds = {feature.path.step[0]: feature.type for feature in dataset.features}
    assert kinds == {
        "flag": _Type.INT, "whole": _Type.INT, "real": _Type.FLOAT, "text": _Type.STRING, "raw": _Type.BYTES,
        "record": _Type.STRUCT, "nothing": _Type.STRING, "day": _Type.INT,
    }  # fmt: skip
    by_name = {feature.path.step[0]: feature for feature in dataset.features}
    assert by_name["flag"].num_stats.max == 1
    assert by_name["day"].num_stats.max == 86_400_000
    assert (by_name["raw"].bytes_stats.unique, by_name["raw"].bytes_stats.avg_num_bytes) == (2, 1.5)
    assert by_name["record"].struct_stats.common_stats.num_missing == 1
    assert by_name["nothing"].string_stats.common_stats.num_missing == 2


def test_lists_are_counted_by_value_and_their_lengths_kept() -> None:
    stats = _feature([[1, 2, None], None, [], [4]]).num_stats
    common = stats.common_stats
    assert (common.num_non_missing, common.num_missing, common.tot_num_values) == (3, 1, 4)
    assert (common.min_num_values, common.max_num_values) == (0, 3)
    assert common.avg_num_values == pytest.approx(4 / 3)
    assert stats.max == 4


def test_one_infinity_does_not_blank_the_rest() -> None:
    stats = _feature([1.0, 2.0, math.inf, math.nan]).num_stats
    assert (stats.min, stats.max, stats.mean, stats.median) == (1.0, math.inf, 1.5, 1.5)
    assert [b.sample_count for b in stats.histograms[0].buckets if b.sample_count] == [1, 1, 1]


def test_a_table_without_rows_has_statistics() -> None:
    dataset = compute_statistics(pa.table({"a": pa.array([], pa.int64()), "t": pa.array([], pa.string())})).datasets[0]
    assert dataset.num_examples == 0
    assert [feature.WhichOneof("stats") for feature in dataset.features] == ["num_stats", "string_stats"]


def test_columns_with_any_name_are_counted() -> None:
    names = ['quote"d', "select", "v", "t", "ümläut; DROP"]
    dataset = compute_statistics(pa.table({name: ["a"] for name in names})).datasets[0]
    assert [feature.path.step[0] for feature in dataset.features] == names
    assert all(feature.string_stats.unique == 1 for feature in dataset.features)


def test_statistics_are_the_same_bytes_on_every_run_and_layout() -> None:
    rng = np.random.default_rng(3)
    table = pa.table({"x": rng.normal(size=5000), "t": rng.integers(0, 50, 5000).astype(str)})
    chunked = pa.concat_tables([table.slice(0, 1234), table.slice(1234)])
    first, second = (compute_statistics(t).SerializeToString(deterministic=True) for t in (table, chunked))
    assert first == second


def test_without_a_value_there_is_no_histogram_but_every_level_of_lists() -> None:
    """As TFDV has it: a histogram of nothing would compare as if it said something."""
    tables = [
        pa.table({"c": pa.nulls(2, pa.float64())}),
        pa.table({"c": pa.nulls(2, pa.list_(pa.list_(pa.int64())))}),
    ]
    for table, levels in zip(tables, ([], [2, 0]), strict=True):
        for found in (compute_statistics(table), stream_statistics([table, table.slice(0, 0)])):
            numbers = found.datasets[0].features[0].num_stats
            assert not numbers.histograms
            common = numbers.common_stats
            assert [level.num_missing for level in common.presence_and_valency_stats] == levels
