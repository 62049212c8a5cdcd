"""MLflow's calls for metric histories: page by page, of many runs, and thinned out for charts."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bailiwick.core.actor import Permission
from bailiwick.server.mlflow.errors import INVALID, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.server.mlflow.runs import RunMessage, run_id_of
from bailiwick.server.mlflow.tracking_json import Metric, points_json, run_point_json
from bailiwick.tracking.reading import MAX_HISTORIES

MAX_BULK_POINTS = 25_000
MAX_SAMPLE = 2_500
MAX_PAGE_POINTS = 1_000_000


class GetHistory(RunMessage):
    """With `max_results` a page, without it all points that follow the token."""

    required = ("metric_key",)
    metric_key: str | None = None
    max_results: Int64 | None = None
    page_token: str | None = None


class GetHistoryBulk(Message):
    """Points of several runs."""

    run_id: list[str] | None = None
    metric_key: str | None = None
    max_results: Int64 | None = None


class GetSamples(Message):
    """Points of several runs, thinned out."""

    required = ("run_ids", "metric_key")
    run_ids: list[str] | None = None
    metric_key: str | None = None
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 | None = None


class History(Struct, omit_defaults=True):
    """A page of points; a list that is empty is not set."""

    metrics: list[Metric] | None = None
    next_page_token: str | None = None


def get_history(call: MlflowCall[GetHistory]) -> History:
    """By time, step, value."""
    asked, run_id = call.message, run_id_of(call.message)
    if asked.max_results is not None and asked.max_results < 1:
        said = f"Invalid value {asked.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        raise MlflowError(INVALID, said)
    limit = asked.max_results and min(asked.max_results, MAX_PAGE_POINTS)
    page = call.platform.tracking.metric_history_page(
        call.workspace, run_id, asked.metric_key or "", limit=limit, token=asked.page_token or ""
    )
    return History(points_json(page.items) or None, page.next or None)


def get_history_bulk(call: MlflowCall[GetHistoryBulk]) -> dict[str, Any]:
    """By run id, time, step, value; no more than 25,000 points."""
    asked = call.message
    run_ids = asked.run_id or []
    if not run_ids:
        raise MlflowError(INVALID, "GetMetricHistoryBulk request must specify at least one run_id.")
    if len(run_ids) > MAX_HISTORIES:
        raise MlflowError(
            INVALID,
            f"GetMetricHistoryBulk request cannot specify more than {MAX_HISTORIES} run_ids. "
            f"Received {len(run_ids)} run_ids.",
        )
    if asked.metric_key is None:
        raise MlflowError(INVALID, "GetMetricHistoryBulk request must specify a metric_key.")
    limit = min(MAX_BULK_POINTS if asked.max_results is None else max(asked.max_results, 0), MAX_BULK_POINTS)
    points = call.platform.tracking.metric_histories(call.workspace, run_ids, asked.metric_key, limit=limit)
    return {"metrics": [run_point_json(run_id, point) for run_id, point in points]}


def get_samples(call: MlflowCall[GetSamples]) -> History:
    """Run by run as asked for, by step; the last point of each always among its points."""
    asked = call.message
    run_ids = list(dict.fromkeys(asked.run_ids or ()))
    if len(run_ids) > MAX_HISTORIES:
        raise MlflowError(
            INVALID,
            f"GetMetricHistoryBulkInterval request must specify at most {MAX_HISTORIES} run_ids. "
            f"Received {len(run_ids)} run_ids.",
        )
    limit = MAX_SAMPLE if asked.max_results is None else asked.max_results
    if not 1 <= limit <= MAX_SAMPLE:
        raise MlflowError(INVALID, f"max_results must be between 1 and {MAX_SAMPLE}.")
    samples = call.platform.tracking.metric_samples(
        call.workspace, run_ids, asked.metric_key or "", limit=limit, steps=_steps(asked)
    )
    return History([run_point_json(run_id, point) for run_id in run_ids for point in samples[run_id]] or None)


def _steps(asked: GetSamples) -> tuple[int, int] | None:
    first, last = asked.start_step, asked.end_step
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise MlflowError(INVALID, "If either start step or end step are specified, both must be specified.")
    if first > last:
        said = f"end_step must be greater than start_step. Found start_step={first} and end_step={last}."
        raise MlflowError(INVALID, said)
    return first, last


_AT = "/mlflow/metrics"

ROUTES = (
    MlflowRoute("GET", f"{_AT}/get-history", GetHistory, Permission.READ, get_history),
    MlflowRoute("GET", f"{_AT}/get-history-bulk", GetHistoryBulk, Permission.READ, get_history_bulk),
    MlflowRoute("GET", f"{_AT}/get-history-bulk-interval", GetSamples, Permission.READ, get_samples),
)
