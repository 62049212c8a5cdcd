"""The canary rule: its decisions, and its error rates against the promised ones, with the numbers printed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bailiwick.core.errors import InvalidInput
from bailiwick.rollout.canary import (
    FAILED,
    WRONG,
    Action,
    CanaryConfig,
    CanaryState,
    Evidence,
    decide,
)
from bailiwick.rollout.sequential import EpochCounts
from bailiwick.rollout.simulation import _Runs, oscillating, simulate

CONFIG = CanaryConfig(ramp=(5, 20, 50), min_units_per_step=1000)


def _evidence(wrong: Sequence[EpochCounts], failed: Sequence[EpochCounts] = ()) -> Evidence:
    return {WRONG: wrong, FAILED: failed}


def test_without_evidence_it_holds() -> None:
    verdict = decide(CONFIG, CanaryState(step=0, epoch=2), _evidence([]))
    assert verdict.action is Action.HOLD
    assert "0 of the 1000" in verdict.reason


def test_enough_calm_units_step_up_the_ramp() -> None:
    epoch = EpochCounts(2, 0.05, 60, 1140, 6, 114)
    verdict = decide(CONFIG, CanaryState(step=0, epoch=2), _evidence([epoch]))
    assert verdict.action is Action.STEP
    assert "20 %" in verdict.reason


def test_units_of_earlier_steps_do_not_count_for_the_present_one() -> None:
    epochs = [EpochCounts(2, 0.05, 60, 1140, 6, 114), EpochCounts(3, 0.2, 20, 80, 2, 8)]
    assert decide(CONFIG, CanaryState(step=1, epoch=3), _evidence(epochs)).action is Action.HOLD


def test_a_broken_candidate_is_rolled_back_with_its_numbers() -> None:
    epoch = EpochCounts(2, 0.05, 60, 1140, 50, 114)
    verdict = decide(CONFIG, CanaryState(step=0, epoch=2), _evidence([epoch]))
    assert verdict.action is Action.ROLLBACK
    assert "50 of 60" in verdict.reason
    assert verdict.readings[0].worse >= verdict.readings[0].worse_needed


def test_failures_alone_roll_back() -> None:
    failing = EpochCounts(2, 0.05, 60, 1140, 30, 0)
    calm = EpochCounts(2, 0.05, 30, 1140, 3, 114)
    verdict = decide(CONFIG, CanaryState(step=0, epoch=2), _evidence([calm], [failing]))
    assert verdict.action is Action.ROLLBACK
    assert "failed" in verdict.reason


def test_growing_harm_stops_the_ramp_before_it_rolls_back() -> None:
    suspicious = EpochCounts(2, 0.05, 60, 1140, 15, 114)
    verdict = decide(CONFIG, CanaryState(step=0, epoch=2), _evidence([suspicious]))
    assert verdict.action is Action.HOLD
    assert "growing" in verdict.reason


def test_an_equal_candidate_without_failures_is_promoted_on_enough_evidence() -> None:
    wrong = EpochCounts(2, 0.5, 5000, 5000, 1000, 1000)
    failed = EpochCounts(2, 0.5, 5000, 5000, 0, 0)
    verdict = decide(CONFIG, CanaryState(step=2, epoch=2), _evidence([wrong], [failed]))
    assert verdict.action is Action.PROMOTE


def test_no_promotion_while_failures_are_not_shown_to_be_rare() -> None:
    wrong = EpochCounts(2, 0.5, 5000, 5000, 1000, 1000)
    failed = EpochCounts(2, 0.5, 100, 100, 0, 0)
    assert decide(CONFIG, CanaryState(step=2, epoch=2), _evidence([wrong], [failed])).action is Action.HOLD


def test_a_hold_says_how_many_bad_units_are_still_needed() -> None:
    wrong = EpochCounts(2, 0.5, 500, 500, 100, 100)
    verdict = decide(CONFIG, CanaryState(step=2, epoch=2), _evidence([wrong]))
    assert verdict.action is Action.HOLD
    assert verdict.readings[0].events_needed is not None
    assert 100 < verdict.readings[0].events_needed < 3000


@pytest.mark.parametrize(
    "wrong",
    [
        {"ramp": ()},
        {"ramp": (5, 5)},
        {"ramp": (10, 5)},
        {"ramp": (0, 5)},
        {"ramp": (100,)},
        {"ramp": (5, 120)},
        {"rollback_alpha": 0},
        {"promote_beta": 1},
        {"margin": 1},
        {"min_units_per_step": 0},
        {"failed_weight": 1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        CanaryConfig(**wrong)  # type: ignore[arg-type]


def test_a_final_hundred_per_cent_is_the_promotion() -> None:
    assert CanaryConfig(ramp=(1, 5, 25, 50, 100)).steps == (100, 500, 2500, 5000)


TABLE = [(1.0, 0.008, 0.990), (0.8, 0.0, 1.0), (1.25, 0.957, 0.043), (1.5, 1.0, 0.0), (2.0, 1.0, 0.0), (5.0, 1.0, 0.0)]


@pytest.mark.parametrize(("ratio", "rollback", "promote"), TABLE)
def test_error_rates_under_a_ramp_and_an_oscillating_base_rate(ratio: float, rollback: float, promote: float) -> None:
    rule = CanaryConfig(min_units_per_step=20_000, failed_weight=0)
    found = simulate(rule, oscillating(0.01), ratio, repetitions=1000)
    print(
        f"true ratio {ratio:4.2f}: rollback {found.rollback_rate:.4f} (reference {rollback:.3f}), promote "
        f"{found.promote_rate:.4f} (reference {promote:.3f}), median {found.median_units:.0f} units, promised wrong "
        f"decisions at most {found.promised}"
    )
    assert found.rollback_rate == pytest.approx(rollback, abs=0.02)
    assert found.promote_rate == pytest.approx(promote, abs=0.02)
    if found.promised is not None:
        assert found.realised is not None
        assert found.realised <= found.promised + 3 * found.standard_error


def test_a_simulation_that_is_cut_short_says_so() -> None:
    found = simulate(CanaryConfig(), 0.01, 1.1, repetitions=50, max_units=2000)
    assert found.undecided_rate > 0.9
    assert found.promised is None


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.6])
def test_the_simulator_decides_as_the_rule_does(ratio: float) -> None:
    rule = CanaryConfig(ramp=(5, 20, 50), min_units_per_step=2000, failed_weight=0)
    runs = _Runs(rule, 1, np.random.default_rng(9))
    seen = [0] * len(rule.steps)
    for look in range(1, 400):
        step = int(runs.step[0])
        seen[step] += 500
        runs.look(500, 0.1, ratio, look * 500)
        epochs = [
            EpochCounts(index, share, 0, int(seen[index]), int(bad[0]), int(bad[1]))
            for index, (share, bad) in enumerate(zip(runs.shares, runs.bad[0], strict=True))
        ]
        verdict = decide(rule, CanaryState(step=step, epoch=step), _evidence(epochs[: step + 1]))
        moved = {1: Action.ROLLBACK, 2: Action.PROMOTE}.get(int(runs.outcome[0]))
        assert verdict.action is (moved or (Action.STEP if runs.step[0] > step else Action.HOLD))
        if moved:
            return
    pytest.fail("the rollout should have been decided")
