"""Sudden changes of a source: what is one, what is not, and how often nothing is taken for something."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import special

from bailiwick.core.errors import InvalidInput
from bailiwick.data.changes import (
    Arrival,
    ChangeRule,
    distribution_change,
    freshness_change,
    schema_change,
    volume_change,
)
from bailiwick.data.profile import build_profile, count

COLUMNS = (("id", "int64"), ("carrier", "string"))
DAY = 86_400_000
HOUR = 3_600_000


def arrivals(rows: list[int], *, lags: list[int] | None = None, spans: list[int | None] | None = None) -> list[Arrival]:
    return [
        Arrival(f"s{i}", COLUMNS, count, spans[i] if spans else None, lags[i] if lags else None)
        for i, count in enumerate(rows)
    ]


def test_columns_that_go_come_or_change_their_type_are_changes() -> None:
    before = Arrival("old", (("a", "int64"), ("b", "string"), ("c", "double")), 10)
    now = Arrival("new", (("b", "int64"), ("c", "double"), ("d", "bool")), 10)
    found = schema_change(now, before)
    assert found.changed
    assert found.message == (
        "Column a is gone; column b is int64 and was string; column d (bool) is new, compared with snapshot old."
    )
    assert not schema_change(before, before).changed


def test_a_source_that_halves_is_a_change_and_one_that_wobbles_is_not() -> None:
    past = arrivals([1000, 1040, 980, 1010, 1020, 990, 1005, 1030])
    half = volume_change(arrivals([500])[0], past, ChangeRule())
    assert half.changed
    assert half.message == (
        "500 rows arrived; about 1,009 were to be expected of the 8 snapshots before, so 50%. "
        "Without a change, such an alarm comes at most once in 300 snapshots."
    )
    assert volume_change(arrivals([0])[0], past, ChangeRule()).changed
    assert volume_change(arrivals([3000])[0], past, ChangeRule()).changed
    assert not volume_change(arrivals([1090])[0], past, ChangeRule()).changed
    assert not volume_change(arrivals([1000])[0], past[:6], ChangeRule()).judged


def test_volumes_of_asked_lengths_of_time_are_compared_by_the_day() -> None:
    past = arrivals([1000 + i for i in range(7)], spans=[DAY] * 7)
    week = Arrival("w", COLUMNS, 7010, 7 * DAY)
    assert not volume_change(week, past, ChangeRule()).changed
    assert volume_change(Arrival("w", COLUMNS, 1000, 7 * DAY), past, ChangeRule()).changed
    assert not volume_change(Arrival("w", COLUMNS, 1000, None), past, ChangeRule()).judged


def test_a_source_that_is_much_later_than_it_used_to_be_is_a_change() -> None:
    past = arrivals([1] * 7, lags=[2 * HOUR, 3 * HOUR, 2 * HOUR, 150 * 60_000, 2 * HOUR, 3 * HOUR, 2 * HOUR])
    late = freshness_change(Arrival("n", COLUMNS, 1, None, 3 * DAY), past, ChangeRule())
    assert late.changed
    assert late.message.startswith("The newest time is 3.0 days old; it was about 2.3 hours in the 7 before.")
    assert not freshness_change(Arrival("n", COLUMNS, 1, None, 4 * HOUR), past, ChangeRule()).changed
    assert not freshness_change(Arrival("n", COLUMNS, 1, None, 0), past, ChangeRule()).changed
    assert not freshness_change(Arrival("n", COLUMNS, 1), past, ChangeRule()).judged


def test_columns_that_moved_are_named_with_what_is_sure() -> None:
    random = np.random.default_rng(1)
    then = pa.table({"x": random.normal(0, 1, 3000), "y": random.normal(0, 1, 3000)})
    now = pa.table({"x": random.normal(1, 1, 3000), "y": random.normal(0, 1, 3000)})
    bins = build_profile(then)
    found = distribution_change(bins, count(bins, now), ChangeRule(), against="old")
    assert found.changed
    assert list(found.evidence) == ["x"]
    assert found.message.startswith("1 of 2 columns are distributed unlike snapshot old: x (")
    assert not distribution_change(bins, count(bins, then), ChangeRule(), against="old").changed


@pytest.mark.parametrize(("history", "false_alarms"), [(0, 0.01), (8, 0.0), (8, 1.0)])
def test_a_rule_that_promises_nothing_is_refused(history: int, false_alarms: float) -> None:
    with pytest.raises(InvalidInput):
        ChangeRule(history=history, false_alarms=false_alarms)


Draw = Callable[[np.random.Generator, int], "list[int]"]
DRAWS: dict[str, Draw] = {
    "log-normal, deviation 0.3": lambda r, n: [round(x) for x in np.exp(r.normal(math.log(5000), 0.3, n))],
    "Poisson of 12": lambda r, n: r.poisson(12, n).tolist(),
    "Poisson of 5,000": lambda r, n: r.poisson(5000, n).tolist(),
    "negative binomial of 400": lambda r, n: r.negative_binomial(20, 20 / 420, n).tolist(),
    "weeks with thin weekends": lambda r, n: [
        int(r.poisson(2000 if (day % 7) < 5 else 900)) for day in range(int(r.integers(7)), n + 7)
    ][:n],
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("history", [7, 14])
def test_the_volume_of_an_unchanged_source_alarms_as_rarely_as_stated(name: str, history: int) -> None:
    random = np.random.default_rng(20_260_101)
    rule, runs = ChangeRule(history=history, false_alarms=0.03, volume_margin=0.0), 3000
    alarms = 0
    for _ in range(runs):
        rows = DRAWS[name](random, history + 1)
        alarms += volume_change(arrivals(rows[-1:])[0], arrivals(rows[:-1]), rule).changed
    print(f"{name}, {history} before: {alarms / runs:.4f} false alarms, {rule.each:.4f} stated")
    assert alarms / runs <= rule.each + 3 * math.sqrt(rule.each / runs)


MANY: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray[Any, Any]]] = {
    "log-normal, deviation 0.3": lambda r, size: np.exp(r.normal(math.log(5000), 0.3, size)).round(),
    "normal, deviation 0.3": lambda r, size: np.maximum(r.normal(5000, 1500, size), 0).round(),
    "negative binomial of 400, deviation 0.22": lambda r, size: r.negative_binomial(20, 20 / 420, size),
    "negative binomial of 400, deviation 0.71": lambda r, size: r.negative_binomial(2, 2 / 402, size),
    "negative binomial of 12, deviation 0.65": lambda r, size: r.negative_binomial(3, 3 / 15, size),
    "Poisson of log-normal means, deviation 0.55": lambda r, size: r.poisson(np.exp(r.normal(math.log(50), 0.5, size))),
    "Poisson of 12": lambda r, size: r.poisson(12, size),
    "Poisson of 5,000": lambda r, size: r.poisson(5000, size),
}


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("history", [7, 14])
def test_an_unchanged_volume_is_outside_as_rarely_as_promised_though_it_varies_more_than_a_count(
    name: str, history: int
) -> None:
    """The same formula over many draws at once, which is checked to be the same on the first of them."""
    rows = np.maximum(MANY[name](np.random.default_rng(9), (200_000, history + 1)), 0.5).astype(float)
    bare, margin = (_p_values(rows, each) for each in (0.0, ChangeRule().volume_margin))
    for rule, expected in (
        (ChangeRule(history=history, volume_margin=0.0), bare),
        (ChangeRule(history=history), margin),
    ):
        for index in range(20):
            made = arrivals([int(count) for count in rows[index]])
            assert volume_change(made[0], made[1:], rule).evidence["p_value"] == pytest.approx(expected[index])
    rates = [float((found <= 0.01).mean()) for found in (bare, margin)]
    print(f"{name}, {history} before: {rates[0]:.4f} outside where 0.01 is promised, {rates[1]:.4f} with the margin")
    assert rates[1] <= rates[0] <= 0.01


def _p_values(rows: np.ndarray[Any, Any], margin: float) -> np.ndarray[Any, Any]:
    history = rows.shape[1] - 1
    usual = np.exp(np.log(rows[:, 1:]).mean(axis=1))
    found = []
    for power in (0.0, 0.5, 1.0):
        scaled, now = (np.log(each) if not power else each**power for each in (rows[:, 1:], rows[:, 0]))
        middle = scaled.mean(axis=1)
        eased = np.where(now > middle, rows[:, 0] / (1 + margin), rows[:, 0] * (1 + margin))
        eased = np.log(eased) if not power else eased**power
        noise = (power * usual**power if power else 1.0) ** 2 / np.maximum(usual, 1.0)
        spread = np.sqrt(np.maximum(scaled.var(axis=1, ddof=1), noise) * (1 + 1 / history))
        away = np.where((now > middle) == (eased > middle), np.abs(eased - middle), 0.0)
        found.append(2 * special.stdtr(history - 1, -away / spread))
    return np.asarray(np.max(found, axis=0))


@pytest.mark.parametrize("kind", ["exponential", "log-normal", "constant"])
def test_the_freshness_of_an_unchanged_source_alarms_as_rarely_as_stated(kind: str) -> None:
    random = np.random.default_rng(7)
    rule, runs, alarms = ChangeRule(false_alarms=0.03), 3000, 0
    for _ in range(runs):
        if kind == "exponential":
            lags = random.exponential(HOUR, 9)
        else:
            lags = np.exp(random.normal(math.log(HOUR), 0.0 if kind == "constant" else 1.0, 9))
        made = arrivals([1] * 9, lags=[int(lag) for lag in lags])
        alarms += freshness_change(made[0], made[1:], rule).changed
    print(f"{kind}: {alarms / runs:.4f} false alarms, {rule.each:.4f} stated")
    assert alarms / runs <= rule.each + 3 * math.sqrt(rule.each / runs)


def test_an_unchanged_source_alarms_at_most_as_often_as_stated_in_all() -> None:
    """Volume, freshness and eight columns together, margins nought: the whole promise, not its parts."""
    random = np.random.default_rng(3)
    rule, runs, alarms = ChangeRule(false_alarms=0.05, margin=0.0, volume_margin=0.0), 300, 0

    def rows() -> pa.Table:
        size = int(random.poisson(400))
        numbers = {f"n{i}": random.normal(0, 1, size) for i in range(4)}
        words = {f"w{i}": random.choice(["a", "b", "c", "d"], size, p=[0.5, 0.3, 0.15, 0.05]) for i in range(4)}
        return pa.table({**numbers, **words})

    for _ in range(runs):
        before, now = rows(), rows()
        past = arrivals(random.poisson(400, 8).tolist(), lags=random.exponential(HOUR, 8).astype(int).tolist())
        new = Arrival("n", COLUMNS, now.num_rows, None, int(random.exponential(HOUR)))
        bins = build_profile(before)
        found = (
            volume_change(new, past, rule),
            freshness_change(new, past, rule),
            distribution_change(bins, count(bins, now), rule, against="b"),
        )
        alarms += any(each.changed for each in found)
    print(f"all together: {alarms / runs:.4f} false alarms, {rule.false_alarms} stated")
    assert alarms / runs <= rule.false_alarms + 3 * math.sqrt(rule.false_alarms / runs)


@pytest.mark.parametrize(("share", "least"), [(0.5, 0.99), (0.7, 0.9), (1.5, 0.9)])
def test_a_changed_volume_is_noticed(share: float, least: float) -> None:
    random = np.random.default_rng(5)
    runs = 500
    noticed = sum(
        volume_change(
            arrivals([int(random.poisson(5000 * share))])[0],
            arrivals([round(x) for x in np.exp(random.normal(math.log(5000), 0.05, 14))]),
            ChangeRule(),
        ).changed
        for _ in range(runs)
    )
    print(f"{share:.0%} of the usual rows: noticed in {noticed / runs:.0%}")
    assert noticed / runs >= least
