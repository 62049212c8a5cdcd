"""Statistics of parts: the same whatever the parts and their order, and the same as of all rows at once."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.statistics import counts as counting
from bailiwick.data.statistics.counts import Numbers
from bailiwick.data.statistics.merging import Part, count_part
from bailiwick.data.statistics.streaming import stream_statistics

_SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("t", pa.string()),
        ("flag", pa.bool_()),
        ("many", pa.list_(pa.int64())),
        ("deep", pa.list_(pa.list_(pa.string()))),
        ("raw", pa.binary()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
_ROW = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**40), 2**40),
        "x": st.none() | st.floats(width=32),
        "t": st.none() | st.text(max_size=3),
        "flag": st.none() | st.booleans(),
        "many": st.none() | st.lists(st.integers(0, 5), max_size=3),
        "deep": st.none() | st.lists(st.none() | st.lists(st.sampled_from("ab"), max_size=2), max_size=3),
        "raw": st.none() | st.binary(max_size=3),
        "at": st.none() | st.datetimes(),
    }
)


def _table(rows: list[Any]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


_PARTS = st.lists(st.lists(_ROW, max_size=6).map(_table), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(_PARTS, st.randoms(use_true_random=False))
def test_parts_merge_in_any_order_and_grouping(tables: list[pa.Table], shuffle: random.Random) -> None:
    parts = [count_part(table) for table in tables]
    expected = Part()
    for part in parts:
        expected = expected.merge(part)
    shuffle.shuffle(parts)
    while len(parts) > 1:  # any two neighbours, again and again
        i = shuffle.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i].merge(parts[i + 1])]
    assert parts[0].finish().SerializeToString(deterministic=True) == expected.finish().SerializeToString(
        deterministic=True
    )


@settings(max_examples=60, deadline=None)
@given(_PARTS)
def test_parts_tell_what_all_rows_tell(tables: list[pa.Table]) -> None:
    whole = compute_statistics(pa.concat_tables(tables)).datasets[0]
    streamed = stream_statistics(tables).datasets[0]
    assert streamed.num_examples == whole.num_examples
    expected = {feature.path.step[0]: feature for feature in whole.features}
    for feature in streamed.features:
        other = expected[feature.path.step[0]]
        _assert_close(feature, other)


def _assert_close(one: Any, other: Any) -> None:
    """Equal messages, numbers to rounding."""
    fields, others = ({d.name: v for d, v in message.ListFields()} for message in (one, other))
    assert fields.keys() == others.keys()
    for name, value in fields.items():
        values, expected = (value, others[name]) if hasattr(value, "__len__") else ([value], [others[name]])
        assert len(values) == len(expected), name
        for here, there in zip(values, expected, strict=True):
            if hasattr(here, "ListFields"):
                _assert_close(here, there)
            elif isinstance(here, float):
                assert here == pytest.approx(there, rel=1e-6, abs=1e-6, nan_ok=True), name
            else:
                assert here == there, name


def test_a_column_that_a_part_lacks_is_missing_there() -> None:
    found = stream_statistics([pa.table({"a": [1, 2]}), pa.table({"b": ["x"]})]).datasets[0]
    commons = [feature.num_stats.common_stats or feature.string_stats.common_stats for feature in found.features]
    assert found.features[0].num_stats.common_stats.num_missing == 1
    assert found.features[1].string_stats.common_stats.num_missing == 2
    assert len(commons) == 2


def test_whole_numbers_and_others_are_numbers_but_text_is_not() -> None:
    found = stream_statistics([pa.table({"a": [1]}), pa.table({"a": [0.5]})]).datasets[0]
    assert found.features[0].type == type(found.features[0]).FLOAT
    with pytest.raises(InvalidInput, match="Column 'a' is INT in one part of the data and STRING in another"):
        stream_statistics([pa.table({"a": [1]}), pa.table({"a": ["x"]})])
    with pytest.raises(InvalidInput, match="Column 'a' has lists 1 deep in one part of the data and 2 in another"):
        stream_statistics([pa.table({"a": [[1]]}), pa.table({"a": [[[1]]]})])
    found = stream_statistics([pa.table({"b": [1]}), pa.table({"a": [[[1, 2]]]}), pa.table({"b": [1]})]).datasets[0]
    levels = found.features[0].num_stats.common_stats.presence_and_valency_stats
    assert [level.num_missing for level in levels] == [2, 0]


def test_very_many_different_numbers_are_counted_to_a_millionth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_MOST_DISTINCT", 1000)
    tables = [pa.table({"x": [float(i * 4 + part) for i in range(2000)]}) for part in range(4)]
    numbers = stream_statistics(tables).datasets[0].features[0].num_stats
    assert (numbers.min, numbers.max, numbers.common_stats.num_non_missing) == (0, 7999, 8000)
    assert numbers.median == pytest.approx(3999.5, rel=0.01)
    assert numbers.mean == pytest.approx(3999.5, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.integers(-5, 5) | st.sampled_from([math.nan, math.inf, -math.inf, 0.5, -0.0]), max_size=40)
)
def test_how_many_numbers_are_different_is_told_on_request(values: list[float | None]) -> None:
    part = count_part(pa.table({"n": pa.array(values, pa.float64())}))
    (plain,), (asked,) = (part.finish(distinct=distinct).datasets[0].features for distinct in (False, True))
    assert [stat.name for stat in plain.custom_stats] == []
    told = {stat.name: stat.num for stat in asked.custom_stats}
    assert told == {"distinct": len({value for value in values if value is not None and not math.isnan(value)})}


def test_numbers_that_share_points_or_doubles_have_no_count_of_different_ones() -> None:
    assert Numbers.of(np.array([2**53 + 1, 2**53])).different is None
    assert Numbers.of(np.array([2**53 - 1, 1])).different == 2
    assert Numbers.merge_all([Numbers.of(np.arange(100) / 7)], most=10).different is None
