"""MLflow's experiment calls."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bailiwick.core.actor import Permission, system_actor
from bailiwick.core.errors import AlreadyExists, NotFound
from bailiwick.core.filters import parse_filter, parse_ordering
from bailiwick.server.mlflow.errors import EXISTS, INVALID_STATE, MISSING, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.server.mlflow.tracking_json import ExperimentJson, experiment_json, page_size, view_of
from bailiwick.tracking.errors import ExperimentDeleted, ExperimentNotFound
from bailiwick.tracking.experiment_search import ENTITIES, experiment_number
from bailiwick.tracking.model import Experiment, Lifecycle
from bailiwick.tracking.service import TrackingService


class Tag(Message):
    """A tag; a value that is not set is an empty one."""

    required = ("key",)
    key: str | None = None
    value: str | None = None


class CreateExperiment(Message):
    """`artifact_location` is a URI, or a path relative to the server's working directory."""

    required = ("name",)
    name: str | None = None
    artifact_location: str | None = None
    tags: list[Tag] | None = None


class OneExperiment(Message):
    """By id."""

    required = ("experiment_id",)
    experiment_id: str | None = None


class ExperimentByName(Message):
    """By name."""

    required = ("experiment_name",)
    experiment_name: str | None = None


class UpdateExperiment(Message):
    """Only the name can be changed."""

    required = ("experiment_id", "new_name")
    experiment_id: str | None = None
    new_name: str | None = None


class SearchExperiments(Message):
    """One page."""

    filter: str | None = None
    order_by: list[str] | None = None
    view_type: str | int | None = None
    max_results: Int64 | None = None
    page_token: str | None = None


class ExperimentTag(Message):
    """One tag of an experiment."""

    required = ("experiment_id", "key")
    experiment_id: str | None = None
    key: str | None = None
    value: str | None = None


class Found(Struct):
    """One experiment."""

    experiment: ExperimentJson


class Experiments(Struct, omit_defaults=True):
    """A page; lists that are empty are not set."""

    experiments: list[ExperimentJson] | None = None
    next_page_token: str | None = None


def tracking_of(call: MlflowCall[Any]) -> TrackingService:
    """Tracking, in a workspace that has the experiment every client counts on."""
    tracking = call.platform.tracking
    tracking.prepare_workspace(system_actor(call.workspace, "tracking"))
    return tracking


def tags_of(tags: list[Tag] | None) -> dict[str, str]:
    """Tags by key, the last value of a repeated one."""
    return {tag.key or "": tag.value or "" for tag in tags or ()}


def create(call: MlflowCall[CreateExperiment]) -> dict[str, Any]:
    """The id of the new experiment."""
    asked, name = call.message, call.message.name or ""
    location = asked.artifact_location or ""
    try:
        made = tracking_of(call).create_experiment(
            call.actor, name, tags=tags_of(asked.tags), artifact_location=location
        )
    except AlreadyExists:
        raise _taken(name) from None
    return {"experiment_id": made.id}


def get(call: MlflowCall[OneExperiment]) -> Found:
    """Deleted ones too."""
    return Found(experiment_json(_asked(call)))


def get_by_name(call: MlflowCall[ExperimentByName]) -> Found:
    """Deleted ones too."""
    name = call.message.experiment_name or ""
    try:
        return Found(experiment_json(tracking_of(call).experiment_named(call.workspace, name)))
    except NotFound:
        raise MlflowError(MISSING, f"Could not find experiment with name '{name}'") from None


def search(call: MlflowCall[SearchExperiments]) -> Experiments:
    """Newest first, unless `order_by` says otherwise."""
    asked = call.message
    page = tracking_of(call).search_experiments(
        call.workspace,
        parse_filter(asked.filter or "", entities=ENTITIES, default="attribute"),
        [parse_ordering(each, entities=ENTITIES, default="attribute") for each in asked.order_by or ()],
        view=view_of(asked.view_type),
        limit=page_size(asked.max_results),
        token=asked.page_token or "",
    )
    return Experiments([experiment_json(each) for each in page.items] or None, page.next or None)


def delete(call: MlflowCall[OneExperiment]) -> dict[str, Any]:
    """With its runs. One that is deleted already is not found, as on MLflow's server."""
    found = _asked(call)
    if found.lifecycle == Lifecycle.DELETED:
        raise ExperimentNotFound(found.id)
    call.platform.tracking.delete_experiment(call.actor, found.id)
    return {}


def restore(call: MlflowCall[OneExperiment]) -> dict[str, Any]:
    """With the runs that were deleted together with it. One that is not deleted is not found."""
    found = _asked(call)
    if found.lifecycle == Lifecycle.ACTIVE:
        raise ExperimentNotFound(found.id)
    call.platform.tracking.restore_experiment(call.actor, found.id)
    return {}


def update(call: MlflowCall[UpdateExperiment]) -> dict[str, Any]:
    """Rename."""
    name = call.message.new_name or ""
    try:
        tracking_of(call).rename_experiment(call.actor, _id(call), name)
    except ExperimentDeleted:
        raise MlflowError(INVALID_STATE, "Cannot rename a non-active experiment.") from None
    except AlreadyExists:
        raise _taken(name) from None
    return {}


def set_tag(call: MlflowCall[ExperimentTag]) -> dict[str, Any]:
    """Set or replace one tag."""
    tags = {call.message.key or "": call.message.value or ""}
    tracking_of(call).tag_experiment(call.actor, _id(call), tags)
    return {}


def delete_tag(call: MlflowCall[ExperimentTag]) -> dict[str, Any]:
    """Take one tag away."""
    tracking_of(call).delete_experiment_tag(call.actor, _id(call), call.message.key or "")
    return {}


def _asked(call: MlflowCall[OneExperiment]) -> Experiment:
    return tracking_of(call).experiment(call.workspace, _id(call))


def _id(call: MlflowCall[Any]) -> str:
    return experiment_number(call.message.experiment_id or "")


def _taken(name: str) -> MlflowError:
    hint = "Use it, or restore it if it was deleted."
    return MlflowError(EXISTS, f"Experiment(name={name}) already exists. {hint}")


_WRITE, _READ = Permission.TRACKING_WRITE, Permission.READ
_AT = "/mlflow/experiments"

ROUTES = (
    MlflowRoute("POST", f"{_AT}/create", CreateExperiment, _WRITE, create),
    MlflowRoute("GET", f"{_AT}/get", OneExperiment, _READ, get),
    MlflowRoute("GET", f"{_AT}/get-by-name", ExperimentByName, _READ, get_by_name),
    MlflowRoute("GET", f"{_AT}/search", SearchExperiments, _READ, search),
    MlflowRoute("POST", f"{_AT}/search", SearchExperiments, _READ, search),
    MlflowRoute("POST", f"{_AT}/delete", OneExperiment, _WRITE, delete),
    MlflowRoute("POST", f"{_AT}/restore", OneExperiment, _WRITE, restore),
    MlflowRoute("POST", f"{_AT}/update", UpdateExperiment, _WRITE, update),
    MlflowRoute("POST", f"{_AT}/set-experiment-tag", ExperimentTag, _WRITE, set_tag),
    MlflowRoute("POST", f"{_AT}/delete-experiment-tag", ExperimentTag, _WRITE, delete_tag),
)
