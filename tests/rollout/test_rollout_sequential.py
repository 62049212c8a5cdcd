"""The count e-process: golden numbers, invariants, and error rates that hold at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.rollout import betabinomial
from bailiwick.rollout.sequential import (
    EpochCounts,
    better_than,
    candidate_probability,
    estimated_ratio,
    log_evidence,
    ratio_interval,
    worse_than,
)

counts = st.builds(
    EpochCounts,
    epoch=st.just(1),
    share=st.floats(0.01, 0.9),
    candidate_units=st.just(1000),
    control_units=st.just(1000),
    candidate_bad=st.integers(0, 300),
    control_bad=st.integers(0, 300),
)


def _epoch(share: float, candidate_bad: int, control_bad: int) -> EpochCounts:
    return EpochCounts(1, share, 1000, 1000, candidate_bad, control_bad)


@pytest.mark.parametrize(("greater", "expected"), [(False, -0.6941012), (True, -0.07134019)])
def test_the_beta_binomial_mixture_agrees_with_confseq(greater: bool, expected: float) -> None:
    g, h, s, v = 0.2, 0.8, 10, 100
    weight = betabinomial.concentration_for(v / (g * h), greater=greater)
    found = betabinomial.log_evidence(v / h + s, v / g - s, g, weight, greater=greater)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("greater", "bound"), [(False, 31.4308), (True, 28.41238)])
def test_the_beta_binomial_boundary_agrees_with_confseq(greater: bool, bound: float) -> None:
    g, h, v = 0.2, 0.8, 100
    weight = betabinomial.concentration_for(v / (g * h), greater=greater)
    at_bound = betabinomial.log_evidence(v / h + bound, v / g - bound, g, weight, greater=greater)
    assert at_bound == pytest.approx(math.log(20), abs=1e-4)


@pytest.mark.parametrize(
    ("successes", "trials", "tightest", "low", "high"),
    [
        (700, 1000, 100, 0.651629, 0.745949),
        (15, 50, 50, 0.129556, 0.511896),
        (5, 50, 50, 0.013021, 0.269264),
        (1, 50, 50, 0, 0.13489),
        (100, 200, 1, 0.328923, 0.671076),
    ],
)
def test_the_bernoulli_confidence_sequence_agrees_with_confseq(
    successes: int, trials: int, tightest: float, low: float, high: float
) -> None:
    assert betabinomial.bernoulli_interval(successes, trials, 0.05, tightest) == pytest.approx((low, high), abs=1e-5)


@given(st.floats(0.01, 0.9), st.floats(1.0, 3.0))
def test_evidence_is_a_martingale_at_the_null_ratio(share: float, null: float) -> None:
    p = float(candidate_probability(share, null))
    for test in (worse_than(null), better_than(null)):
        after = [math.exp(log_evidence(test, [_epoch(share, *bad)])) for bad in ((1, 0), (0, 1))]
        assert p * after[0] + (1 - p) * after[1] == pytest.approx(1.0)


@given(st.floats(0.01, 0.9), st.floats(0.1, 1.0))
def test_evidence_of_harm_shrinks_on_average_for_every_better_candidate(share: float, ratio: float) -> None:
    p = float(candidate_probability(share, ratio))
    after = [math.exp(log_evidence(worse_than(1.0), [_epoch(share, *bad)])) for bad in ((1, 0), (0, 1))]
    assert p * after[0] + (1 - p) * after[1] <= 1 + 1e-12


@given(st.lists(counts, min_size=2, max_size=4))
def test_the_order_of_epochs_does_not_matter(epochs: list[EpochCounts]) -> None:
    assert log_evidence(worse_than(1.0), epochs) == pytest.approx(log_evidence(worse_than(1.0), epochs[::-1]))


@given(st.lists(counts, max_size=3))
def test_the_confidence_sequence_contains_the_estimate(epochs: list[EpochCounts]) -> None:
    estimate = estimated_ratio(epochs)
    low, high = ratio_interval(epochs, 0.05)
    assert estimate is None or low <= estimate <= high


@given(counts)
def test_for_one_epoch_the_estimate_is_the_ratio_of_rates(epoch: EpochCounts) -> None:
    if epoch.candidate_bad and epoch.control_bad:
        odds = epoch.candidate_bad / epoch.control_bad * (1 - epoch.share) / epoch.share
        assert estimated_ratio([epoch]) == pytest.approx(min(max(odds, 1e-3), 1e3), rel=1e-6)


def test_without_evidence_nothing_is_claimed() -> None:
    assert log_evidence(worse_than(1.0), []) == 0
    assert estimated_ratio([]) is None
    assert ratio_interval([], 0.05) == (0.0, math.inf)


def test_the_interval_covers_the_true_ratio_at_every_look_together() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(100):
        bad = rng.random(600) < float(candidate_probability(0.2, 1.5))
        looks = [(int(bad[:n].sum()), n) for n in range(20, 601, 20)]
        missed += any(not _covers(ratio_interval([_epoch(0.2, c, n - c)], 0.1), 1.5) for c, n in looks)
    print(f"confidence sequence of the rate ratio: missed at any of 30 looks {missed / 100:.2f}, promised at most 0.10")
    assert missed <= 14


def _covers(interval: tuple[float, float], value: float) -> bool:
    return interval[0] <= value <= interval[1]


def test_a_look_after_every_event_keeps_the_promised_level() -> None:
    rng = np.random.default_rng(11)
    bad = rng.random((1000, 1500)) < 0.1
    candidate = np.cumsum(bad, axis=1)
    control = np.arange(1, 1501) - candidate
    grid = worse_than(1.0).log_evidence([0.1], candidate[..., None], control[..., None])
    rejected = float((grid.max(axis=1) >= math.log(100)).mean())
    print(f"A/A canary, look after each of 1500 bad units: false rollbacks {rejected:.4f}, promised at most 0.0100")
    assert rejected <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 1000)


def test_median_detection_of_a_twofold_rate_is_as_quick_as_the_beta_binomial_reference() -> None:
    rng = np.random.default_rng(3)
    bad = rng.random((400, 1500)) < float(candidate_probability(0.1, 2.0))
    candidate = np.cumsum(bad, axis=1)
    control = np.arange(1, 1501) - candidate
    grid = worse_than(1.0).log_evidence([0.1], candidate[..., None], control[..., None])
    first = np.argmax(grid >= math.log(100), axis=1)
    requests = float(np.median(first)) / (0.01 * (0.9 + 0.1 * 2))  # base rate 1 %, so 1.1 % of requests are bad
    print(f"2x at 10 % share, alpha 0.01: median {requests:.0f} requests to rollback; reference 14.4k to 22.0k")
    assert 10_000 < requests < 22_000


def test_returning_users_are_counted_once_or_the_promise_breaks() -> None:
    rng = np.random.default_rng(21)
    users, requests, alpha, repetitions = 3000, 20, 0.05, 200
    once = often = 0
    for _ in range(repetitions):
        rate = rng.beta(0.05, 4.95, users)  # mean 1 %: most never fail, a few fail again and again
        fails = rng.random((requests, users)) < rate
        candidate = rng.random(users) < 0.1
        events = np.broadcast_to(candidate, fails.shape)[fails]
        bad, began = np.flatnonzero(fails.any(axis=0)), np.argmax(fails, axis=0)
        first = candidate[bad[np.argsort(began[bad], kind="stable")]]
        once += _ever_rejected(first, alpha)
        often += _ever_rejected(events, alpha)
    print(
        f"sticky users, promised at most {alpha}: counting users {once / repetitions:.3f}, counting events "
        f"{often / repetitions:.3f} (reference: .02 to .03 and .09 to .43)"
    )
    assert once / repetitions <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)
    assert often > once


def _ever_rejected(from_candidate: np.ndarray, alpha: float) -> bool:
    candidate = np.cumsum(from_candidate)
    control = np.arange(1, candidate.size + 1) - candidate
    evidence = worse_than(1.0).log_evidence([0.1], candidate[:, None], control[:, None])
    return bool(evidence.max() >= math.log(1 / alpha))
