"""Feature skew by id: TFDV's counts on TFDV's own cases, known skew found exactly, and names that do no harm."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.skew import FeatureSkew, Side, SkewReport, find_skew


def side(table: pa.Table, name: str = "side") -> Side:
    return Side(name, tuple(table.column_names), lambda names: table.select(names).to_reader())


def skew(training: pa.Table, serving: pa.Table, *on: str, **options: Any) -> SkewReport:
    ids = {name: name for name in on or ("id",)}
    return find_skew(side(training, "training"), side(serving, "serving"), ids, **options)


def counts(report: SkewReport) -> dict[str, tuple[int, ...]]:
    """Of each feature: on training, on serving, match, mismatch, training only, serving only, different."""
    return {each.feature: _counts(each) for each in report.features}


def _counts(one: FeatureSkew) -> tuple[int, ...]:
    shared = (one.training_count, one.serving_count, one.match_count, one.mismatch_count)
    return (*shared, one.training_only, one.serving_only, one.diff_count)


IDS = {"id1": [0, 1], "id2": [1, 1], "no_skew": [1, 1]}
TRAINING = pa.table({**IDS, "ignore": [0, 0], "close_float": [1.12345] * 2, "skewed": [0, 0], "training_only": [0, 0]})
SERVING = pa.table({**IDS, "ignore": [1, 1], "close_float": [1.12456] * 2, "skewed": [1, 1], "serving_only": [1, 1]})
EXPECTED = {
    "close_float": (2, 2, 0, 2, 0, 0, 2),
    "skewed": (2, 2, 0, 2, 0, 0, 2),
    "training_only": (2, 0, 0, 0, 2, 0, 2),
    "serving_only": (0, 2, 0, 0, 0, 2, 2),
    "no_skew": (2, 2, 2, 0, 0, 0, 0),
}
"""TFDV's `feature_skew_detector_test.py`: inputs and expected results (Apache-2.0)."""


def test_tfdvs_cases_give_tfdvs_counts() -> None:
    found = skew(TRAINING, SERVING, "id1", "id2", ignore=["ignore"])
    assert counts(found) == EXPECTED
    close = skew(TRAINING, SERVING, "id1", "id2", ignore=["ignore"], tolerance=0.005)
    assert counts(close) == {**EXPECTED, "close_float": (2, 2, 2, 0, 0, 0, 0)}
    same = skew(TRAINING, TRAINING, "id1", "id2", ignore=["ignore"])
    assert same.skewed == []
    for one, other in ((TRAINING.slice(0, 0), SERVING), (TRAINING, SERVING.slice(0, 0))):
        assert skew(one, other, "id1", "id2").features == ()
    lost = pa.table({"id1": [1], "id2": pa.array([None], pa.int64())})
    assert skew(pa.table({"id1": [1], "id2": [2]}), lost, "id1", "id2").serving_without_id == 1


def test_rows_that_cannot_be_paired_are_counted_and_left_out() -> None:
    training = pa.table({"id": ["a", "b", "b", "c", None, "d"], "x": [1, 2, 3, 4, 5, 6]})
    serving = pa.table({"id": ["a", "b", "d", "e", "f", None, None], "x": [1, 2, 7, 8, 9, 0, 0]})
    found = skew(training, serving)
    assert (found.training_rows, found.serving_rows, found.joined) == (6, 7, 2)
    assert (found.training_without_id, found.serving_without_id, found.repeated_ids) == (1, 2, 1)
    assert (found.training_only_ids, found.serving_only_ids) == (1, 2)
    [x] = found.features
    assert (_counts(x), x.largest) == ((2, 2, 1, 1, 0, 0, 1), 1.0)
    assert [(each.id, each.training, each.serving) for each in x.examples] == [({"id": "d"}, 6, 7)]


def test_known_skew_is_found_to_the_row() -> None:
    size = 5000
    base = [math.sin(i) for i in range(size)]
    moved = [value + (0.5 if i % 10 == 0 else 0.0) for i, value in enumerate(base)]
    training = pa.table({"id": range(size), "x": base, "y": base})
    served = pa.table(
        {
            "id": [str(i) for i in reversed(range(size))],  # text there, numbers here, and in another order
            "x": pa.array(list(reversed(moved)), pa.float32()),
            "y": pa.array([None if i % 4 == 0 else v for i, v in reversed(list(enumerate(base)))], pa.float32()),
        }
    )
    found = skew(training, served)
    assert counts(found) == {
        "x": (size, size, 4500, 500, 0, 0, 500),
        "y": (size, 3750, 3750, 0, 1250, 0, 1250),
    }
    assert [each.feature for each in found.skewed] == ["y", "x"]
    assert found.skewed[1].largest == pytest.approx(0.5, abs=1e-6)
    assert counts(skew(training, served, tolerances={"x": 0.51}))["x"][3] == 0


def test_special_numbers_and_extremes_are_compared_as_they_are() -> None:
    nan, inf = math.nan, math.inf
    one = pa.table({"id": range(6), "f": [nan, inf, inf, -0.0, nan, 1.0], "i": [2**63 - 1] * 6, "b": [True] * 6})
    other = pa.table({"id": range(6), "f": [nan, inf, -inf, 0.0, 1.0, 1.0], "i": [2**63 - 2] * 6, "b": [1] * 6})
    found = counts(skew(one, other))
    assert found["f"] == (6, 6, 4, 2, 0, 0, 2)
    assert found["i"][3] == 6
    assert found["b"] == (6, 6, 6, 0, 0, 0, 0)
    assert counts(skew(one, other, tolerance=1))["i"][3] == 0


