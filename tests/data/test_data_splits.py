"""Splits: disjoint, covering, whole groups, no look ahead, and the same wherever and in whatever pieces they are made."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import InvalidInput
from bailiwick.data.splits import Kind, Split, assign, parts

RANDOM = [1, 0, 0, 0, 0, 0, 2, 2, 2, 0, 2, 0]
HASHED = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
SHARES = (("train", 0.7), ("valid", 0.1), ("test", 0.2))
_shares = st.lists(st.integers(1, 20), min_size=2, max_size=5).map(
    lambda weights: tuple((f"p{i}", weight / sum(weights)) for i, weight in enumerate(weights))
)


@st.composite
def _splits(draw: st.DrawFn) -> tuple[Split, pa.Table]:
    kind = draw(st.sampled_from(get_args(Kind)))
    keys = draw(st.lists(st.integers(-(2**40), 2**40) if draw(st.booleans()) else st.integers(0, 6), max_size=60))
    rows = pa.table({"row": pa.array(range(len(keys)), pa.int64()), "key": pa.array(keys, pa.int64())})
    column = "" if kind == "random" else "key"
    return Split(kind, draw(_shares), column, draw(st.integers(-(2**70), 2**70))), rows


@settings(deadline=None)
@given(_splits())
def test_every_row_is_in_exactly_one_part(case: tuple[Split, pa.Table]) -> None:
    split, rows = case
    divided = parts(split, rows)
    assert list(divided) == [name for name, _ in split.shares]
    assert sorted(n for part in divided.values() for n in part["row"].to_pylist()) == rows["row"].to_pylist()
    assert all(part["row"].to_pylist() == sorted(part["row"].to_pylist()) for part in divided.values())
    assert parts(Split.from_json(split.to_json()), rows) == divided


@settings(deadline=None)
@given(_splits())
def test_no_value_of_the_column_is_in_two_parts(case: tuple[Split, pa.Table]) -> None:
    split, rows = case
    if split.kind == "random":
        return
    seen = [set(part["key"].to_pylist()) for part in parts(split, rows).values()]
    assert sum(map(len, seen)) == len(set.union(*seen))


@settings(deadline=None)
@given(_splits())
def test_no_part_by_time_is_older_than_the_part_before(case: tuple[Split, pa.Table]) -> None:
    split, rows = case
    if split.kind != "time":
        return
    filled = [part["key"].to_pylist() for part in parts(split, rows).values() if part.num_rows]
    assert all(max(before) < min(after) for before, after in pairwise(filled))


@settings(deadline=None)
@given(_splits(), st.randoms(use_true_random=False), st.integers(1, 20))
def test_neither_pieces_nor_order_nor_other_rows_change_a_rows_part(
    case: tuple[Split, pa.Table], random: object, size: int
) -> None:
    split, rows = case
    whole = assign(split, rows)
    if split.kind != "time":
        pieces = [assign(split, rows.slice(at, size), first_row=at) for at in range(0, rows.num_rows, size)]
        assert np.array_equal(np.concatenate([np.zeros(0, np.int64), *pieces]), whole)
    if split.kind != "random":
        order = list(range(rows.num_rows))
        random.shuffle(order)  # type: ignore[attr-defined]
        assert np.array_equal(
            assign(split, rows.take(pa.array(order, pa.int64()))), whole[np.array(order, dtype=np.int64)]
        )
    if split.kind in {"hash", "group"}:
        assert np.array_equal(assign(split, rows.slice(0, rows.num_rows // 2)), whole[: rows.num_rows // 2])


def test_a_split_is_the_same_on_every_machine() -> None:
    rows = pa.table({"id": range(12), "t": [f"u{n}" for n in range(12)]})
    assert assign(Split("random", SHARES, seed=7), rows).tolist() == RANDOM
    assert assign(Split("hash", SHARES, "t", seed=7), rows).tolist() == HASHED
    assert (
        assign(Split("group", SHARES, "id"), rows).tolist()
        == assign(Split("hash", SHARES, "id"), rows.set_column(0, "id", rows["id"].cast(pa.string()))).tolist()
    )


def test_shares_are_kept_within_chance_and_seeds_differ() -> None:
    rows = pa.table({"id": range(100_000)})
    for split in (Split("random", SHARES), Split("hash", SHARES, "id"), Split("time", SHARES, "id")):
        counts = np.bincount(assign(split, rows)) / rows.num_rows
        assert np.abs(counts - [0.7, 0.1, 0.2]).max() < 0.006  # 4 standard errors
    agree = np.mean(assign(Split("random", SHARES, seed=1), rows) == assign(Split("random", SHARES, seed=2), rows))
    assert abs(agree - (0.49 + 0.01 + 0.04)) < 0.01


@pytest.mark.parametrize(
    ("moments", "shares", "expected"),
    [
        ([1] * 9 + [2], (0.8, 0.2), [9, 1]),
        ([1] + [2] * 9, (0.8, 0.2), [1, 9]),
        ([1, 2], (0.9, 0.1), [1, 1]),
        ([1, 1, 1, 2, 2, 3], (0.2, 0.2, 0.6), [3, 2, 1]),
        (list(range(10)), (0.98, 0.01, 0.01), [8, 1, 1]),
        ([5] * 10, (0.8, 0.2), [10, 0]),
        ([], (0.8, 0.2), [0, 0]),
    ],
)
def test_rows_of_one_moment_leave_no_part_by_time_empty_that_could_have_some(
    moments: list[int], shares: tuple[float, ...], expected: list[int]
) -> None:
    split = Split("time", tuple((f"p{place}", share) for place, share in enumerate(shares)), "at")
    found = parts(split, pa.table({"at": pa.array(moments, pa.int64())}))
    assert [part.num_rows for part in found.values()] == expected


@given(st.lists(st.integers(0, 6), max_size=30), st.floats(0.01, 0.99))
def test_parts_by_time_have_rows_wherever_there_are_two_moments(moments: list[int], share: float) -> None:
    split = Split("time", (("past", share), ("future", 1 - share)), "at")
    past, future = parts(split, pa.table({"at": pa.array(moments, pa.int64())})).values()
    assert (past.num_rows > 0 and future.num_rows > 0) == (len(set(moments)) > 1)


def test_dates_and_timestamps_are_times() -> None:
    days = [dt.date(2026, 1, day) for day in (3, 1, 2, 4)]
    found = parts(Split("time", (("past", 0.5), ("future", 0.5)), "day"), pa.table({"day": days}))
    assert found["past"]["day"].to_pylist() == [dt.date(2026, 1, 1), dt.date(2026, 1, 2)]


def test_what_cannot_be_split_is_said() -> None:
    rows = pa.table({"id": [1, None], "x": [0.5, 1.0], "t": ["a", "b"]})
    for split, message in (
        (Split("hash", SHARES, "nix"), "Column to split by 'nix' is not known"),
        (Split("group", SHARES, "id"), "missing in 1 of 2 rows"),
        (Split("hash", SHARES, "x"), "have no text of their own"),
        (Split("time", SHARES, "t"), "'t' is string"),
    ):
        with pytest.raises(InvalidInput, match=message):
            assign(split, rows)
    for kind, shares, column, message in (
        ("random", (("a", 1.0),), "", "two or more parts"),
        ("random", (("a", 0.5), ("a", 0.5)), "", "different names"),
        ("random", (("a", 0.5), ("b", 0.6)), "", "add up to 1"),
        ("random", SHARES, "id", "has no column"),
        ("time", SHARES, "", "needs a column"),
        ("chance", SHARES, "", "Split 'chance' is not known"),
    ):
        with pytest.raises(InvalidInput, match=message):
            Split(kind, shares, column)  # type: ignore[arg-type]
