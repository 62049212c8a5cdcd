"""Drift verdicts: exact formulas, and false alarms no more often than promised, by seeded simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control

from bailiwick.core.errors import InvalidInput
from bailiwick.data.comparison import FeatureDrift, benjamini_hochberg, compare
from bailiwick.data.profile import Profile, build_profile, count

ALPHA = 0.05


def _only(profile: Profile, index: int) -> Profile:
    return Profile(rows=profile.rows, features=(profile.features[index],))


def _compare(reference: Any, current: Any, **options: float) -> FeatureDrift:
    bins = build_profile(pa.table({"c": reference}))
    return compare(bins, count(bins, pa.table({"c": current})), alpha=ALPHA, **options)[0]


def test_the_numeric_verdict_is_the_formula() -> None:
    rng = np.random.default_rng(2)
    drift = _compare(rng.normal(size=4000), rng.normal(1, 1, 1000))
    n, m = 1000, 4000
    bound = math.sqrt(math.log(2 / ALPHA) / 2 * (n + m) / (n * m))
    assert drift.kind == "numeric"
    assert drift.distance == pytest.approx(0.383, abs=0.03)  # 2Φ(1/2) - 1
    assert drift.bound == pytest.approx(drift.distance - bound)
    assert drift.p_value == pytest.approx(max(1e-12, 2 * math.exp(-2 * (drift.distance - 0.05) ** 2 * n * m / (n + m))))
    assert drift.drifted


def test_the_categorical_distance_is_total_variation_and_names_the_category() -> None:
    drift = _compare(["a"] * 500 + ["b"] * 500, ["a"] * 800 + ["b"] * 200)
    assert drift.kind == "categorical"
    assert drift.distance == pytest.approx(0.3)
    assert drift.drifted
    assert drift.where in {"a", "b"}


def test_one_category_of_many_is_found_by_its_own_limits() -> None:
    rng = np.random.default_rng(4)
    shares = np.full(60, 1 / 60)
    moved = shares * 0.85
    moved[7] += 0.15
    reference = rng.choice(60, 20_000, p=shares).astype(str)
    drift = _compare(reference, rng.choice(60, 1000, p=moved).astype(str))
    n, m = 1000, 20_000
    variation = drift.distance - math.sqrt(math.log(2 / ALPHA) / 2 * (1 / n + 1 / m))
    noise = 0.5 * 60 * math.sqrt(2 / math.pi / 60 * (1 / n + 1 / m))
    assert variation - noise < 0.05 < drift.bound
    assert (drift.drifted, drift.where) == (True, "7")


def test_new_categories_missing_values_and_values_out_of_range_are_moves() -> None:
    words = ["a", "b"] * 1000
    assert _compare(words, ["a", "b"] * 400 + ["new"] * 200).where == "other or unseen values"
    assert _compare(words, ["a", "b"] * 400 + [None] * 200).where == "missing"
    numbers = [float(i) for i in range(1000)]
    assert _compare(numbers, [*numbers, *[None] * 300]).where == "missing"
    for strange in (-1.0, 1e9, math.inf, -math.inf):
        assert _compare(numbers, [*numbers, *[strange] * 300]).drifted
    assert _compare([7.0] * 1000, [7.0] * 800 + [6.0] * 200).drifted
    assert _compare([True, False] * 500, [True] * 500).drifted


def test_a_move_within_the_margin_is_no_drift_however_many_rows_show_it() -> None:
    rng = np.random.default_rng(6)
    reference, current = rng.normal(size=200_000), rng.normal(0.1, 1, 200_000)
    assert not _compare(reference, current).drifted  # true distance 0.04
    assert _compare(reference, current, margin=0.0).drifted


def test_no_rows_are_no_evidence() -> None:
    for reference, current in (([1.0, 2.0], []), ([], [1.0]), (["a"], []), ([], ["a"])):
        kind = pa.string() if "a" in [*reference, *current] else pa.float64()
        drift = _compare(pa.array(reference, kind), pa.array(current, kind))
        assert (drift.p_value, drift.bound, drift.drifted) == (1.0, 0.0, False)


def test_impossible_options_and_other_bins_are_refused() -> None:
    one, other = build_profile(pa.table({"x": [1.0]})), build_profile(pa.table({"x": [2.0]}))
    with pytest.raises(InvalidInput, match="alpha 0"):
        compare(one, one, alpha=0)
    with pytest.raises(InvalidInput, match=r"margin 1\.5"):
        compare(one, one, alpha=0.1, margin=1.5)
    with pytest.raises(InvalidInput, match="different bins"):
        compare(one, other, alpha=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 0.5))
def test_benjamini_hochberg_agrees_with_scipy(p_values: list[float], alpha: float) -> None:
    adjusted = false_discovery_control(p_values)
    expected = [bool(p <= alpha) for p in adjusted]
    if not np.any(np.isclose(adjusted, alpha)):
        assert benjamini_hochberg(p_values, alpha) == expected


_CELLS = st.lists(st.sampled_from("aaaabbcdef"), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.lists(_CELLS, min_size=1, max_size=3), _CELLS, st.floats(0.01, 0.5), st.floats(0, 0.3), st.integers(1, 60))
def test_drifted_means_that_the_bound_reaches_the_margin(
    references: list[list[str]], window: list[str], alpha: float, margin: float, times: int
) -> None:
    size = min(len(window), *(len(values) for values in references))
    columns = {f"c{i}": values[:size] * times for i, values in enumerate(references)}
    numbers = {f"n{i}": [ord(value) for value in values] for i, values in enumerate(columns.values())}
    bins = build_profile(pa.table({**columns, **numbers}))
    current = dict.fromkeys(columns, window[:size] * times)
    codes = {name: [ord(value) for value in window[:size]] * times for name in numbers}
    for drift in compare(bins, count(bins, pa.table({**current, **codes})), alpha=alpha, margin=margin):
        assert 0 <= drift.p_value <= 1
        assert 0 <= drift.bound <= max(drift.distance, margin) + 1e-9
        if margin > 0 and abs(drift.bound - margin) > 1e-3:
            assert drift.drifted == (drift.bound > margin)


def _generators(rng: np.random.Generator) -> dict[str, Callable[[int], Any]]:
    zipf = 1 / np.arange(1, 51)
    zipf /= zipf.sum()
    return {
        "normal": lambda n: rng.normal(size=n),
        "heavy": rng.standard_cauchy,
        "whole": lambda n: rng.integers(0, 10, n),
        "gaps": lambda n: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        "zipf50": lambda n: rng.choice(50, n, p=zipf).astype(str),
        "uniform400": lambda n: rng.integers(0, 400, n).astype(str),
        "uniform5000": lambda n: rng.integers(0, 5000, n).astype(str),
        "unique": lambda n: rng.integers(0, 2**62, n).astype(str),
        "flag": lambda n: rng.random(n) < 0.3,
        "rare": lambda n: (rng.random(n) < 0.001).astype(str),
    }


@pytest.mark.parametrize("window", [100, 500, 5000])
def test_false_alarms_without_drift_are_within_alpha(window: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten columns of one call each time, fresh reference and window of one distribution; an alarm is any column."""
    rng = np.random.default_rng(window)
    generators = _generators(rng)
    repeats, alarms, by_column = 60, {0.05: 0, 0.0: 0}, dict.fromkeys(generators, 0)
    for size in (200, 2000, 5000):
        for _ in range(repeats // 3):
            bins = build_profile(pa.table({name: draw(size) for name, draw in generators.items()}))
            counted = count(bins, pa.table({name: draw(window) for name, draw in generators.items()}))
            for margin in alarms:
                verdicts = compare(bins, counted, alpha=ALPHA, margin=margin)
                alarms[margin] += any(drift.drifted for drift in verdicts)
                for drift in verdicts:
                    by_column[drift.feature] += drift.drifted
    with capsys.disabled():
        rates = ", ".join(f"margin {margin}: {100 * n / repeats:.1f}%" for margin, n in alarms.items())
        print(f"\nfalse alarms a call, n = {window}, alpha = {ALPHA:.0%}: {rates}")
    assert alarms[0.05] <= binom.ppf(0.999, repeats, ALPHA), by_column
    assert alarms[0.0] <= binom.ppf(0.999, repeats, ALPHA), by_column


@pytest.mark.parametrize("window", [100, 500, 5000])
def test_false_alarms_at_the_very_margin_are_within_alpha_and_real_moves_are_found(
    window: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(window + 1)
    shares = np.array([0.3] + [0.7 / 15] * 15)
    edge, moved = shares.copy(), shares.copy()
    edge[:2] += (-0.05, 0.05)
    moved[:2] += (-0.2, 0.2)

    def words(p: Any, n: int) -> Any:
        return rng.choice(16, n, p=p).astype(str)

    repeats = 100
    found = {
        "normal +0.125 sd (distance 0.05)": 0,
        "words (distance 0.05)": 0,
        "normal +0.5 sd": 0,
        "words (distance 0.2)": 0,
    }
    for _ in range(repeats):
        reference = (rng.normal(size=5000), words(shares, 5000), rng.normal(size=5000), words(shares, 5000))
        current = (
            rng.normal(0.12541, 1, window),
            words(edge, window),
            rng.normal(0.5, 1, window),
            words(moved, window),
        )
        names = list(found)
        bins = build_profile(pa.table(dict(zip(names, reference, strict=True))))
        counted = count(bins, pa.table(dict(zip(names, current, strict=True))))
        for i, name in enumerate(names):  # each alone, so that the four do not share Benjamini-Hochberg
            found[name] += compare(_only(bins, i), _only(counted, i), alpha=ALPHA)[0].drifted
    with capsys.disabled():
        print(f"\nalarms, n = {window}: " + ", ".join(f"{name}: {100 * k / repeats:.0f}%" for name, k in found.items()))
    at_margin_normal, at_margin_words, half_sd, words_moved = found.values()
    assert max(at_margin_normal, at_margin_words) <= binom.ppf(0.999, repeats, ALPHA)
    assert half_sd >= {100: 70, 500: 100, 5000: 100}[window]
    assert words_moved >= {100: 40, 500: 100, 5000: 100}[window]
