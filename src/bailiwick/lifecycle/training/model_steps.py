"""Steps `features`, `tune`, `train`: from a snapshot to a package that answers as the trained pipeline does."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import msgspec

from bailiwick.core.errors import NotFound
from bailiwick.evaluation.metrics import metric as metric_named
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training import matrices, packing
from bailiwick.lifecycle.training.declared import declared_features
from bailiwick.lifecycle.training.run_record import TrainingRun
from bailiwick.lifecycle.training.splits import divided
from bailiwick.pipelines.model import JSON, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.training.entrypoint import load_fit
from bailiwick.training.model import Fold, TrialResult, TuneResult
from bailiwick.training.tuning import Tuning, fit_final, tune

PRODUCTION = "production"
WATCHED_ROWS = 1000


def fit(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Fit the declared features on what the model may learn from, never on the hold-out."""
    with closing(divided(platform, project, context)) as rows:
        fitted = matrices.fit(platform, project, declared_features(project), rows)
    stays = "".join(f"; {each.column} stays Python: {each.reason[: packing.TOLD]}" for each in fitted.kept)
    context.progress(1.0, f"{len(fitted.names)} columns{stays}")
    return matrices.keep(platform, fitted)


def search(platform: Platform, project: Project, context: StepContext) -> Mapping[str, JSON]:
    """Tune on train and valid, keeping each trial; or take the parameters in production where a retraining says so."""
    known = _known_parameters(platform, project, context)
    if known is not None:
        context.progress(1.0, "parameters of the version in production")
        found = TuneResult(params=known, value=None, trials=())
        return {"tuning": platform.blobs.put(msgspec.json.encode(found)), "trials": 0}
    fitted = matrices.read(platform, context.inputs["features"])
    with closing(divided(platform, project, context)) as rows, closing(matrices.Matrix(platform, fitted)) as matrix:
        train, valid = matrices.two_folds(matrices.known_fold(project, matrix, rows), rows)
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
    """Fit the final model, package it as one ONNX graph; where that does not answer as the pipeline does, as Python."""
    tuned = msgspec.json.decode(platform.blobs.get(str(context.inputs["tune"]["tuning"])), type=TuneResult)
    fitted = matrices.read(platform, context.inputs["features"])
    with (
        closing(divided(platform, project, context)) as rows,
        TrainingRun(platform, project, context) as run,
        closing(matrices.Matrix(platform, fitted)) as matrix,
    ):
        run.log_search(tuned)
        run.log_split(rows.split)
        known = matrices.known_fold(project, matrix, rows)
        context.progress(0.2, f"fitting on {len(known.labels):,} rows")
        fit_function = load_fit(project.train.entrypoint, project.folder)
        # Nothing is decided by the metric of the final fit, so a few rows are enough to watch it.
        watched = Fold(known.features[-WATCHED_ROWS:], known.labels[-WATCHED_ROWS:], known.names)
        estimator = fit_final(fit_function, known, watched, params=tuned.params, tuning=tuning_of(project))
        context.progress(0.6, "packaging as ONNX")
        packed = packing.pack(platform, project, matrix, estimator, matrices.held_out(rows, list(fitted.inputs)))
        run.log({"parity_max_error": packed.max_error, "train_rows": float(len(known.labels))})
    context.progress(1.0, packed.message)
    return {"package": packed.package, "run": run.id, "parity": packed.parity, "parameters": dict(tuned.params)}


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
        threads=matrices.threads(),
    )
