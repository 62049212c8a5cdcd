"""Steps `features`, `tune`, `train`, `evaluate`: from a snapshot to a package that has passed its gates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bailiwick.core.errors import CheckFailed, InvalidInput, NotFound
from bailiwick.evaluation.gates import check_gates, parse_gate
from bailiwick.evaluation.metrics import metric as metric_named
from bailiwick.evaluation.model import Evaluation
from bailiwick.evaluation.slices import evaluate
from bailiwick.features.boundaries import boundaries_of
from bailiwick.features.compilation import compile_features
from bailiwick.features.cross_fitting import training_matrix
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FittedFeatures
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.scoring import score
from bailiwick.lifecycle.training.declared import declared_features
from bailiwick.lifecycle.training.run_record import TrainingRun
from bailiwick.lifecycle.training.splits import Split, labels_of, split_by_time
from bailiwick.pipelines.model import JSON, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.training.entrypoint import load_fit
from bailiwick.training.model import Fold, TrialResult, TuneResult
from bailiwick.training.packaging import package
from bailiwick.training.parity import check_parity
from bailiwick.training.tuning import Tuning, fit_final, tune

PRODUCTION = "production"
WATCHED_ROWS = 1000


def fit(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Fit the declared features on what the model may learn from, never on the hold-out."""
    split = load_split(platform, project, context)
    fitted = fit_features(declared_features(project), split.known, _labels(project, split.known))
    context.progress(1.0, f"{len(fitted.names)} columns")
    return {"features": platform.blobs.put(fitted.to_json()), "digest": fitted.digest, "columns": len(fitted.names)}


