"""Training runs and their metric curves."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.lifecycle import comparing_runs
from bailiwick.server.api.experiments import Filter, SearchQuery, orders, search_runs
from bailiwick.server.api.route import Call, Nothing
from bailiwick.tracking.comparison import RunComparison
from bailiwick.tracking.history import CHART_POINTS
from bailiwick.tracking.model import MetricPoint, Run, View

Limit = Annotated[int, Meta(ge=1, le=1000)]


class RunsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One page: at most `limit` runs; `after` is the `next` of the page before. With a filter, an order (in MLflow's
    grammar, orders separated by commas) or a view, those that meet them, of the experiment with that name or of all.
    """

    experiment: str | None = None
    limit: Limit = 100
    after: str = ""
    filter: Filter = ""
    order_by: str = ""
    view: View | None = None


class CurvesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which metrics, separated by commas, and how many points of each a chart can show."""

    keys: str
    points: Annotated[int, Meta(ge=1, le=2_500)] = CHART_POINTS


class MetricCurve(Struct, frozen=True):
    """Points of one metric by step, thinned out evenly."""

    key: str
    points: list[MetricPoint]


class MetricCurves(Struct, frozen=True):
    """Curves by key; metrics that were not logged are left out."""

    items: list[MetricCurve]


class Runs(Struct, frozen=True):
    """Runs, newest first; `next` is the `after` of the next page, or null at the end."""

    items: list[Run]
    next: str | None


class MetricQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which metric."""

    key: str


class MetricHistory(Struct, frozen=True):
    """Points by time, step, value."""

    items: list[MetricPoint]


class CompareQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of the runs to put beside it, separated by commas."""

    others: str = ""


class SampleQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which metric, and how many points a chart can show."""

    key: str
    points: Annotated[int, Meta(ge=1, le=2_500)] = CHART_POINTS


def runs(call: Call[RunsQuery, Nothing]) -> Runs:
    """Runs of all experiments or of one."""
    asked = call.query
    if asked.filter or asked.order_by or asked.view is not None:
        return _searched(call)
    found = call.platform.tracking.runs(call.workspace, asked.experiment, asked.limit, after=asked.after)
    return Runs(found, found[-1].id if len(found) == asked.limit else None)


def _searched(call: Call[RunsQuery, Nothing]) -> Runs:
    asked, ids = call.query, None
    if asked.experiment is not None:
        ids = (call.platform.tracking.experiment_named(call.workspace, asked.experiment).id,)
    search = SearchQuery(asked.filter, asked.order_by, asked.view or View.ACTIVE_ONLY, asked.limit, asked.after)
    found = search_runs(call, search, ids)
    return Runs(found.items, found.next)


def run_parts(call: Call[Nothing, Nothing]) -> Runs:
    """Active runs that are part of a run, oldest first."""
    info = call.platform.tracking.run_info(call.workspace, call.path["run"])
    return Runs(call.platform.tracking.children(call.workspace, info.id), None)


def metric_curves(call: Call[CurvesQuery, Nothing]) -> MetricCurves:
    """Several metrics of a run, each thinned out for a chart."""
    tracking, keys = call.platform.tracking, orders(call.query.keys)
    info = tracking.run_info(call.workspace, call.path["run"])
    found = tracking.metric_curves(call.workspace, [info.id], keys, limit=call.query.points)
    return MetricCurves([MetricCurve(key, points) for (_, key), points in found.items()])


def run(call: Call[Nothing, Nothing]) -> Run:
    """One run with its parameters, tags and latest metrics."""
    return call.platform.tracking.run(call.workspace, call.path["run"])


def compare_runs(call: Call[CompareQuery, Nothing]) -> RunComparison:
    """A run and others side by side: params, metrics, tags, code, data, packages, host; `differs` marks where they do."""
    others = [each.strip() for each in call.query.others.split(",") if each.strip()]
    return comparing_runs.compare_runs(call.platform, call.workspace, [call.path["run"], *others])


def metric_sample(call: Call[SampleQuery, Nothing]) -> MetricHistory:
    """One metric of a run by step, thinned out evenly for a chart; its first and last points are always there."""
    tracking, run_id = call.platform.tracking, call.path["run"]
    points = tracking.metric_samples(call.workspace, [run_id], call.query.key, limit=call.query.points)[run_id]
    if not points:
        tracking.run_info(call.workspace, run_id)
    return MetricHistory(points)


def metric_history(call: Call[MetricQuery, Nothing]) -> MetricHistory:
    """Every point of one metric of a run."""
    return MetricHistory(call.platform.tracking.metric_history(call.workspace, call.path["run"], call.query.key))
