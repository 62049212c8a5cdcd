"""The search: seeded, pruned by what the fit function reports, every trial handed back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bailiwick.core.errors import InvalidInput
from bailiwick.training.model import Fold, Report, TrialResult
from bailiwick.training.tuning import Tuning, fit_final, parse_space, tune

Prepared = Any  # the class of the fixtures in conftest.py, which pytest does not let tests import
SPACE = {"strength": {"float": [1e-4, 100.0], "log": True}, "solver": {"choice": ["lbfgs", "newton-cg"]}}


def _fit(train: Fold, valid: Fold, params: Mapping[str, Any], report: Report) -> LogisticRegression:
    report(1, params["strength"])
    model = LogisticRegression(C=params["strength"], solver=params["solver"], random_state=params["seed"])
    return model.fit(train.features, train.labels)


def _log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(-np.log(np.where(labels == 1, scores, 1 - scores)).mean())


def test_the_best_trial_is_the_one_with_the_least_loss(linear: Prepared) -> None:
    seen: list[tuple[int, int]] = []

    def progress(result: TrialResult, planned: int) -> None:
        seen.append((result.number, planned))

    tuning = Tuning(space=SPACE, trials=6, pruner="none", seed=4)
    result = tune(_fit, linear.train, linear.valid, tuning=tuning, score=_log_loss, progress=progress)
    assert seen == [(number, 6) for number in range(6)]
    assert result.value == min(trial.value for trial in result.trials if trial.value is not None)
    assert result.params in [trial.params for trial in result.trials]
    assert all(trial.curve == ((1, trial.params["strength"]),) for trial in result.trials)
    assert all(trial.status == "FINISHED" for trial in result.trials)


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(linear: Prepared) -> None:
    def params(seed: int) -> list[dict[str, object]]:
        tuning = Tuning(space=SPACE, trials=4, seed=seed)
        found = tune(_fit, linear.train, linear.valid, tuning=tuning, score=_log_loss)
        return [dict(trial.params) for trial in found.trials]

    assert params(1) == params(1)
    assert params(1) != params(2)


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_hopeless_trials_are_pruned_and_kept(linear: Prepared, pruner: str) -> None:
    reached: list[int] = []

    def fit(train: Fold, valid: Fold, params: Mapping[str, Any], report: Report) -> LogisticRegression:
        reached.append(0)
        for step in range(1, 28):
            reached[-1] = step
            report(step, params["strength"])
        return _fit(train, valid, params, lambda _step, _value: None)

    tuning = Tuning(space=SPACE, trials=25, sampler="random", pruner=pruner, seed=3)
    result = tune(fit, linear.train, linear.valid, tuning=tuning, score=_log_loss)
    pruned = [trial for trial in result.trials if trial.status == "PRUNED"]
    assert pruned
    assert all(trial.value is None and len(trial.curve) == reached[trial.number] for trial in pruned)
    assert len(result.trials) == 25
    assert min(reached) < 27


def test_metrics_that_are_better_higher_are_maximised(linear: Prepared) -> None:
    tuning = Tuning(space=SPACE, trials=4, pruner="none", maximize=True)
    result = tune(_fit, linear.train, linear.valid, tuning=tuning, score=_log_loss)
    assert result.value == max(trial.value for trial in result.trials if trial.value is not None)


def test_fixed_parameters_seed_and_threads_reach_the_fit_function(linear: Prepared) -> None:
    given: list[Mapping[str, Any]] = []

    def fit(train: Fold, valid: Fold, params: Mapping[str, Any], report: Report) -> LogisticRegression:
        given.append(params)
        return _fit(train, valid, params, report)

    fixed: dict[str, int | float | str | bool] = {"solver": "lbfgs", "trees": 7}
    tuning = Tuning(space={"strength": {"float": [0.1, 1.0]}}, trials=1, seed=9, threads=2, fixed=fixed)
    result = tune(fit, linear.train, linear.valid, tuning=tuning, score=_log_loss)
    fit_final(fit, linear.train, linear.valid, params=result.params, tuning=tuning)
    assert given[0] == given[1] == {**fixed, **result.params, "seed": 9, "threads": 2}


def test_an_empty_space_is_one_fit_with_the_fixed_parameters(linear: Prepared) -> None:
    tuning = Tuning(space={}, trials=1, fixed={"strength": 1.0, "solver": "lbfgs"})
    assert tune(_fit, linear.train, linear.valid, tuning=tuning, score=_log_loss).params == {}


def test_an_error_of_the_users_code_is_not_swallowed(linear: Prepared) -> None:
    def fit(train: Fold, valid: Fold, params: Mapping[str, Any], report: Report) -> LogisticRegression:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tune(fit, linear.train, linear.valid, tuning=Tuning(space=SPACE), score=_log_loss)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        (Tuning(space={}, trials=0), r"tune\.trials 0 must be at least 1"),
        (Tuning(space={}, sampler="grid"), r"tune\.sampler 'grid' is not known; choose one of: random, tpe"),
        (Tuning(space={}, pruner="halving"), r"tune\.pruner 'halving' is not known; choose one of: hyperband, median"),
    ],
)
def test_a_search_that_cannot_be_made_is_named(linear: Prepared, tuning: Tuning, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        tune(_fit, linear.train, linear.valid, tuning=tuning, score=_log_loss)


def test_a_search_without_a_finite_metric_says_so(linear: Prepared) -> None:
    score: Callable[[np.ndarray, np.ndarray], float] = lambda _labels, _scores: float("inf")  # noqa: E731
    with pytest.raises(InvalidInput, match="None of 2 trials finished"):
        tune(_fit, linear.train, linear.valid, tuning=Tuning(space=SPACE, trials=2), score=score)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ([1, 2], "'x' is .* give one of `int`, `float` or `choice`"),
        ({"integer": [1, 2]}, "'integer' is not known; choose one of: choice, float, int"),
        ({"int": [1, 2], "float": [1, 2]}, "give one of"),
        ({"int": [2, 1]}, r"\[2, 1\] must be \[lowest, highest\]"),
        ({"int": [0.5, 3]}, "must be whole numbers"),
        ({"float": [0, 1], "log": True}, "above 0 for `log: true`"),
        ({"float": [True, 3]}, "must be"),
        ({"choice": []}, "at least one"),
    ],
)
def test_an_error_in_the_space_names_the_parameter_and_the_value(declared: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_space({"x": declared})