def search(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Tune on train and valid, keeping each trial; or take the parameters in production where a retraining says so."""
    known = _known_parameters(platform, project, context)
    if known is not None:
        context.progress(1.0, "parameters of the version in production")
        found = TuneResult(params=known, value=None, trials=())
        return {"tuning": platform.blobs.put(msgspec.json.encode(found)), "trials": 0}
    train, valid = folds(platform, project, context)
    metric = project.train.tune.metric

    def told(trial: TrialResult, planned: int) -> None:
        shown = "pruned" if trial.value is None else f"{metric} {trial.value:.4f}"
        context.progress((trial.number + 1) / planned, f"trial {trial.number + 1} of {planned}: {shown}")

    fit_function = load_fit(project.train.entrypoint, project.folder)
    measure = metric_named(metric).compute
    found = tune(fit_function, train, valid, tuning=tuning_of(project), score=measure, progress=told)
    context.progress(1.0, f"best {metric} {found.value:.4f} of {len(found.trials)} trials")
    return {"tuning": platform.blobs.put(msgspec.json.encode(found)), "trials": len(found.trials)}


def _known_parameters(
    platform: Platform, project: Project, context: StepContext
) -> dict[str, int | float | str | bool] | None:
    """Production's parameters, for a run that retrains and was not told to tune; None where a search is due."""
    if not context.params.get("retrain") or (project.retrain is not None and project.retrain.tune):
        return None
    try:
        champion = platform.registry.alias(context.actor.workspace, project.name, PRODUCTION)
    except NotFound:
        return None
    return dict(champion.parameters)


def train(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Fit the final model, package it as one ONNX graph, and refuse it unless graph and pipeline agree row by row."""
    tuned = msgspec.json.decode(platform.blobs.get(str(context.inputs["tune"]["tuning"])), type=TuneResult)
    split = load_split(platform, project, context)
    fitted = _fitted(platform, context)
    proto = compile_features(fitted)
    graph = FeatureGraph(proto, threads=_threads())
    with TrainingRun(platform, project, context) as run:
        run.log_search(tuned)
        known = _known(project, graph, split)
        context.progress(0.2, f"fitting on {len(known.labels):,} rows")
        fit_function = load_fit(project.train.entrypoint, project.folder)
        # Nothing is decided by the metric of the final fit, so a few rows are enough to watch it.
        watched = Fold(known.features[-WATCHED_ROWS:], known.labels[-WATCHED_ROWS:], known.names)
        estimator = fit_final(fit_function, known, watched, params=tuned.params, tuning=tuning_of(project))
        context.progress(0.6, "packaging as ONNX")
        packed = package(proto, estimator)
        report = check_parity(packed, graph.run, estimator, split.holdout, boundaries=boundaries_of(fitted))
        run.log({"parity_max_error": report.max_error, "train_rows": float(len(known.labels))})
        if not report.passed:
            raise CheckFailed(
                f"The packaged model does not answer as the trained one: largest difference {report.max_error:g}.",
                findings=[f"worst row: {report.worst}"],
                hint="The converter is wrong for this model; choose another estimator.",
            )
        digest = platform.blobs.put(packed)
    context.progress(1.0, f"parity within {report.max_error:.1e} on {report.rows:,} rows")
    parity = msgspec.to_builtins(report)
    parity.pop("worst", None)
    return {"package": digest, "run": run.id, "parity": parity, "parameters": dict(tuned.params)}


def judge(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Evaluate the package on the newest, unseen rows, by slice too, against the gates and against production."""
    holdout = load_split(platform, project, context).holdout
    labels = _labels(project, holdout)
    slices = {name: _slice_values(holdout, name) for name in project.evaluate.slices}
    mine = score(platform.blobs.get(str(context.inputs["train"]["package"])), holdout)
    evaluation = evaluate(labels, mine, slices)
    champion = _champion(platform, project, context, holdout, labels, slices)
    results = check_gates([parse_gate(text) for text in project.evaluate.gates], evaluation, champion)
    run = str(context.inputs["train"]["run"])
    platform.tracking.log(context.actor, run, metrics={f"holdout_{k}": v for k, v in evaluation.metrics.items()})
    failed = [result.message for result in results if not result.passed]
    if failed:
        raise CheckFailed(
            f"{len(failed)} of {len(results)} gates say no.",
            findings=failed,
            hint="The version is not registered; improve the model or discuss the gate.",
        )
    context.progress(1.0, f"AUC {evaluation.metrics['roc_auc']:.3f}, {len(results)} gates passed")
    return {
        "metrics": dict(evaluation.metrics),
        "slices": _by_column(evaluation),
        "gates": [result.message for result in results],
        "rules": [result.gate for result in results],
    }


def load_split(platform: Platform, project: Project, context: StepContext) -> Split:
    """The snapshot's rows, cut by event time as the project says."""
    rows = platform.data.read(context.actor.workspace, str(context.inputs["ingest"]["snapshot"]))
    return split_by_time(rows, time=project.data.time, holdout=project.evaluate.holdout)


def folds(platform: Platform, project: Project, context: StepContext) -> tuple[Fold, Fold]:
    """Feature matrices of train and valid, through the one graph that serves too."""
    split = load_split(platform, project, context)
    graph = FeatureGraph(compile_features(_fitted(platform, context)), threads=_threads())
    known, cut = _known(project, graph, split), split.train.num_rows
    train, valid = (
        Fold(known.features[part], known.labels[part], known.names) for part in (slice(cut), slice(cut, None))
    )
    return train, valid


def tuning_of(project: Project) -> Tuning:
    """The project file's `train.tune` in the tuner's words."""
    declared = project.train.tune
    return Tuning(
        space=declared.space,
        trials=declared.trials,
        sampler=declared.sampler,
        pruner=declared.pruner,
        maximize=metric_named(declared.metric).higher_is_better,
        seed=declared.seed,
        threads=_threads(),
    )


def _known(project: Project, graph: FeatureGraph, split: Split) -> Fold:
    """The rows that features were fitted on; what is made of labels, is made for each row without its own."""
    rows, labels = split.known, _labels(project, split.known)
    matrix = training_matrix(graph, declared_features(project), rows, labels, threads=_threads())
    return Fold(matrix, labels, graph.names)


def _labels(project: Project, rows: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    label = project.data.label
    return labels_of(rows, column=label.column, positive=label.positive)


def _fitted(platform: Platform, context: StepContext) -> FittedFeatures:
    return FittedFeatures.from_json(platform.blobs.get(str(context.inputs["features"]["features"])))


def _slice_values(rows: pa.Table, name: str) -> np.ndarray[Any, Any]:
    if name not in rows.column_names:
        raise InvalidInput.choice("evaluate.slices", name, rows.column_names)
    return np.asarray(rows[name].to_pylist(), dtype=object)


def _champion(
    platform: Platform,
    project: Project,
    context: StepContext,
    holdout: pa.Table,
    labels: np.ndarray[Any, Any],
    slices: Mapping[str, np.ndarray[Any, Any]],
) -> Evaluation | None:
    """The version in production, on the very same rows; None where there is none yet."""
    try:
        champion = platform.registry.alias(context.actor.workspace, project.name, PRODUCTION)
    except NotFound:
        return None
    if champion.runtime != "onnx":
        raise CheckFailed(
            f"Version {champion.number} in production has no ONNX package, so nothing can be compared with it.",
            hint=f"Package it, or point {PRODUCTION!r} at a version that has one.",
        )
    return evaluate(labels, score(platform.blobs.get(champion.package), holdout), slices)


def _by_column(evaluation: Evaluation) -> dict[str, Any]:
    """Metrics of each slice as {column: {value: {metric: number}}}, with its rows."""
    found: dict[str, Any] = {}
    for item in evaluation.slices:
        found.setdefault(item.column, {})[item.value] = {"rows": item.rows, **item.metrics}
    return found


def _threads() -> int:
    return max(1, len(os.sched_getaffinity(0)))


Body = Callable[[Platform, Project, StepContext], Mapping[str, JSON]]
