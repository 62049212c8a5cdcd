"""Experiments, with how much is in each, and their runs and logged models."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from bailiwick.core.filters import parse_filter, parse_ordering
from bailiwick.server.api.route import Call, Nothing
from bailiwick.tracking.conditions import ENTITIES as RUN_ENTITIES
from bailiwick.tracking.experiment_search import ENTITIES
from bailiwick.tracking.lineage.model import DatasetSummary
from bailiwick.tracking.model import Experiment, Run, View
from bailiwick.tracking.search import RunSearch

Limit = Annotated[int, Meta(ge=1, le=1000)]
Filter = Annotated[str, Meta(max_length=32_768)]


class ExperimentsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A filter and an order in MLflow's grammar; `after` is the `next` of the page before."""

    filter: Filter = ""
    order_by: str = ""
    view: View = View.ACTIVE_ONLY
    limit: Limit = 100
    after: str = ""


class ExperimentSummary(Struct, frozen=True):
    """An experiment, how many active runs it has, and when the newest began (UTC milliseconds)."""

    experiment: Experiment
    runs: int
    newest_run: int | None


class Experiments(Struct, frozen=True):
    """Experiments, newest first unless ordered; `next` is the `after` of the next page, or null at the end."""

    items: list[ExperimentSummary]
    next: str | None


class NewExperiment(Struct, frozen=True, forbid_unknown_fields=True):
    """Its name, its tags, and where its artifacts go; where the server keeps them if that is left out."""

    name: Annotated[str, Meta(min_length=1, max_length=500)]
    tags: dict[str, str] = field(default_factory=dict)
    artifact_location: Annotated[str, Meta(max_length=2048)] = ""


class ChangeExperiment(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed."""

    name: Annotated[str, Meta(min_length=1, max_length=500)] | UnsetType = UNSET


class Tags(Struct, frozen=True, forbid_unknown_fields=True):
    """Tags to set; those that are there get the new value."""

    tags: dict[str, str]


class TagKey(Struct, frozen=True, forbid_unknown_fields=True):
    """Which tag."""

    key: Annotated[str, Meta(min_length=1, max_length=250)]


class SearchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A filter and an order in MLflow's grammar, such as `metrics.auc > 0.8` and `params.depth DESC`; several orders are
    separated by commas. `after` is the `next` of the page before.
    """

    filter: Filter = ""
    order_by: str = ""
    view: View = View.ACTIVE_ONLY
    limit: Limit = 100
    after: str = ""


class FoundRuns(Struct, frozen=True):
    """Runs in the order asked for, else the newest first; `next` is the `after` of the next page, or null at the end."""

    items: list[Run]
    next: str | None


class Datasets(Struct, frozen=True):
    """Datasets that runs of an experiment read, once per context; a thousand at most."""

    items: list[DatasetSummary]


def experiments(call: Call[ExperimentsQuery, Nothing]) -> Experiments:
    """Experiments that meet a filter."""
    asked, tracking = call.query, call.platform.tracking
    found = tracking.search_experiments(
        call.workspace,
        parse_filter(asked.filter, entities=ENTITIES, default="attribute"),
        [parse_ordering(each, entities=ENTITIES, default="attribute") for each in orders(asked.order_by)],
        view=asked.view,
        limit=asked.limit,
        token=asked.after,
    )
    activity = tracking.activity(call.workspace, [each.id for each in found.items])
    items = [
        ExperimentSummary(each, lively.runs if lively else 0, lively.newest if lively else None)
        for each in found.items
        for lively in (activity.get(each.id),)
    ]
    return Experiments(items, found.next or None)


def experiment(call: Call[Nothing, Nothing]) -> ExperimentSummary:
    """One experiment, deleted or not."""
    found = call.platform.tracking.experiment(call.workspace, call.path["experiment"])
    lively = call.platform.tracking.activity(call.workspace, [found.id]).get(found.id)
    return ExperimentSummary(found, lively.runs if lively else 0, lively.newest if lively else None)


def create_experiment(call: Call[Nothing, NewExperiment]) -> Experiment:
    """A new experiment."""
    wanted = call.body
    return call.platform.tracking.create_experiment(
        call.actor, wanted.name, tags=wanted.tags, artifact_location=wanted.artifact_location
    )


def change_experiment(call: Call[Nothing, ChangeExperiment]) -> Experiment:
    """Rename it."""
    tracking, experiment_id = call.platform.tracking, call.path["experiment"]
    if isinstance(call.body.name, UnsetType):
        return tracking.experiment(call.workspace, experiment_id)
    return tracking.rename_experiment(call.actor, experiment_id, call.body.name)


def tag_experiment(call: Call[Nothing, Tags]) -> Experiment:
    """Set tags."""
    call.platform.tracking.tag_experiment(call.actor, call.path["experiment"], call.body.tags)
    return call.platform.tracking.experiment(call.workspace, call.path["experiment"])


def untag_experiment(call: Call[TagKey, Nothing]) -> Experiment:
    """Remove a tag."""
    call.platform.tracking.delete_experiment_tag(call.actor, call.path["experiment"], call.query.key)
    return call.platform.tracking.experiment(call.workspace, call.path["experiment"])


def delete_experiment(call: Call[Nothing, Nothing]) -> Experiment:
    """Hide it with its runs; its name stays taken."""
    return call.platform.tracking.delete_experiment(call.actor, call.path["experiment"])


def restore_experiment(call: Call[Nothing, Nothing]) -> Experiment:
    """Show it again, with the runs that were hidden with it."""
    return call.platform.tracking.restore_experiment(call.actor, call.path["experiment"])


def runs_of_experiment(call: Call[SearchQuery, Nothing]) -> FoundRuns:
    """Runs of one experiment that meet a filter."""
    found = call.platform.tracking.experiment(call.workspace, call.path["experiment"])
    return search_runs(call, call.query, (found.id,))


def datasets_of_experiment(call: Call[Nothing, Nothing]) -> Datasets:
    """What data its runs read."""
    found = call.platform.tracking.experiment(call.workspace, call.path["experiment"])
    return Datasets(call.platform.run_lineage.datasets(call.workspace, [found.id]))


def search_runs(call: Call[Any, Nothing], asked: SearchQuery, ids: tuple[str, ...] | None) -> FoundRuns:
    """One page of a search, in the experiments with these ids or in all."""
    search = RunSearch(
        ids,
        parse_filter(asked.filter, entities=RUN_ENTITIES, default="attribute"),
        tuple(parse_ordering(each, entities=RUN_ENTITIES, default="attribute") for each in orders(asked.order_by)),
        asked.view,
    )
    page = call.platform.tracking.search_runs(call.workspace, search, limit=asked.limit, token=asked.after)
    return FoundRuns(list(page.items), page.next or None)


def orders(text: str) -> list[str]:
    """What is separated by commas; keys of runs hold none."""
    return [each.strip() for each in text.split(",") if each.strip()]
