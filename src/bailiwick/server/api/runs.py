"""Training runs and their metric curves."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.server.api.route import Call, Nothing
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


def runs(call: Call[RunsQuery, Nothing]) -> Runs:
    """Runs of all experiments or of one."""
    asked = call.query
    found = call.platform.tracking.runs(call.workspace, asked.experiment, asked.limit, after=asked.after)
    return Runs(found, found[-1].id if len(found) == asked.limit else None)


def run(call: Call[Nothing, Nothing]) -> Run:
    """One run with its parameters, tags and latest metrics."""
    return call.platform.tracking.run(call.workspace, call.path["run"])


def metric_history(call: Call[MetricQuery, Nothing]) -> MetricHistory:
    """Every point of one metric of a run."""
    return MetricHistory(call.platform.tracking.metric_history(call.workspace, call.path["run"], call.query.key))
