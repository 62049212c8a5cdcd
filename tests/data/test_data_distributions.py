"""Shapes of columns: shares add up, both sides share their edges, and what is kept tells no more than the rows do."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from bailiwick.core.errors import InvalidInput
from bailiwick.data.comparison import compare
from bailiwick.data.distributions.columns import columns_of, columns_of_profiles
from bailiwick.data.distributions.kept import kept_drifts
from bailiwick.data.distributions.listing import Choice, count_moved
from bailiwick.data.distributions.model import Column
from bailiwick.data.distributions.shapes import OTHER, bars_of
from bailiwick.data.profile import build_profile, count
from bailiwick.data.statistics import compute_statistics
from bailiwick.data.validation.anomalies import Anomaly

numbers = st.lists(
    st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 5).map(float)), max_size=40
)
texts = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "<script>", ""])), max_size=40)


def statistics(table: pa.Table) -> Any:
    return compute_statistics(table).datasets[0]


def column(values: object, other: object = None, **options: object) -> Column:
    tables = [pa.table({"x": values})] + ([pa.table({"x": other})] if other is not None else [])
    return columns_of(*(statistics(table) for table in tables), **options)[0]  # type: ignore[arg-type]


@given(numbers, numbers, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_shares_of_numbers_add_up_on_edges_that_rise(one: list[float], other: list[float], most: int) -> None:
    before, now = (pa.table({"x": pa.array(values, pa.float64())}) for values in (one, other))
    for found in (
        columns_of(statistics(before), statistics(now))[0],
        columns_of_profiles(build_profile(before), count(build_profile(before), now))[0],
    ):
        bars = bars_of(found.sides, most=most)
        assert list(bars.edges) == sorted(bars.edges)
        assert bars.size <= math.ceil(most * 1.2)
        for shares in bars.shares:
            assert shares is None or math.isclose(sum(shares), 1.0, abs_tol=1e-9)
            assert shares is None or min(shares) >= 0.0


@given(texts, texts, st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_shares_of_text_add_up_too(one: list[str], other: list[str], most: int) -> None:
    before, now = (pa.table({"x": pa.array(values, pa.string())}) for values in (one, other))
    found = columns_of(statistics(before), statistics(now))[0]
    bars = bars_of(found.sides, most=most)
    for side, shares in zip(found.sides, bars.shares or (None, None), strict=True):
        if shares is not None:
            assert math.isclose(sum(shares), 1.0 if side and side.values else 0.0, abs_tol=1e-9)
    assert found.distance is None or 0.0 <= found.distance <= 1.0


def test_whole_numbers_have_a_bar_each_while_they_are_few() -> None:
    bars = bars_of(column([1, 2, 2, 3, 3, 3]).sides, most=20)
    assert bars.edges == (0.5, 1.5, 2.5, 3.5)
    assert bars.shares[0] == pytest.approx((1 / 6, 2 / 6, 3 / 6))


def test_one_far_value_does_not_squeeze_all_others_into_one_bar() -> None:
    values = np.append(np.random.default_rng(5).normal(size=9_999), 1e8)
    bars = bars_of(column(values).sides, most=20)
    assert bars.open_high
    assert bars.edges[-1] < 20
    assert bars.shares[0] is not None
    assert sum(share > 0.01 for share in bars.shares[0]) > 7
    assert bars.shares[0][-1] < 0.02


def test_rare_values_of_text_are_one_bar() -> None:
    values = ["often"] * 60 + [f"rare {i}" for i in range(40)]
    bars = bars_of(column(values).sides, most=5)
    assert bars.labels[0] == "often"
    assert bars.labels[-1] == OTHER
    assert bars.size == 5


def test_a_profile_makes_the_shape_exact() -> None:
    random = np.random.default_rng(11)
    before, now = (pa.table({"x": random.normal(size=20_000)}) for _ in range(2))
    profile = build_profile(before)
    pair = (profile, count(profile, now))
    exact = columns_of(statistics(before), statistics(now), profiles=pair)[0]
    bars = bars_of(exact.sides, most=20)
    for table, shares in zip((before, now), bars.shares, strict=True):
        inner = np.clip(table.column("x").to_numpy(), bars.edges[0], bars.edges[-1])
        counted, _ = np.histogram(inner, bars.edges)
        assert shares == pytest.approx(counted / 20_000, abs=0.006)


def test_times_and_booleans_are_told_by_arrows_types() -> None:
    table = pa.table({"t": pa.array([1, 2], pa.timestamp("ms")), "b": [True, False], "n": [1, 2]})
    types = {"t": "timestamp[ms, UTC]", "b": "bool", "n": "int64"}
    kinds = [found.kind for found in columns_of(statistics(table), types=types)]
    assert kinds == ["time", "boolean", "integer"]


def test_a_column_that_one_side_lacks_is_shown_as_such() -> None:
    before, now = pa.table({"gone": [1.0], "both": ["a"]}), pa.table({"both": [1.5], "new": ["b"]})
    by_name = {found.name: found for found in columns_of(statistics(before), statistics(now))}
    assert by_name["gone"].now is None
    assert by_name["new"].sides[0] is None
    assert by_name["both"].retyped == "text"
    assert count_moved(by_name.values()) == 3


@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_on_kept_statistics_claims_nothing_that_the_rows_do_not(seed: int) -> None:
    random = np.random.default_rng(seed)

    def rows(shift: float) -> pa.Table:
        return pa.table(
            {
                "shifted": random.normal(shift, 1, 3_000),
                "zeros": np.where(random.random(3_000) < 0.6, 0.0, random.normal(shift, 1, 3_000)),
                "missing": pa.array(random.normal(size=3_000), mask=random.random(3_000) < 0.05 + shift / 4),
                "whole": random.poisson(3 + 3 * shift, 3_000),
                "text": random.choice(["a", "b", "c"], 3_000, p=[0.5 - shift / 3, 0.3, 0.2 + shift / 3]),
                "id": [str(value) for value in random.integers(0, 10**9, 3_000)],
            }
        )

    for shift in (0.0, 0.3, 1.0):
        before, now = rows(0.0), rows(shift)
        profile = build_profile(before)
        exact = {each.feature: each for each in compare(profile, count(profile, now), alpha=0.01, margin=0.05)}
        kept = {
            each.feature: each for each in kept_drifts(statistics(before), statistics(now), alpha=0.01, margin=0.05)
        }
        assert set(kept) == set(exact) - {"id"}, "too many different values are kept of no column"
        for name, drift in kept.items():
            assert drift.distance <= exact[name].distance + 0.021, name
            assert drift.distance >= exact[name].distance - 0.12, name
        assert {name for name, drift in kept.items() if drift.drifted} <= {
            name for name, drift in exact.items() if drift.drifted
        }
        if shift == 1.0:
            assert all(drift.drifted for drift in kept.values())


def test_values_in_lists_are_not_judged_as_if_they_were_rows() -> None:
    before, now = (pa.table({"x": [[1.0, 2.0], [base]] * 500}) for base in (1.0, 50.0))
    assert kept_drifts(statistics(before), statistics(now), alpha=0.01, margin=0.05) == []


def test_where_nothing_moved_kept_statistics_alarm_as_seldom_as_promised() -> None:
    random, alarms, repetitions = np.random.default_rng(2), 0, 60

    def rows() -> pa.Table:
        return pa.table(
            {
                "normal": random.normal(size=200),
                "heavy": random.standard_cauchy(200),
                "whole": random.poisson(2, 200),
                "text": random.choice(["a", "b", "c"], 200),
            }
        )

    for _ in range(repetitions):
        found = kept_drifts(statistics(rows()), statistics(rows()), alpha=0.05, margin=0.0)
        assert len(found) == 4
        alarms += any(drift.drifted for drift in found)
    assert alarms <= 0.05 * repetitions


def tfdv_statistics() -> list[Any]:
    """Every statistics message of TFDV's own tests."""
    found = []
    for path in sorted((Path(__file__).parent.parent / "golden" / "tfdv").glob("*.json")):
        for text in _texts(json.loads(path.read_text(encoding="utf-8"))):
            try:
                listed = text_format.Parse(text, statistics_pb2.DatasetFeatureStatisticsList()).datasets
            except text_format.ParseError:
                try:
                    listed = [text_format.Parse(text, statistics_pb2.DatasetFeatureStatistics())]
                except text_format.ParseError:
                    continue
            found += listed
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "_stats" in value:
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def test_statistics_that_others_wrote_are_drawn_and_judged() -> None:
    found = tfdv_statistics()
    assert len(found) > 80
    for before, now in pairwise(found):
        drifts = kept_drifts(before, now, alpha=0.01, margin=0.05)
        for each in columns_of(before, now, drifts=drifts):
            for shares in bars_of(each.sides, most=10).shares:
                assert shares is None or sum(shares) == pytest.approx(1.0) or not any(shares)


