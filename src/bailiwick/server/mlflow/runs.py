"""MLflow's run calls: made, changed, logged to, found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from msgspec import Struct

from bailiwick.core.actor import Permission
from bailiwick.core.filters import parse_filter, parse_ordering
from bailiwick.server.mlflow.errors import INVALID, MlflowError
from bailiwick.server.mlflow.experiments import Tag, tags_of, tracking_of
from bailiwick.server.mlflow.message import Filled, Int64, Message
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.server.mlflow.run_links import links_of
from bailiwick.server.mlflow.tracking_json import (
    Info,
    RunJson,
    info_json,
    page_size,
    runs_json,
    status_of,
    view_of,
)
from bailiwick.tracking.conditions import ENTITIES
from bailiwick.tracking.errors import ParamChanged
from bailiwick.tracking.experiment_search import experiment_number
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.model import DEFAULT_EXPERIMENT_ID, MetricPoint
from bailiwick.tracking.search import RunSearch

MAX_BATCH_BYTES = 1_000_000
MAX_BATCH_METRICS = 1_000
MAX_BATCH_TEXTS = 100
MAX_BATCH_TOGETHER = 1_000
Begun = Future[None] | None
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")


class RunMessage(Message):
    """What concerns one run, which clients before 2.0 name by `run_uuid`."""

    run_id: str | None = None
    run_uuid: str | None = None


class CreateRun(Message):
    """`start_time` in milliseconds; now when it is not set."""

    experiment_id: str | None = None
    user_id: str | None = None
    run_name: str | None = None
    start_time: Int64 | None = None
    tags: list[Tag] | None = None


class UpdateRun(RunMessage):
    """What is not set is left."""

    status: str | int | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class SearchRuns(Message):
    """One page of the runs of some experiments."""

    experiment_ids: list[str] | None = None
    filter: str | None = None
    run_view_type: str | int | None = None
    max_results: Int64 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


class Point(Message):
    """A metric point; `model_id` and the dataset say what else it was measured on."""

    required = ("key", "value", "timestamp")
    key: Filled
    value: float
    timestamp: Int64
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LogMetric(Point):
    """One metric point of one run."""

    run_id: str | None = None
    run_uuid: str | None = None


class RunText(RunMessage):
    """One param or tag of a run."""

    required = ("key",)
    key: str | None = None
    value: str | None = None


class LogBatch(RunMessage):
    """Everything in it is kept, or nothing."""

    metrics: list[Point] | None = None
    params: list[Tag] | None = None
    tags: list[Tag] | None = None


class Made(Struct):
    """One run."""

    run: RunJson


class Updated(Struct):
    """What is known of a run now."""

    run_info: Info


class Runs(Struct, omit_defaults=True):
    """A page; lists that are empty are not set."""

    runs: list[RunJson] | None = None
    next_page_token: str | None = None


def run_id_of(message: RunMessage | LogMetric) -> str:
    """Raises MlflowError when no run is named."""
    named = message.run_id or message.run_uuid
    if not named:
        see = "See the API docs for more information about request parameters."
        raise MlflowError(INVALID, f"Missing value for required parameter 'run_id'. {see}")
    return named


def create(call: MlflowCall[CreateRun]) -> Made:
    """A RUNNING run."""
    asked = call.message
    run = tracking_of(call).create_run(
        call.actor,
        experiment_number(asked.experiment_id or DEFAULT_EXPERIMENT_ID),
        name=asked.run_name or "",
        user=asked.user_id or "",
        started=asked.start_time,
        tags=tags_of(asked.tags),
    )
    return Made(runs_json([run], {})[0])


def update(call: MlflowCall[UpdateRun]) -> Updated:
    """Status, end time or name."""
    asked = call.message
    status, name = status_of(asked.status), asked.run_name or None
    tracking = call.platform.tracking
    info = tracking.revise_run(call.actor, run_id_of(asked), status=status, name=name, ended=asked.end_time)
    return Updated(info_json(info))


def delete(call: MlflowCall[RunMessage]) -> dict[str, Any]:
    """Hide a run."""
    call.platform.tracking.delete_run(call.actor, run_id_of(call.message))
    return {}


def restore(call: MlflowCall[RunMessage]) -> dict[str, Any]:
    """Show a run again."""
    call.platform.tracking.restore_run(call.actor, run_id_of(call.message))
    return {}


def get(call: MlflowCall[RunMessage]) -> Made:
    """Deleted ones too."""
    run_id = run_id_of(call.message)
    with call.platform.records.read_together():
        run = call.platform.tracking.run(call.workspace, run_id)
        return Made(runs_json([run], links_of(call, [run.id]))[0])


def search(call: MlflowCall[SearchRuns]) -> Runs:
    """By start time, newest first, unless `order_by` says otherwise. No experiment means no run."""
    asked = call.message
    search_for = RunSearch(
        experiment_ids=tuple(experiment_number(each) for each in asked.experiment_ids or ()),
        clauses=parse_filter(asked.filter or "", entities=ENTITIES, default="attribute"),
        orderings=tuple(parse_ordering(each, entities=ENTITIES, default="attribute") for each in asked.order_by or ()),
        view=view_of(asked.run_view_type),
    )
    limit = page_size(asked.max_results)
    with call.platform.records.read_together():
        page = call.platform.tracking.search_runs(call.workspace, search_for, limit=limit, token=asked.page_token or "")
        links = links_of(call, [run.id for run in page.items])
    return Runs(runs_json(page.items, links) or None, page.next or None)


def log_metric(call: MlflowCall[LogMetric]) -> Begun:
    """One point; sent again, it changes nothing."""
    return _log(call, run_id_of(call.message), [call.message])


def log_param(call: MlflowCall[RunText]) -> dict[str, Any]:
    """One param; sent again, it changes nothing."""
    asked, run_id = call.message, run_id_of(call.message)
    try:
        params = {asked.key or "": asked.value or ""}
        call.platform.tracking.log(call.actor, run_id, params=params, truncate=True)
    except ParamChanged as error:
        key, (before, after) = next(iter(error.changed.items()))
        raise MlflowError(
            INVALID,
            f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{before}' "
            f"for run ID='{run_id}'. Attempted logging new value '{after}'.",
        ) from None
    return {}


def set_tag(call: MlflowCall[RunText]) -> Begun:
    """Set or replace one tag; `mlflow.runName` renames the run."""
    return _log(call, run_id_of(call.message), tags={call.message.key or "": call.message.value or ""})


def delete_tag(call: MlflowCall[RunText]) -> dict[str, Any]:
    """Take one tag away."""
    call.platform.tracking.delete_tag(call.actor, run_id_of(call.message), call.message.key or "")
    return {}


def log_batch(call: MlflowCall[LogBatch]) -> Begun:
    """Points, params and tags in one transaction; sent again, it changes nothing."""
    asked, run_id = call.message, run_id_of(call.message)
    if not _RUN_ID.fullmatch(run_id):
        raise MlflowError(INVALID, f"Invalid value \"{run_id[:300]}\" for parameter 'run_id' supplied.")
    metrics, params, tags = asked.metrics or [], asked.params or [], asked.tags or []
    size = call.request.headers.get("content-length", "")
    _check_batch(int(size) if size.isdecimal() else 0, len(metrics), len(params), len(tags))
    repeated = [key for key, count in Counter(param.key for param in params).items() if count > 1]
    if repeated:
        raise MlflowError(
            INVALID,
            f"Duplicate parameter keys have been submitted: {repeated}. Please ensure the request contains only one "
            "param value per param key.",
        )
    return _log(call, run_id, metrics, params=tags_of(params), tags=tags_of(tags))


def _log(
    call: MlflowCall[Any],
    run_id: str,
    metrics: Sequence[Point] = (),
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Begun:
    tracking, points = call.platform.tracking, [_point(metric) for metric in metrics]
    texts = {"params": params or {}, "tags": tags or {}}
    measured = [_of_model(run_id, metric) for metric in metrics if metric.model_id]
    if not call.at_once:
        tracking.log(call.actor, run_id, metrics=points, **texts, truncate=True, of_models=measured)
        return None
    if measured:
        return call.threads.submit(
            tracking.log, call.actor, run_id, metrics=points, **texts, truncate=True, of_models=measured
        )
    return tracking.begin_log(call.actor, run_id, call.threads, metrics=points, **texts, truncate=True)


def _point(asked: Point) -> MetricPoint:
    return MetricPoint(asked.key, asked.value, asked.timestamp, asked.step or 0)


def _of_model(run_id: str, asked: Point) -> ModelMetric:
    point, dataset = _point(asked), (asked.dataset_name or "", asked.dataset_digest or "")
    return ModelMetric(asked.model_id or "", run_id, point.key, point.value, point.time, point.step, *dataset)


def _check_batch(size: int, metrics: int, params: int, tags: int) -> None:
    if size > MAX_BATCH_BYTES:
        said = f"Batched logging API requests must be at most {MAX_BATCH_BYTES} bytes, got a request of size {size}."
        raise MlflowError(INVALID, said)
    limits: Sequence[tuple[str, int, int]] = (
        ("metrics", MAX_BATCH_METRICS, metrics),
        ("params", MAX_BATCH_TEXTS, params),
        ("tags", MAX_BATCH_TEXTS, tags),
        ("metrics, params, and tags", MAX_BATCH_TOGETHER, metrics + params + tags),
    )
    for name, most, count in limits:
        if count > most:
            raise MlflowError(
                INVALID,
                f"A batch logging request can contain at most {most} {name}. Got {count} {name}. Please split up "
                f"{name} across multiple requests and try again.",
            )


_WRITE, _READ = Permission.TRACKING_WRITE, Permission.READ
_AT = "/mlflow/runs"

ROUTES = (
    MlflowRoute("POST", f"{_AT}/create", CreateRun, _WRITE, create, prompt=True),
    MlflowRoute("POST", f"{_AT}/update", UpdateRun, _WRITE, update, prompt=True),
    MlflowRoute("POST", f"{_AT}/delete", RunMessage, _WRITE, delete),
    MlflowRoute("POST", f"{_AT}/restore", RunMessage, _WRITE, restore),
    MlflowRoute("GET", f"{_AT}/get", RunMessage, _READ, get, prompt=True),
    MlflowRoute("POST", f"{_AT}/search", SearchRuns, _READ, search),
    MlflowRoute("POST", f"{_AT}/log-metric", LogMetric, _WRITE, log_metric, prompt=True, begins=True),
    MlflowRoute("POST", f"{_AT}/log-parameter", RunText, _WRITE, log_param, prompt=True),
    MlflowRoute("POST", f"{_AT}/set-tag", RunText, _WRITE, set_tag, prompt=True, begins=True),
    MlflowRoute("POST", f"{_AT}/delete-tag", RunText, _WRITE, delete_tag),
    MlflowRoute("POST", f"{_AT}/log-batch", LogBatch, _WRITE, log_batch, prompt=True, begins=True),
)
