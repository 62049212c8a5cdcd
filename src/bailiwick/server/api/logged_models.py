"""Logged models: models that runs saved, before any of them is registered."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.core.filters import parse_filter
from bailiwick.registry.model import ModelVersion
from bailiwick.server.api.experiments import Filter, Limit, TagKey, Tags
from bailiwick.server.api.route import Call, Nothing
from bailiwick.tracking.lineage.model import Direction
from bailiwick.tracking.logged_models.model import LoggedModel
from bailiwick.tracking.logged_models.search import ATTRIBUTE, ENTITIES


class ModelsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A filter in MLflow's grammar; `after` is the `next` of the page before."""

    filter: Filter = ""
    limit: Limit = 100
    after: str = ""


class FoundModels(Struct, frozen=True):
    """Logged models, newest first; `next` is the `after` of the next page, or null at the end."""

    items: list[LoggedModel]
    next: str | None


class Origins(Struct, frozen=True):
    """What a logged model has to do with: ids of runs it came out of and of runs it went into, versions it became."""

    made_by: list[str]
    read_by: list[str]
    versions: list[ModelVersion]


class Finish(Struct, frozen=True, forbid_unknown_fields=True):
    """READY or FAILED."""

    status: Annotated[str, Meta(max_length=20)]


def models_of_experiment(call: Call[ModelsQuery, Nothing]) -> FoundModels:
    """Logged models of one experiment that meet a filter."""
    found = call.platform.tracking.experiment(call.workspace, call.path["experiment"])
    page = call.platform.logged_models.search(
        call.workspace,
        [found.id],
        clauses=parse_filter(call.query.filter, entities=ENTITIES, default=ATTRIBUTE),
        limit=call.query.limit,
        token=call.query.after,
    )
    return FoundModels(list(page.models), page.token or None)


def logged_model(call: Call[Nothing, Nothing]) -> LoggedModel:
    """One logged model, deleted or not."""
    return call.platform.logged_models.model(call.workspace, call.path["logged_model"], deleted=True)


def logged_model_origins(call: Call[Nothing, Nothing]) -> Origins:
    """The runs and versions that have to do with it."""
    found = logged_model(call)
    runs = call.platform.run_lineage.runs_of_model(call.workspace, found.id)
    made = dict.fromkeys([*filter(None, [found.source_run]), *runs[Direction.OUTPUT]])
    versions = call.platform.registry.versions_of_source(call.workspace, model_id=found.id)
    return Origins(list(made), runs[Direction.INPUT], versions)


def finish_logged_model(call: Call[Nothing, Finish]) -> LoggedModel:
    """Say that its files are all there, or will never be."""
    return call.platform.logged_models.finalize(call.actor, call.path["logged_model"], call.body.status)


def tag_logged_model(call: Call[Nothing, Tags]) -> LoggedModel:
    """Set tags."""
    call.platform.logged_models.set_tags(call.actor, call.path["logged_model"], call.body.tags)
    return call.platform.logged_models.model(call.workspace, call.path["logged_model"])


def untag_logged_model(call: Call[TagKey, Nothing]) -> LoggedModel:
    """Remove a tag."""
    call.platform.logged_models.delete_tag(call.actor, call.path["logged_model"], call.query.key)
    return call.platform.logged_models.model(call.workspace, call.path["logged_model"])


def delete_logged_model(call: Call[Nothing, Nothing]) -> LoggedModel:
    """Hide it; its files and the versions made of it stay."""
    call.platform.logged_models.delete(call.actor, call.path["logged_model"])
    return logged_model(call)
