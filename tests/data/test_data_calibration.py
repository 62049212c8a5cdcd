"""The promise of a comparison, simulated: what `benchmarks/calibration.py` publishes, with fewer repeats.

The counts are of calls of twenty columns; a rate above alpha by more than chance once in a thousand runs fails, and seeds
are fixed, so that nothing here fails by chance.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest
from scipy.stats import binom

from tests_support.source import ROOT


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("calibration", ROOT / "benchmarks" / "calibration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def _within(alarms: int, calls: int, alpha: float) -> bool:
    return bool(alarms <= binom.ppf(0.999, calls, alpha))


def test_where_nothing_moved_alarms_are_within_alpha_for_every_distribution_and_number_of_rows(
    script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pooled = [0, 0]
    for name in script.SHAPES:
        alarms, calls = [0, 0], 0
        for window in (50, 500):
            rates = script.no_drift(script.of_shape(name), (300, 3000), window, 10)
            calls += rates[0].of
            for place, rate in enumerate(rates):
                alarms[place] += rate.alarms
                pooled[place] += rate.alarms
        assert _within(alarms[0], calls, script.ALPHA), name
        assert _within(alarms[1], calls, script.ALPHA), f"{name}, no margin"
    calls = 20 * len(script.SHAPES)
    with capsys.disabled():
        print(f"\nfalse alarms of {calls} calls of 20 columns: {pooled[0]}; without a margin {pooled[1]}")
    assert pooled[0] == 0
    assert _within(pooled[1], calls, script.ALPHA)


def test_alarms_are_within_alpha_for_one_column_and_for_two_hundred(script: Any) -> None:
    for columns, calls in ((1, 60), (200, 6)):
        for rate in script.no_drift(script.half_numbers(columns), (2000,), 200, calls):
            assert _within(rate.alarms, calls, script.ALPHA), columns


def test_columns_moved_by_just_the_margin_raise_alarms_within_alpha(script: Any) -> None:
    for before, after in (
        (script.SHAPES["normal"], script.shifted(script.AT_MARGIN)),
        (script.zipf, script.moved(script.MARGIN)),
    ):
        for window in (200, 5000):
            rate = script.at_margin(before, after, window, 6)
            assert _within(rate.alarms, rate.of, script.ALPHA)


def test_moves_that_matter_are_found(script: Any) -> None:
    normal = script.SHAPES["normal"]
    assert script.power(normal, script.shifted(0.7), 200, 10).share >= 0.9
    assert script.power(normal, script.shifted(0.4), 1000, 10).share >= 0.9
    assert script.power(script.zipf, script.moved(0.2), 200, 10).share >= 0.8
    assert script.power(script.zipf, script.moved(0.15), 1000, 10).share >= 0.9


def test_the_page_and_its_pictures_can_be_written_without_the_peer(script: Any) -> None:
    rate = script.Rate(1, 40)
    pair = (rate, rate)
    ours = script.Ours(
        mixed={f"{reference}/{window}": pair for reference, window in script.SIZES},
        shapes={name: [pair] * len(script.WINDOWS) for name in script.SHAPES},
        counts={columns: [pair] * len(script.WINDOWS) for columns in script.COUNTS},
        edge={"edge": [rate] * len(script.WINDOWS)},
        numeric={window: [rate] * len(script.SHIFTS) for window in script.POWER_WINDOWS},
        categorical={window: [rate] * len(script.MOVES) for window in script.POWER_WINDOWS},
    )
    first, *others = script.tables(ours, None)
    assert "| 5,000 | 100 | not measured | not measured | 2.5% (≤ 11.3%) |" in first
    assert len(others) == 5
    drawn = script.picture("Shift", script.SHIFTS, ours.numeric, None)
    assert drawn.startswith("<svg xmlns=")
    assert "ours, 5,000 rows" in drawn
