"""Logged models: what was saved to tracking, what was measured of it, and which versions it became."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.core.errors import BailiwickError
from bailiwick.core.filters import parse_filter
from bailiwick.server.ui.artifacts import listing_of
from bailiwick.server.ui.page import Context, Visit
from bailiwick.tracking.lineage.model import Direction
from bailiwick.tracking.logged_models.model import LoggedModel, LoggedModelPage, ModelMetric
from bailiwick.tracking.logged_models.search import ATTRIBUTE, ENTITIES

PAGE = 50
SHOWN_RUNS = 50


def listing(visit: Visit) -> Context:
    """One page of the models of an experiment, newest first."""
    experiment = visit.platform.tracking.experiment(visit.workspace, visit.path["experiment"])
    text, problem = visit.query.get("filter", "").strip(), ""
    found = LoggedModelPage((), "")
    try:
        found = visit.platform.logged_models.search(
            visit.workspace,
            [experiment.id],
            clauses=parse_filter(text, entities=ENTITIES, default=ATTRIBUTE),
            limit=PAGE,
            token=visit.query.get("token", ""),
        )
    except BailiwickError as error:
        problem = " ".join(each for each in (error.message, error.hint) if each)
    keys = sorted({metric.key for model in found.models for metric in model.metrics})[:4]
    return {
        "experiment": experiment,
        "models": found.models,
        "metric_names": keys,
        "latest_of": {model.id: latest(model) for model in found.models},
        "filter": text,
        "problem": problem,
        "next": found.token,
        "later": bool(visit.query.get("token")),
    }


def logged_model(visit: Visit) -> Context:
    """One model, deleted or not."""
    platform, workspace = visit.platform, visit.workspace
    found = platform.logged_models.model(workspace, visit.path["logged_model"], deleted=True)
    runs = platform.run_lineage.runs_of_model(workspace, found.id)
    return {
        "model": found,
        "experiment": platform.tracking.experiment(workspace, found.experiment_id),
        "metrics": sorted(_last(found), key=lambda metric: (metric.dataset_name, metric.key)),
        "versions": platform.registry.versions_of_source(workspace, model_id=found.id),
        "made_by": [run for run in runs[Direction.OUTPUT] if run != found.source_run][:SHOWN_RUNS],
        "read_by": runs[Direction.INPUT][:SHOWN_RUNS],
        "files": listing_of(visit, found.artifact_location),
        "own_tags": {key: value for key, value in found.tags.items() if not key.startswith("mlflow.")},
        "may_write": visit.may(Permission.TRACKING_WRITE),
    }


def latest(model: LoggedModel) -> dict[str, float]:
    """The latest value of each metric, on whichever data it was measured last."""
    return {metric.key: metric.value for metric in sorted(model.metrics, key=lambda each: (each.step, each.time))}


def _last(model: LoggedModel) -> list[ModelMetric]:
    """The latest measurement of each metric on each dataset."""
    ordered = sorted(model.metrics, key=lambda each: (each.step, each.time))
    return list({(each.key, each.dataset_name, each.dataset_digest): each for each in ordered}.values())
