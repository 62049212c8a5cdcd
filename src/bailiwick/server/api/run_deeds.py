"""What is done with runs: started, logged to, ended, hidden and shown."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from bailiwick.core.errors import InvalidInput
from bailiwick.server.api.experiments import TagKey
from bailiwick.server.api.route import Call, Nothing
from bailiwick.tracking.lineage.model import RunLinks
from bailiwick.tracking.model import MetricPoint, Run, RunInfo

Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Step = Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
Name = Annotated[str, Meta(max_length=8_000)]


class StartRun(Struct, frozen=True, forbid_unknown_fields=True):
    """The experiment by its id, or by its name, which makes it where there is none; with a `key`, starting again returns
    the run that was started before.
    """

    experiment: Annotated[str, Meta(max_length=500)] = ""
    experiment_id: Annotated[str, Meta(max_length=32)] = ""
    name: Name = ""
    parent: Annotated[str, Meta(max_length=64)] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    key: Annotated[str, Meta(max_length=250)] = ""


class ChangeRun(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed; an ended status gets the end time now, unless that is given (UTC milliseconds)."""

    status: Annotated[str, Meta(max_length=20)] | None = None
    name: Name | None = None
    ended: Time | None = None


class Measurement(Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement; `time` in UTC milliseconds, now if left out."""

    key: str
    value: float
    step: Step = 0
    time: Time | None = None


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged together, whole or not at all; sending it again changes nothing."""

    metrics: Annotated[list[Measurement], Meta(max_length=10_000)] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def start_run(call: Call[Nothing, StartRun]) -> Run:
    """A RUNNING run."""
    wanted, name = call.body, call.body.experiment
    if bool(wanted.experiment_id) == bool(name):
        raise InvalidInput("A run begins in an experiment; give `experiment`, its name, or `experiment_id`.")
    if not name:
        name = call.platform.tracking.experiment(call.workspace, wanted.experiment_id).name
    return call.platform.tracking.start_run(
        call.actor, name, name=wanted.name, parent=wanted.parent, tags=wanted.tags, key=wanted.key
    )


def change_run(call: Call[Nothing, ChangeRun]) -> Run:
    """End it, rename it."""
    wanted = call.body
    return call.platform.tracking.update_run(
        call.actor, call.path["run"], status=wanted.status, name=wanted.name, ended=wanted.ended
    )


def log_batch(call: Call[Nothing, Batch]) -> RunInfo:
    """Log metrics, params and tags."""
    tracking, run_id, given = call.platform.tracking, call.path["run"], call.body
    now = call.platform.records.clock()
    points = [
        MetricPoint(each.key, each.value, now if each.time is None else each.time, each.step) for each in given.metrics
    ]
    tracking.run_info(call.workspace, run_id)
    tracking.log(call.actor, run_id, metrics=points, params=given.params, tags=given.tags)
    return tracking.run_info(call.workspace, run_id)


def untag_run(call: Call[TagKey, Nothing]) -> Run:
    """Remove a tag."""
    call.platform.tracking.delete_tag(call.actor, call.path["run"], call.query.key)
    return call.platform.tracking.run(call.workspace, call.path["run"])


def delete_run(call: Call[Nothing, Nothing]) -> Run:
    """Hide it."""
    return call.platform.tracking.delete_run(call.actor, call.path["run"])


def restore_run(call: Call[Nothing, Nothing]) -> Run:
    """Show it again."""
    return call.platform.tracking.restore_run(call.actor, call.path["run"])


def run_links(call: Call[Nothing, Nothing]) -> RunLinks:
    """Datasets and models that it read, and models that it made."""
    info = call.platform.tracking.run_info(call.workspace, call.path["run"])
    return call.platform.run_lineage.links(call.workspace, [info.id]).get(info.id, RunLinks())