def test_values_of_other_kinds_never_match() -> None:
    found = skew(pa.table({"id": [1], "x": ["1"]}), pa.table({"id": [1], "x": [1]}))
    assert (found.features[0].mismatch_count, found.features[0].types) == (1, ("string", "int64"))


def test_ids_may_have_other_names_there() -> None:
    found = find_skew(
        side(pa.table({"flight": ["a"], "x": [1]})), side(pa.table({"unit": ["a"], "x": [2]})), {"flight": "unit"}
    )
    assert [each.feature for each in found.skewed] == ["x"]


@pytest.mark.parametrize("name", ['a"; DROP TABLE pairs; --', "c0", "tr", "select", "t.r", "'", "k0", " "])
def test_any_name_can_be_an_id_or_a_feature(name: str) -> None:
    rows, other = pa.table({name: [1, 2], "z": [1, 2]}), pa.table({name: [1, 2], "z": [1, 3]})
    assert counts(skew(rows, other, name))["z"][3] == 1
    assert counts(skew(rows, other, "z"))[name] == (1, 1, 1, 0, 0, 0, 0)


def test_hundreds_of_features_are_compared() -> None:
    names = [f"f{i}" for i in range(300)]
    one = pa.table({"id": [1, 2], **{name: [i, i] for i, name in enumerate(names)}})
    other = pa.table({"id": [1, 2], **{name: [i, i + i % 2] for i, name in enumerate(names)}})
    assert len(skew(one, other).skewed) == 150


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["nix"]}, "Column of either side"),
        ({"tolerance": -1.0}, "0 or more"),
        ({"tolerance": math.nan}, "0 or more"),
        ({"tolerances": {"nix": 1.0}}, "Column of either side"),
    ],
)
def test_what_cannot_be_compared_is_said(options: dict[str, Any], message: str) -> None:
    rows = pa.table({"id": [1], "x": [1]})
    with pytest.raises(InvalidInput, match=message):
        skew(rows, rows, **options)
    with pytest.raises(InvalidInput, match="Id column of training"):
        skew(rows, rows, "nix")
    with pytest.raises(InvalidInput, match="cannot be joined"):
        skew(rows, pa.table({"id": [1.5], "x": [1]}))


values = st.one_of(st.none(), st.integers(-3, 3), st.just(2**63 - 1))
pairs = st.dictionaries(st.integers(0, 30), st.tuples(values, values), max_size=20)


@settings(max_examples=15, deadline=None)
@given(pairs, st.integers(0, 2))
def test_counts_are_those_of_a_join_by_hand(rows: dict[int, tuple[int | None, int | None]], tolerance: int) -> None:
    ids = list(rows)
    one = pa.table({"id": pa.array(ids, pa.int64()), "x": pa.array([rows[i][0] for i in ids], pa.int64())})
    other = pa.table(
        {"id": pa.array(ids[::-1], pa.int64()), "x": pa.array([rows[i][1] for i in ids[::-1]], pa.int64())}
    )
    found = skew(one, other, tolerance=float(tolerance))
    both = [(a, b) for a, b in rows.values() if a is not None and b is not None]
    mismatch = sum(abs(a - b) > tolerance for a, b in both)
    only = [sum(a is not None and b is None for a, b in rows.values())]
    only.append(sum(b is not None and a is None for a, b in rows.values()))
    if both or sum(only):
        assert counts(found)["x"][2:6] == (len(both) - mismatch, mismatch, *only)


def test_moments_are_compared_with_the_milliseconds_that_the_prediction_log_keeps() -> None:
    at = [dt.datetime(2026, 1, 1, 1, 2, 3, 456_789, tzinfo=dt.UTC), dt.datetime(1960, 1, 1, tzinfo=dt.UTC), None]
    day = [dt.date(2026, 1, 1), dt.date(1960, 1, 1), None]
    one = pa.table({"id": [1, 2, 3], "at": pa.array(at, pa.timestamp("us", "UTC")), "day": day})
    logged = pa.table({"id": [1, 2, 3], "at": [1767229323456.0, -315619200000.0, None], "day": [1767225600000, 0, 5]})
    found = skew(one, logged)
    assert counts(found) == {"at": (2, 2, 2, 0, 0, 0, 0), "day": (2, 3, 1, 1, 0, 1, 2)}
    assert found.features[1].examples[0].training == dt.date(1960, 1, 1)


def test_moments_that_differ_are_shown() -> None:
    at = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]
    one, other = (pa.table({"id": [1], "at": pa.array([each], pa.timestamp("us", "UTC"))}) for each in at)
    (feature,) = skew(one, other).features
    assert (feature.examples[0].training, feature.examples[0].serving) == tuple(at)


def test_two_large_sides_are_joined_in_little_memory() -> None:
    size, each = 200_000, 50_000

    def large(step: int) -> Side:
        def read(names: list[str]) -> pa.RecordBatchReader:
            def batches() -> Any:
                for first in range(0, size, each):
                    rows = [(row * step) % size for row in range(first, first + each)]
                    ids = [f"key-{row:060d}" for row in rows]
                    values = [row + (step == 3 and row % 1000 == 0) for row in rows]
                    yield pa.record_batch({"id": ids, "x": values}).select(names)

            schema = pa.schema([("id", pa.string()), ("x", pa.int64())])
            return pa.RecordBatchReader.from_batches(pa.schema([schema.field(name) for name in names]), batches())

        return Side("large", ("id", "x"), read)

    found = find_skew(large(1), large(3), {"id": "id"}, memory_mb=64)
    assert (found.joined, found.features[0].mismatch_count, found.features[0].largest) == (size, 200, 1.0)
