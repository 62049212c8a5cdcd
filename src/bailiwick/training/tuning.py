"""Searches parameters with Optuna's ask and tell: one seeded study in memory, every trial handed back to be recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from bailiwick.core.errors import InvalidInput
from bailiwick.training.estimators import predict
from bailiwick.training.model import Fit, Fold, ParameterValue, Pruned, TrialResult, TuneResult

SAMPLERS = ("tpe", "random")
PRUNERS = ("hyperband", "median", "none")

Score = Callable[[NDArray[np.int64], NDArray[np.float64]], float]
"""The metric that trials are compared by: `score(labels, probabilities)`."""

TrialProgress = Callable[[TrialResult, int], None]
"""Called after each trial with its result and the count of trials planned."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What to search and how. `fixed` are parameters that every trial gets besides the searched ones."""

    space: Mapping[str, object]
    trials: int = 20
    sampler: str = "tpe"
    pruner: str = "median"
    maximize: bool = False
    seed: int = 0
    threads: int = 1
    fixed: Mapping[str, ParameterValue] = field(default_factory=dict)


def tune(
    fit: Fit, train: Fold, valid: Fold, *, tuning: Tuning, score: Score, progress: TrialProgress | None = None
) -> TuneResult:
    """The best parameters by `score` on the validation fold. The same seed and data give the same trials.

    An exception of the fit function ends the search: parameters that make it fail belong outside the space.
    """
    space = parse_space(tuning.space)
    study = _study(tuning)
    results: list[TrialResult] = []
    for _ in range(tuning.trials):
        trial = study.ask(space)
        result = _run(fit, train, valid, tuning, score, trial)
        state = TrialState.PRUNED if result.value is None else TrialState.COMPLETE
        study.tell(trial, result.value, state=state)
        results.append(result)
        if progress:
            progress(result, tuning.trials)
    return _best(results, maximize=tuning.maximize)


def _run(fit: Fit, train: Fold, valid: Fold, tuning: Tuning, score: Score, trial: optuna.Trial) -> TrialResult:
    curve: list[tuple[int, float]] = []

    def report(step: int, value: float) -> None:
        curve.append((step, float(value)))
        trial.report(value, step)
        if trial.should_prune():
            raise Pruned

    started = time.perf_counter()
    value: float | None = None
    try:
        estimator = fit(train, valid, _params(tuning, trial.params), report)
        value = float(score(valid.labels, predict(estimator, valid.features)))
    except Pruned:
        pass
    return TrialResult(
        number=trial.number,
        params=dict(trial.params),
        status="PRUNED" if value is None else "FINISHED",
        value=value,
        curve=tuple(curve),
        seconds=time.perf_counter() - started,
    )


def fit_final(fit: Fit, train: Fold, valid: Fold, *, params: Mapping[str, ParameterValue], tuning: Tuning) -> object:
    """The estimator with chosen parameters; nothing is pruned."""
    return fit(train, valid, _params(tuning, params), lambda _step, _value: None)


def _params(tuning: Tuning, chosen: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    return {**tuning.fixed, **chosen, "seed": tuning.seed, "threads": tuning.threads}


def _study(tuning: Tuning) -> optuna.Study:
    if tuning.trials < 1:
        raise InvalidInput(f"tune.trials {tuning.trials} must be at least 1.")
    if tuning.sampler not in SAMPLERS:
        raise InvalidInput.choice("tune.sampler", tuning.sampler, SAMPLERS)
    if tuning.pruner not in PRUNERS:
        raise InvalidInput.choice("tune.pruner", tuning.pruner, PRUNERS)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports each study to stderr; we report trials ourselves
    warmup = max(2, min(5, tuning.trials // 4))  # Optuna's own 10 and 5 would leave few trials unguided or unpruned
    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=tuning.seed, n_startup_trials=warmup),
        "random": lambda: optuna.samplers.RandomSampler(seed=tuning.seed),
    }
    pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
        "hyperband": optuna.pruners.HyperbandPruner,
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=warmup),
        "none": optuna.pruners.NopPruner,
    }
    direction = StudyDirection.MAXIMIZE if tuning.maximize else StudyDirection.MINIMIZE
    return optuna.create_study(
        sampler=samplers[tuning.sampler](), pruner=pruners[tuning.pruner](), direction=direction, study_name="tuning"
    )


def _best(results: list[TrialResult], *, maximize: bool) -> TuneResult:
    finished = [(result.value, result) for result in results if result.value is not None and np.isfinite(result.value)]
    if not finished:
        raise InvalidInput(
            f"None of {len(results)} trials finished with a metric.", hint="Use `pruner: none`, or narrow the space."
        )
    sign = -1.0 if maximize else 1.0
    value, best = min(finished, key=lambda pair: (sign * pair[0], pair[1].number))
    return TuneResult(params=best.params, value=value, trials=tuple(results))


def parse_space(space: Mapping[str, object]) -> dict[str, BaseDistribution]:
    """Optuna distributions of a mapping such as `{leaves: {int: [15, 63]}, rate: {float: [0.02, 0.2], log: true}}`.

    A third form is `{boosting: {choice: [gbdt, dart]}}`. Raises InvalidInput naming the parameter, value and choices.
    """
    return {name: _distribution(name, declared) for name, declared in space.items()}


def _distribution(name: str, declared: object) -> BaseDistribution:
    where = f"Search space of {name!r}"
    options = dict(declared) if isinstance(declared, Mapping) else {}
    log = options.pop("log", False)
    if len(options) != 1 or not isinstance(log, bool):
        raise InvalidInput(
            f"{where} is {declared!r}; give one of `int`, `float` or `choice`, and perhaps `log: true`.",
            hint=f"For example `{name}: {{int: [15, 63]}}`.",
        )
    ((kind, bounds),) = options.items()
    if kind not in {"int", "float", "choice"}:
        raise InvalidInput.choice(f"{where}: kind", kind, ["int", "float", "choice"])
    if kind == "choice":
        return CategoricalDistribution(_choices(where, bounds))
    low, high = _bounds(where, bounds, log=log)
    if kind == "float":
        return FloatDistribution(low, high, log=log)
    if low != int(low) or high != int(high):
        raise InvalidInput(f"{where}: {bounds!r} must be whole numbers for `int`.")
    return IntDistribution(int(low), int(high), log=log)


def _choices(where: str, bounds: object) -> list[ParameterValue]:
    if isinstance(bounds, list | tuple) and bounds and all(isinstance(item, int | float | str) for item in bounds):
        return list(bounds)
    raise InvalidInput(f"{where}: choice {bounds!r} must be a list of at least one number, text or boolean.")


def _bounds(where: str, bounds: object, *, log: bool) -> tuple[float, float]:
    pair = list(bounds) if isinstance(bounds, list | tuple) else []
    numeric = all(isinstance(item, int | float) and not isinstance(item, bool) for item in pair)
    if len(pair) != 2 or not numeric or not pair[0] <= pair[1]:
        raise InvalidInput(f"{where}: {bounds!r} must be [lowest, highest].")
    if log and pair[0] <= 0:
        raise InvalidInput(f"{where}: {bounds!r} must be above 0 for `log: true`.")
    return pair[0], pair[1]
