"""Metrics against golden values worked by hand, and against scikit-learn on any rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from bailiwick.core.errors import InvalidInput
from bailiwick.evaluation.metrics import METRICS, calibration_error, compute_metrics, metric, roc_auc

LABELS = np.array([0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8])

samples = st.integers(2, 60).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(0, 1), min_size=count, max_size=count),
        st.lists(st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)), min_size=count, max_size=count),
    )
)


def test_golden_values() -> None:
    assert compute_metrics(LABELS, SCORES) == pytest.approx(
        {
            "roc_auc": 0.75,
            "log_loss": -(math.log(0.9) + math.log(0.6) + math.log(0.35) + math.log(0.8)) / 4,
            "brier": (0.01 + 0.16 + 0.4225 + 0.04) / 4,
            "accuracy": 0.75,
            "calibration_error": (0.1 + 0.4 + 0.65 + 0.2) / 4,
            "base_rate": 0.5,
            "rows": 4.0,
        }
    )


def test_ties_count_half() -> None:
    assert roc_auc(np.array([0, 1, 0, 1]), np.full(4, 0.3)) == 0.5
    assert roc_auc(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9])) == 0.75


def test_metrics_that_one_class_does_not_determine_are_left_out() -> None:
    assert "roc_auc" not in compute_metrics(np.ones(3, np.int64), np.array([0.1, 0.2, 0.3]))


def test_a_score_of_nought_for_a_positive_costs_much_and_not_infinity() -> None:
    assert compute_metrics(np.array([1, 0]), np.array([0.0, 1.0]))["log_loss"] == pytest.approx(36.04, abs=0.01)


def test_a_perfectly_calibrated_constant_has_no_calibration_error() -> None:
    labels = np.array([1, 0, 0, 0] * 25)
    assert calibration_error(labels, np.full(100, 0.25)) == pytest.approx(0, abs=1e-12)


def test_calibration_error_has_ten_bins_of_equal_mass() -> None:
    scores = np.arange(100) / 100
    labels = np.zeros(100, np.int64)
    assert calibration_error(labels, scores) == pytest.approx(scores.mean())
    labels[90:] = 1
    by_bin = scores.reshape(10, 10).mean(axis=1) - np.array([0] * 9 + [1])
    assert calibration_error(labels, scores) == pytest.approx(np.abs(by_bin).mean())


@settings(max_examples=60, deadline=None)
@given(samples)
def test_metrics_agree_with_scikit_learn(sample: tuple[list[int], list[float]]) -> None:
    labels, scores = np.array(sample[0]), np.array(sample[1])
    found = compute_metrics(labels, scores)
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, scores, labels=[0, 1]), rel=1e-9)
    assert found["brier"] == pytest.approx(float(np.mean((scores - labels) ** 2)))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, scores >= 0.5))
    if 0 < labels.sum() < len(labels):
        assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, scores))
    else:
        assert "roc_auc" not in found


@settings(max_examples=60, deadline=None)
@given(samples)
def test_calibration_error_agrees_with_the_calibration_curve_of_scikit_learn(
    sample: tuple[list[int], list[float]],
) -> None:
    labels, scores = np.array(sample[0]), np.array(sample[1])
    observed, predicted = calibration_curve(labels, scores, n_bins=10, strategy="quantile", pos_label=1)
    edges = np.percentile(scores, np.linspace(0, 1, 11) * 100)
    mass = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=10)
    expected = float((np.abs(observed - predicted) * mass[mass > 0]).sum() / len(labels))
    assert calibration_error(labels, scores) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(sample: tuple[list[int], list[float]], random: object) -> None:
    order = list(range(len(sample[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    labels, scores = np.array(sample[0]), np.array(sample[1])
    assert compute_metrics(labels[order], scores[order]) == pytest.approx(compute_metrics(labels, scores))


def test_every_metric_with_losses_is_a_mean_over_rows() -> None:
    for name, item in METRICS.items():
        if item.losses:
            mean = float(item.losses(LABELS, SCORES).mean())
            assert item.compute(LABELS, SCORES) == pytest.approx(1 - mean if item.higher_is_better else mean), name


def test_an_unknown_metric_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"'logloss' is not known; .*Did you mean 'log_loss'"):
        metric("logloss")