class TestChoice:
    """Which columns are listed, in which order."""

    @pytest.fixture
    def found(self) -> list[Column]:
        random = np.random.default_rng(1)
        before = pa.table({"b": random.normal(size=900), "a": [None, "x", "y"] * 300, "C": [1.0] * 900})
        now = pa.table({"b": random.normal(2, 1, 900), "a": ["x", "y", "x"] * 300, "C": [1.0] * 900})
        profile = build_profile(before)
        drifts = compare(profile, count(profile, now), alpha=0.01)
        anomaly = Anomaly("C", "UNEXPECTED_DATA_TYPE", "ERROR", "short", "long", ("C",))
        return columns_of(statistics(before), statistics(now), drifts=drifts, anomalies=[anomaly])

    @pytest.mark.parametrize(
        ("choice", "names"),
        [
            (Choice(), "b a C"),
            (Choice(sort="name"), "a b C"),
            (Choice(sort="missing"), "a b C"),
            (Choice(sort="drift"), "b a C"),
            (Choice(sort="anomalies"), "C b a"),
            (Choice(find=" c "), "C"),
            (Choice(patterns=("[ab]",)), "b a"),
            (Choice(only="drifted", sort="name"), "a b"),
            (Choice(only="anomalies"), "C"),
            (Choice(only="missing"), "a"),
            (Choice(find="nothing"), ""),
        ],
    )
    def test_it_finds_narrows_and_sorts(self, found: list[Column], choice: Choice, names: str) -> None:
        assert [each.name for each in choice.of(found)] == names.split()

    @pytest.mark.parametrize("choice", [Choice(sort="size"), Choice(only="some"), Choice(patterns=("z*",))])
    def test_what_it_cannot_do_is_said_with_the_choices(self, found: list[Column], choice: Choice) -> None:
        with pytest.raises(InvalidInput, match=r"size|some|z"):
            choice.of(found)
