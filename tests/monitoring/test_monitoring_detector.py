"""The e-detector: as quick as its reference, and no more false alarms than promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from bailiwick.monitoring.detector import Detector, DetectorState, detect, each_observation, each_window

FRESH = DetectorState()


def _delay(rule: Detector, rng: np.random.Generator, before: int) -> int | None:
    quiet = detect(rule, FRESH, rng.random(before) < 0.1, each_observation(before))
    if quiet.alarm is not None:
        return None
    found = detect(rule, quiet.state, rng.random(5000) < 0.2, each_observation(5000))
    return found.alarm


@pytest.mark.parametrize(("run_length", "reference"), [(1e4, 157), (1e5, 211)])
def test_a_doubled_error_rate_is_found_as_quickly_as_the_reference_does(run_length: float, reference: int) -> None:
    rng = np.random.default_rng(1)
    delays = [_delay(Detector(0.1, run_length), rng, before=500) for _ in range(200)]
    median = float(np.median([delay for delay in delays if delay is not None]))
    print(f"Bernoulli 0.1 to 0.2, run length {run_length:.0f}: median delay {median:.0f}, reference {reference}")
    assert 60 < median <= reference * 1.05


def test_the_run_length_without_a_change_is_at_least_the_promised_one() -> None:
    rng = np.random.default_rng(2)
    rule, promised = Detector(0.1, 500), 500
    lengths = []
    for _ in range(200):
        found = detect(rule, FRESH, rng.random(10_000) < 0.1, each_observation(10_000))
        lengths.append(10_000 if found.alarm is None else found.alarm + 1)
    print(f"mean run length without a change {np.mean(lengths):.0f} (cut at 10000), promised at least {promised}")
    assert np.mean(lengths) >= promised


def test_counted_in_windows_the_promise_is_in_windows() -> None:
    rng = np.random.default_rng(3)
    rule, windows, alarms = Detector(0.2, 100), 4000, 0
    state = FRESH
    for _ in range(windows):
        found = detect(rule, state, rng.random(80) < 0.2, each_window(80))
        state, alarms = found.state, alarms + (found.alarm is not None)
    print(f"{alarms} false alarms in {windows} windows, promised at most {windows / 100:.0f}")
    assert alarms <= windows / 100
    assert state.alarms == alarms
    assert state.observations <= windows * 80


@given(st.lists(st.floats(0, 1), max_size=300), st.integers(0, 300), st.floats(0.01, 0.9))
def test_feeding_in_parts_is_feeding_at_once(losses: list[float], cut: int, baseline: float) -> None:
    rule = Detector(baseline, 1e6)
    whole = detect(rule, FRESH, losses, each_observation(len(losses)))
    first = detect(rule, FRESH, losses[:cut], each_observation(len(losses[:cut])))
    if first.alarm is not None:
        assert whole.alarm == first.alarm
        return
    thawed = json.decode(json.encode(first.state), type=DetectorState)
    second = detect(rule, thawed, losses[cut:], each_observation(len(losses[cut:])))
    assert second.alarm == (None if whole.alarm is None else whole.alarm - len(losses[:cut]))
    assert second.evidence <= whole.evidence * (1 + 1e-9)


@given(st.floats(0.001, 0.9), st.floats(0, 1))
def test_a_bet_at_the_baseline_gains_nothing_on_average(baseline: float, spread: float) -> None:
    rule = Detector(baseline, 1e9)
    low, high = baseline * (1 - spread), baseline + (1 - baseline) * spread
    chance = (baseline - low) / (high - low) if high > low else 0.0
    after = [float(np.mean(detect(rule, FRESH, [loss], each_window(1)).state.values)) for loss in (low, high)]
    assert (1 - chance) * after[0] + chance * after[1] == pytest.approx(1.0, rel=1e-6)


def test_a_run_of_certain_failures_neither_overflows_nor_passes_unseen() -> None:
    found = detect(Detector(1e-4, 1e12), FRESH, np.ones(1000), each_observation(1000))
    assert found.alarm is not None
    assert math.isfinite(found.evidence)


def test_nothing_seen_changes_nothing() -> None:
    state = detect(Detector(0.1, 100), FRESH, [0.0, 1.0], each_window(2)).state
    assert detect(Detector(0.1, 100), state, [], each_window(0)).state == state
