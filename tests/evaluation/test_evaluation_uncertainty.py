"""Intervals from counts hold what they say: against SciPy, the published example, and in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bailiwick.evaluation.metrics import roc_auc
from bailiwick.evaluation.uncertainty import Z, hanley_mcneil, interval, wilson


@given(st.integers(1, 5_000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_wilson_is_scipys_wilson(counts: tuple[int, int]) -> None:
    right, rows = counts
    expected = binomtest(right, rows).proportion_ci(0.95, method="wilson")
    found = wilson(right / rows, rows)
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_the_standard_error_is_the_published_one() -> None:
    """Hanley and McNeil 1982: 51 abnormal and 58 normal images, area 0.893, standard error 0.032."""
    found = hanley_mcneil(0.893, 51, 58)
    assert found is not None
    assert (found.high - 0.893) / Z == pytest.approx(0.0325, abs=5e-4)


def test_the_interval_of_an_area_covers_the_truth_about_as_often_as_it_says() -> None:
    """Binormal scores one standard deviation apart: the true area is Φ(1/√2). 400 draws; 4 errors allowed below 95 %."""
    truth, rng, covered = 0.5 * (1 + math.erf(0.5)), np.random.default_rng(11), 0
    for _ in range(400):
        labels = (np.arange(300) < 90).astype(np.int64)
        scores = rng.normal(labels.astype(float), 1.0)
        found = hanley_mcneil(roc_auc(labels, scores), 90, 210)
        assert found is not None
        covered += found.low <= truth <= found.high
    assert covered / 400 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400)


def test_what_the_numbers_do_not_determine_has_no_interval() -> None:
    known = {"roc_auc": 0.7, "accuracy": 0.8, "log_loss": 0.5, "rows": 1000.0, "base_rate": 0.3}
    assert interval("roc_auc", known) is not None
    assert interval("accuracy", known) is not None
    assert interval("log_loss", known) is None
    assert interval("roc_auc", {**known, "base_rate": math.nan}) is None
    assert interval("roc_auc", {"roc_auc": 0.7, "rows": 1000.0}) is None
    assert interval("accuracy", {"accuracy": 0.8}) is None
    assert interval("accuracy", {**known, "accuracy": 1.8}) is None
    assert interval("accuracy", {**known, "rows": math.inf}) is None
    assert hanley_mcneil(1.0, 5, 5) is None
    assert hanley_mcneil(0.7, 0, 5) is None


@given(st.floats(0.001, 0.999), st.integers(1, 10_000), st.integers(1, 10_000))
def test_an_interval_holds_its_value_and_stays_on_the_scale(area: float, positives: int, negatives: int) -> None:
    found = hanley_mcneil(area, positives, negatives)
    assert found is not None
    assert 0 <= found.low <= area <= found.high <= 1
