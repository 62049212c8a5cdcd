"""Gates: their grammar, their verdicts, and the error rate of the comparison with the champion."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import ttest_rel

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import InvalidInput
from bailiwick.evaluation.gates import Gate, check_gates, loss_difference, parse_gate
from bailiwick.evaluation.model import Evaluation
from bailiwick.evaluation.slices import evaluate


def _evaluation(seed: int = 0, *, rows: int = 2000, noise: float = 0.05, bias: float = 0.0) -> Evaluation:
    """The same labels for every seed; scores spoilt by the seed's noise."""
    random = np.random.default_rng(99)
    truth = random.uniform(0.05, 0.95, rows)
    labels = (random.uniform(size=rows) < truth).astype(np.int64)
    origin = np.array(["EWR", "JFK", "LGA"])[random.integers(3, size=rows)]
    spoilt = np.random.default_rng(seed).normal(bias, noise, rows)
    return evaluate(labels, np.clip(truth + spoilt, 0.01, 0.99), {"origin": origin})


def _verdict(text: str, champion: Evaluation | None = None) -> tuple[bool, str]:
    (result,) = check_gates([parse_gate(text)], _evaluation(), champion)
    assert result.gate == text
    return result.passed, result.message


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("roc_auc >= 0.65", Gate("roc_auc >= 0.65", "roc_auc", ">=", 0.65)),
        (" log_loss<.7 ".replace("<.", "<0."), Gate("log_loss<0.7", "log_loss", "<", 0.7)),
        (
            "slice tail number: brier <= 2e-1",
            Gate("slice tail number: brier <= 2e-1", "brier", "<=", 0.2, "tail number"),
        ),
        (
            "champion: log_loss non-inferior by 0.005",
            Gate("champion: log_loss non-inferior by 0.005", "log_loss", "non-inferior by", 0.005),
        ),
    ],
)
def test_the_grammar(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roc_auc = 0.65", "Gate 'roc_auc = 0.65' cannot be read"),
        ("auc >= 0.65", r"metric 'auc' is not known; choose one of: accuracy, .*Did you mean 'roc_auc'"),
        ("champion: roc_auc non-inferior by 0.01", "'roc_auc' is not known; choose one of: accuracy, brier, log_loss"),
        ("champion: log_loss >= 0.5", "go together"),
        ("log_loss non-inferior by 0.5", "go together"),
        ("champion: log_loss non-inferior by 0", "must be above 0"),
    ],
)
def test_an_error_names_the_gate_and_the_choices(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_gate(text)


def test_a_limit_passes_or_says_what_was_wanted() -> None:
    assert _verdict("roc_auc >= 0.65")[0]
    passed, message = _verdict("roc_auc >= 0.99")
    assert not passed
    assert "must be >= 0.99" in message


def test_a_slice_gate_is_decided_by_the_worst_slice() -> None:
    assert _verdict("slice origin: roc_auc >= 0.6")[0]
    passed, message = _verdict("slice origin: rows >= 660")
    assert not passed
    assert "not >= 660" in message
    passed, message = _verdict("slice carrier: roc_auc >= 0.6")
    assert not passed
    assert "columns sliced: origin" in message


def test_a_metric_that_one_class_leaves_open_fails_its_gate() -> None:
    one_class = evaluate(np.zeros(200, np.int64), np.full(200, 0.2), {"origin": np.array(["EWR"] * 200)})
    for text in ("roc_auc >= 0.1", "slice origin: roc_auc >= 0.1"):
        (result,) = check_gates([parse_gate(text)], one_class)
        assert not result.passed
        assert result.value is None


def test_the_first_model_has_no_champion_to_be_worse_than() -> None:
    passed, message = _verdict("champion: log_loss non-inferior by 0.005")
    assert passed
    assert "no champion" in message


def test_a_model_much_like_the_champion_is_not_inferior_and_a_worse_one_is() -> None:
    gate = "champion: log_loss non-inferior by 0.01"
    assert _verdict(gate, _evaluation(seed=1))[0]
    worse = _evaluation(seed=2, noise=0.3)
    (result,) = check_gates([parse_gate(gate)], worse, _evaluation())
    assert not result.passed
    assert result.value is not None
    assert result.value > 0.01


def test_the_bound_is_the_one_sided_paired_t_bound() -> None:
    new, champion = _evaluation(seed=3, noise=0.1), _evaluation(seed=4)
    mean, bound = loss_difference("brier", new, champion)
    losses = [(item.scores - item.labels) ** 2 for item in (new, champion)]
    interval = ttest_rel(*losses, alternative="less").confidence_interval(0.95)
    assert mean == pytest.approx(float(losses[0].mean() - losses[1].mean()))
    assert bound == pytest.approx(interval.high)


def test_a_model_inferior_by_the_margin_passes_at_most_as_often_as_promised() -> None:
    """At the margin exactly, 5 % of 2,000 samples should pass; three standard errors are 1.5 %."""
    random = np.random.default_rng(5)
    margin, rows, passed = 0.02, 400, 0
    for _ in range(2000):
        labels = (random.uniform(size=rows) < 0.5).astype(np.int64)
        champion = random.uniform(0.3, 0.7, rows)
        new = np.sqrt((champion - labels) ** 2 + margin + random.normal(0, 0.02, rows))
        scores = np.clip(np.abs(labels - new), 0, 1)
        result = loss_difference("brier", *(Evaluation({}, (), labels, item) for item in (scores, champion)))
        passed += result[1] <= margin
    assert 0.035 < passed / 2000 < 0.065


def test_models_evaluated_on_other_rows_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="other rows"):
        _verdict("champion: brier non-inferior by 0.1", _evaluation(rows=1999))


def test_small_slices_are_left_out_and_missing_values_are_a_slice() -> None:
    labels, scores = np.array([0, 1] * 100), np.full(200, 0.5)
    values = np.array(["a"] * 120 + [None] * 75 + ["b"] * 5, object)
    found = evaluate(labels, scores, {"x": values}, least_rows=50)
    assert [(item.value, item.rows) for item in found.slices] == [("", 75), ("a", 120)]
    numeric = evaluate(labels, scores, {"x": np.array([1.5] * 100 + [np.nan] * 100)}, least_rows=50)
    assert [item.value for item in numeric.slices] == ["", "1.5"]


def test_an_evaluation_is_json() -> None:
    stored = json.loads(canonical_json(_evaluation().to_json()))
    assert set(stored) == {"metrics", "slices"}
    assert [item["value"] for item in stored["slices"]] == ["EWR", "JFK", "LGA"]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "as many scores as labels"),
        ([0, 1], [0.5], "got 1 and 2"),
        ([0, 2], [0.5, 0.5], "labels are 0 and 1"),
        ([0, 1], [0.5, float("nan")], "Score nan is not a probability"),
        ([0, 1], [0.5, 1.5], "Score 1.5 is not a probability"),
    ],
)
def test_rows_that_cannot_be_evaluated_are_refused(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        evaluate(np.array(labels), np.array(scores))
