"""Rows counted in parts, in any order and grouping, are the rows counted at once."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.features import states
from bailiwick.features.fitting import Fitting
from bailiwick.features.specification import parse_features
from bailiwick.features.states import Counts, Distribution

SPECS = parse_features(
    {
        "x": {"scale": {"method": "robust", "clip_quantiles": [0.05, 0.95], "indicator": True}},
        "mean": {"scale": {"column": "x", "impute": "mean"}},
        "bins": {"bucketize": {"column": "x", "buckets": 4}},
        "c": {"one_hot": {"min_count": 1}},
        "t": {"target": {"column": "c", "folds": 3}},
        "pair": {"cross": {"columns": ["c", "d"], "min_count": 1}},
        "s": {"ngrams": {"longest": 2, "min_count": 1}},
        "e": {"expression": "x * 2 if c == 'a' else x / 3"},
    }
)
SCHEMA = pa.schema({"x": pa.float64(), "c": pa.string(), "d": pa.string(), "s": pa.string()})
row = st.fixed_dictionaries(
    {
        "x": st.one_of(st.none(), st.floats(width=32)),
        "c": st.sampled_from(["a", "b", None, ""]),
        "d": st.sampled_from(["u", "é", None]),
        "s": st.sampled_from(["a b", "b a b", "", None]),
    }
)
SURE = {"x": 1.0, "c": "a", "d": "u", "s": "a"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(row, max_size=9), st.lists(row, max_size=9), st.lists(row, max_size=9), st.randoms(use_true_random=False)
)
def test_merging_is_associative_and_commutative_to_the_bit(
    first: list[dict[str, object]], second: list[dict[str, object]], third: list[dict[str, object]], random: object
) -> None:
    whole = [SURE, *first, *second, *third]
    labels = np.array([random.randint(0, 1) for _ in whole])  # type: ignore[attr-defined]
    cuts = [0, 1 + len(first), 1 + len(first) + len(second), len(whole)]

    def part(number: int) -> Fitting:
        fitting = Fitting(SPECS, SCHEMA)
        piece = slice(cuts[number], cuts[number + 1])
        fitting.update(pa.Table.from_pylist(whole[piece], SCHEMA), start=cuts[number], labels=labels[piece])
        return fitting

    at_once = Fitting(SPECS, SCHEMA)
    at_once.update(pa.Table.from_pylist(whole, SCHEMA), labels=labels)
    left = part(0)
    left.merge(part(1))
    left.merge(part(2))
    right, tail = part(0), part(1)
    tail.merge(part(2))
    right.merge(tail)
    backwards = part(2)
    backwards.merge(part(1))
    backwards.merge(part(0))
    for other in (left, right, backwards):
        assert other.finish().to_json() == at_once.finish().to_json()
        assert other.finish(without=1).to_json() == at_once.finish(without=1).to_json()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**49), 2.0**49, width=32), min_size=1, max_size=40), st.floats(0, 1))
def test_a_distribution_tells_what_numpy_tells_of_the_values(values: list[float], share: float) -> None:
    array = np.array(values, np.float32)
    seen = Distribution()
    seen.update(array)
    wide = array.astype(np.float64)
    assert seen.mean == pytest.approx(wide.mean(), rel=1e-9, abs=1e-9)
    assert seen.deviation == pytest.approx(wide.std(), rel=1e-6, abs=1e-6 * max(1.0, float(np.abs(wide).max())))
    assert seen.median == np.median(wide)
    assert seen.quantiles([share]).tolist() == [np.quantile(array, share, method="higher")]


def test_beyond_its_limit_a_distribution_rounds_alike_in_whatever_order_it_is_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(states, "MAX_DISTINCT", 64)
    monkeypatch.setattr(states, "_WAITING", 16)
    values = np.random.default_rng(5).normal(size=2000).astype(np.float32)
    orders = [np.arange(2000), np.arange(2000)[::-1], np.random.default_rng(1).permutation(2000)]
    found = []
    for order in orders:
        merged = Distribution()
        for piece in np.array_split(order, 7):
            other = Distribution()
            other.update(values[piece])
            merged.merge(other)
        found.append([each.tolist() for each in merged.counted()] + [merged.bits])
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) <= 64
    assert sum(found[0][1]) == 2000
    off = 2.0 ** (found[0][2] - 23)
    assert merged.quantiles([0.9])[0] == pytest.approx(np.quantile(values, 0.9, method="higher"), rel=off)


def test_missing_values_are_counted_apart() -> None:
    seen = Distribution()
    seen.update(np.array([math.nan, -0.0, 0.0], np.float32))
    assert (seen.missing, seen.count, [each.tolist() for each in seen.counted()]) == (1, 2, [[0.0], [2]])


def test_more_different_values_than_can_be_remembered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "MAX_DISTINCT", 3)
    with pytest.raises(LimitExceeded, match=r"'c' has more than 3 different values.*hash"):
        Counts("c").update("abcd", [1] * 4)


def test_fittings_of_other_features_are_not_merged_and_labels_are_asked_for() -> None:
    other = Fitting(parse_features({"x": "number"}), SCHEMA)
    with pytest.raises(InvalidInput, match="same features"):
        Fitting(SPECS, SCHEMA).merge(other)
    with pytest.raises(InvalidInput, match="fitted with labels"):
        Fitting(SPECS, SCHEMA).update(pa.Table.from_pylist([SURE], SCHEMA))
    with pytest.raises(InvalidInput, match="same count of folds"):
        Fitting(parse_features({"c": {"target": {"folds": 2}}, "d": {"target": {"folds": 3}}}), SCHEMA)
