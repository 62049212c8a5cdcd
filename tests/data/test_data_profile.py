"""Profiles: bins frozen by the reference, exact counts that add up, quick enough for every window."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.profile import (
    CategoricalProfile,
    NumericProfile,
    Profile,
    build_profile,
    count,
    from_json,
    to_json,
)


def _numeric(profile: Profile, index: int = 0) -> NumericProfile:
    feature = profile.features[index]
    assert isinstance(feature, NumericProfile)
    return feature


def _categorical(profile: Profile, index: int = 0) -> CategoricalProfile:
    feature = profile.features[index]
    assert isinstance(feature, CategoricalProfile)
    return feature


_ROWS = st.lists(st.tuples(st.none() | st.floats(), st.none() | st.sampled_from("abcdefgh")), max_size=30)


def _table(rows: list[tuple[float | None, str | None]]) -> pa.Table:
    numbers, words = [row[0] for row in rows], [row[1] for row in rows]
    return pa.table({"x": pa.array(numbers, pa.float64()), "t": pa.array(words, pa.string())})


@settings(max_examples=60, deadline=None)
@given(_ROWS, _ROWS, _ROWS, _ROWS)
def test_merging_is_counting_the_rows_together_in_any_grouping(reference: Any, a: Any, b: Any, c: Any) -> None:
    bins = build_profile(_table(reference))
    one, two, three = (count(bins, _table(rows)) for rows in (a, b, c))
    assert one.merge(two).merge(three) == one.merge(two.merge(three)) == count(bins, _table(a + b + c))
    assert one.merge(two) == two.merge(one)
    assert one.merge(one.empty()) == one


@settings(max_examples=60, deadline=None)
@given(_ROWS, _ROWS)
def test_every_row_is_in_exactly_one_cell_of_each_column(reference: Any, window: Any) -> None:
    counted = count(build_profile(_table(reference)), _table(window))
    assert [sum(feature.counts) for feature in counted.features] == [len(window)] * 2
    assert from_json(to_json(counted)) == counted


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(), min_size=1, max_size=50), st.lists(st.floats(), max_size=50))
def test_cells_of_numbers_are_half_open_from_below(reference: Any, window: Any) -> None:
    bins = build_profile(pa.table({"x": pa.array(reference, pa.float64())}))
    feature = _numeric(count(bins, pa.table({"x": pa.array(window, pa.float64())})))
    finite = [value for value in window if not math.isnan(value)]
    at_most = [sum(value <= edge for value in finite) for edge in feature.edges]
    assert list(np.cumsum(feature.counts[1:])) == [*at_most, len(finite)]


def test_the_reference_lies_between_the_outer_cells() -> None:
    feature = _numeric(build_profile(pa.table({"x": np.random.default_rng(1).normal(size=5000)})))
    assert len(feature.edges) == 101
    assert (feature.counts[0], feature.counts[1], feature.counts[-1]) == (0, 0, 0)
    assert {50} == set(feature.counts[2:-1])


def test_a_constant_column_sees_any_other_value() -> None:
    bins = build_profile(pa.table({"x": [7] * 10}))
    assert count(bins, pa.table({"x": [6.999, 7, 7, 7.001, None, float("nan")]})).features[0].counts == (2, 1, 2, 1)


def test_columns_with_nothing_in_them_have_one_cell() -> None:
    bins = build_profile(pa.table({"x": pa.array([None, float("nan")], pa.float64()), "n": pa.nulls(2)}))
    assert [feature.counts for feature in bins.features] == [(2, 0), (0, 0, 2)]
    assert count(bins, pa.table({"x": [1.0], "n": ["a"]})).features[0].counts == (0, 1)


def test_common_rare_unseen_and_missing_values_are_told_apart() -> None:
    bins = build_profile(pa.table({"t": ["UA"] * 6 + ["B6"] * 5 + ["OO", None]}))
    feature = _categorical(bins)
    assert (feature.categories, feature.rare, feature.distinct) == (("UA", "B6"), ("OO",), 3)
    assert feature.counts == (6, 5, 1, 0, 1)
    assert feature.unseen == 1 / 13
    assert count(bins, pa.table({"t": ["UA", "OO", "ZZ", None]})).features[0].counts == (1, 0, 1, 1, 1)


def test_where_rare_values_are_too_many_to_list_they_and_unseen_ones_are_other() -> None:
    feature = _categorical(build_profile(pa.table({"t": [f"v{i}" for i in range(2000)]})))
    assert (feature.closed, feature.rare, feature.counts) == (False, (), (2000, 0, 0))


def test_booleans_whole_numbers_and_encodings_are_profiled_and_times_are_not() -> None:
    table = pa.table(
        {
            "flag": [True] * 5 + [False] * 5,
            "n": pa.array(range(10), pa.uint8()),
            "coded": pa.array(["a"] * 10).dictionary_encode(),
            "large": pa.array(["a"] * 10, pa.large_string()),
            "at": pa.array(range(10), pa.timestamp("s")),
            "many": [[1]] * 10,
        }
    )
    profile = build_profile(table)
    assert [feature.name for feature in profile.features] == ["flag", "n", "coded", "large"]
    assert _categorical(profile).categories == ("false", "true")
    assert [feature.name for feature in build_profile(table, ["n"]).features] == ["n"]
    with pytest.raises(InvalidInput, match="'at' is timestamp"):
        build_profile(table, ["at"])
    with pytest.raises(InvalidInput, match="Column 'm' is not known"):
        build_profile(table, ["m"])


def test_a_window_that_lacks_a_column_or_changed_its_kind_is_refused() -> None:
    bins = build_profile(pa.table({"x": [1.0], "t": ["a"]}))
    with pytest.raises(InvalidInput, match="Column 't' is not known"):
        count(bins, pa.table({"x": [1.0]}))
    with pytest.raises(InvalidInput, match="'x' is string, but its profile is numeric"):
        count(bins, pa.table({"x": ["1"], "t": ["a"]}))


def test_profiles_of_other_bins_do_not_merge_and_bad_json_is_refused() -> None:
    one, other = build_profile(pa.table({"x": [1.0]})), build_profile(pa.table({"x": [2.0]}))
    with pytest.raises(InvalidInput, match="different bins"):
        one.merge(other)
    for text in ("{", '{"rows": 1}', to_json(one).replace('"counts":[0,', '"counts":[0,0,')):
        with pytest.raises(InvalidInput, match="not a profile"):
            from_json(text)


def test_bins_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(5)
    table = pa.table({"x": rng.normal(size=999), "t": rng.zipf(1.3, 999).astype(str)})
    assert build_profile(table.take(rng.permutation(999))) == build_profile(table)


def test_a_window_is_counted_and_a_reference_built_quickly(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)

    def table(rows: int) -> pa.Table:
        numbers = {f"x{i}": rng.normal(size=rows) for i in range(8)}
        whole = {f"i{i}": rng.integers(0, 50, rows) for i in range(2)}
        words = {f"t{i}": pa.array((rng.zipf(1.5, rows) % 1000).astype(str)) for i in range(5)}
        return pa.table({**numbers, **whole, **words})

    reference, window = table(50_000), table(10_000)
    bins = build_profile(reference)
    building = min(_seconds(lambda: build_profile(reference)) for _ in range(5))
    counting = min(_seconds(lambda: count(bins, window)) for _ in range(5))
    with capsys.disabled():
        print(f"\nbuild 50,000 x 15: {building * 1e3:.1f} ms; count 10,000 x 15: {counting * 1e3:.1f} ms")
    assert building < 0.2 * 3  # three times the budget: the machine may be busy
    assert counting < 0.02 * 3


def _seconds(act: Any) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
