"""Training runs and their metric curves."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.server.api.route import Call, Nothing
from bailiwick.tracking.comparison import RunComparison
from bailiwick.tracking.history import CHART_POINTS
from bailiwick.tracking.model import MetricPoint, Run

Limit = Annotated[int, Meta(ge=1, le=1000)]


class RunsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One page: at most `limit` runs, those after the run `after` of the page before."""

    experiment: str | None = None
    limit: Limit = 100
    after: str = ""


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
    found = call.platform.tracking.runs(call.workspace, asked.experiment, asked.limit, after=asked.after)
    return Runs(found, found[-1].id if len(found) == asked.limit else None)


def run(call: Call[Nothing, Nothing]) -> Run:
    """One run with its parameters, tags and latest metrics."""
    return call.platform.tracking.run(call.workspace, call.path["run"])


def compare_runs(call: Call[CompareQuery, Nothing]) -> RunComparison:
    """Params, metrics and tags of a run and others side by side; `differs` marks where they are not the same."""
    others = [each.strip() for each in call.query.others.split(",") if each.strip()]
    return call.platform.tracking.compare_runs(call.workspace, [call.path["run"], *others])


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
