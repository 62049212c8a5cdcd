"""What inference processes report, what is promised of endpoints, and how both go together."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from bailiwick.endpoints.reporting import Counts, WorkerReport
from bailiwick.lifecycle.platform import Platform
from bailiwick.monitoring.objectives.model import Objectives, Standing, WorkerState
from bailiwick.server.api.route import Call, Nothing

Name = Annotated[str, Meta(min_length=1, max_length=250)]
Count = Annotated[int, Meta(ge=0, lt=1 << 62)]


class ReportedCounts(Struct, frozen=True):
    """Requests of one endpoint since the worker started: those that failed, and the answered by class of latency."""

    failed: Count
    latency: Annotated[list[Count], Meta(max_length=100)]


class Report(Struct, frozen=True):
    """How an inference process is doing. Fields that are not known here are for a newer control plane."""

    worker: Name
    revision: Count
    endpoints: Annotated[list[Name], Meta(max_length=10_000)] = []
    failures: dict[Name, Annotated[str, Meta(max_length=4000)]] = {}
    counts: dict[Name, ReportedCounts] = {}
    leaving: bool = False
    breakers: dict[Name, dict[Name, Annotated[str, Meta(max_length=20)]]] = {}
    stopped: bool = False


class SetObjectives(Struct, frozen=True, forbid_unknown_fields=True):
    """At most 1 - `availability` of the requests fail, and at most 1 - `latency_share` of the answers take longer than `latency_us`; 0 promises nothing of latency."""

    availability: float = 0.999
    latency_us: int = 0
    latency_share: float = 0.99


class Workers(Struct, frozen=True):
    """Inference processes heard of in the last day, by name."""

    items: list[WorkerState]


class Promises(Struct, frozen=True):
    """What is promised of an endpoint, and how each promise is kept."""

    objectives: Objectives
    standings: list[Standing]


def report(call: Call[Nothing, Report]) -> Response:
    """Take a worker's report; one that comes twice counts once."""
    said = call.body
    found = WorkerReport(
        worker=said.worker,
        revision=said.revision,
        endpoints=tuple(said.endpoints),
        failures=said.failures,
        counts={name: Counts(each.failed, tuple(each.latency)) for name, each in said.counts.items()},
        leaving=said.leaving,
        breakers=said.breakers,
        stopped=said.stopped,
    )
    call.platform.serving_watch.report(call.actor, found)
    return Response(status_code=204)


def workers(call: Call[Nothing, Nothing]) -> Workers:
    """Who serves, and when each was last heard of."""
    return Workers(call.platform.serving_watch.workers(call.workspace))


def promises(call: Call[Nothing, Nothing]) -> Promises:
    """Raises NotFound for an unknown endpoint."""
    name = call.platform.endpoints.endpoint(call.workspace, call.path["endpoint"]).name
    return _promises(call.platform, call.workspace, name)


def promise(call: Call[Nothing, SetObjectives]) -> Promises:
    """Set what is promised. Raises NotFound for an unknown endpoint."""
    name = call.platform.endpoints.endpoint(call.workspace, call.path["endpoint"]).name
    wanted = Objectives(call.body.availability, call.body.latency_us, call.body.latency_share)
    call.platform.serving_watch.promise(call.actor, name, wanted)
    return _promises(call.platform, call.workspace, name)


def _promises(platform: Platform, workspace: str, name: str) -> Promises:
    promised = platform.serving_watch.objectives(workspace).get(name, Objectives())
    return Promises(promised, platform.serving_watch.standings(workspace, name))
