"""Rows of experiments: made once per name, read with their tags, hidden and shown together with their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.errors import AlreadyExists
from bailiwick.core.ids import new_id
from bailiwick.security.workspaces import artifact_root_of
from bailiwick.store.prepared import Prepared
from bailiwick.store.records import Change
from bailiwick.tracking.batches import IDS_PER_QUERY
from bailiwick.tracking.errors import ExperimentDeleted, ExperimentNotFound
from bailiwick.tracking.locations import beneath, checked_location, experiment_location
from bailiwick.tracking.model import (
    DEFAULT_EXPERIMENT,
    DEFAULT_EXPERIMENT_ID,
    MAX_EXPERIMENT_TAG_LENGTH,
    Experiment,
    Lifecycle,
    check_experiment_name,
    check_texts,
)
from bailiwick.tracking.tables import experiment_tags, experiments, insert_into, runs


def load_experiments(
    connection: Connection, workspace: str, *conditions: ColumnElement[bool], root: str
) -> list[Experiment]:
    """Experiments that meet the conditions, newest first, each with its tags: two queries per 500."""
    query = (
        select(experiments)
        .where(experiments.c.workspace == workspace, *conditions)
        .order_by(experiments.c.created.desc(), experiments.c.number)
    )
    return with_tags(connection, workspace, connection.execute(query).all(), root=root)


def with_tags(
    connection: Connection, workspace: str, rows: Sequence[Row[*tuple[Any, ...]]], *, root: str
) -> list[Experiment]:
    """The experiments of these rows, in their order."""
    tags: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    ids = list(tags)
    columns = experiment_tags.c
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = columns.experiment_id.in_(ids[start : start + IDS_PER_QUERY])
        query = select(columns.experiment_id, columns.key, columns.value).where(columns.workspace == workspace, some)
        for experiment_id, key, value in connection.execute(query.order_by(columns.experiment_id, columns.key)):
            tags[experiment_id][key] = value
    return [experiment_of(row, tags[row.id], root=root) for row in rows]


def experiment_of(row: Row[*tuple[Any, ...]], tags: Mapping[str, str], *, root: str) -> Experiment:
    """The experiment of a row. Old databases have experiments that name no place for artifacts: those are at `root`."""
    return Experiment(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        lifecycle=row.lifecycle,
        artifact_location=row.artifact_location or experiment_location(root, row.workspace, row.id),
        tags=tags,
        created=row.created,
        updated=row.updated,
        created_by=row.created_by,
    )


def insert_experiment(
    change: Change, name: str, *, tags: Mapping[str, str] | None = None, artifact_location: str = "", root: str
) -> Experiment:
    """Make and journal an experiment. Raises AlreadyExists, also for the name of a deleted one."""
    check_experiment_name(name)
    location = checked_location(artifact_location)
    checked = check_texts("experiment tag", tags or {}, MAX_EXPERIMENT_TAG_LENGTH)
    values = {
        "workspace": change.workspace,
        "id": new_id(),  # until the database has given the number
        "name": name,
        "lifecycle": Lifecycle.ACTIVE.value,
        "artifact_location": location,
        "created": change.time,
        "updated": change.time,
        "created_by": change.actor.identity,
    }
    made = insert_into(change.connection, experiments).values(values).on_conflict_do_nothing()
    number = change.execute(made.returning(experiments.c.number)).scalar_one_or_none()
    if number is None:
        raise taken(name)
    experiment_id = DEFAULT_EXPERIMENT_ID if name == DEFAULT_EXPERIMENT else str(number)
    location = location or _place(change, experiment_id, root)
    here = experiments.c.number == number
    change.execute(update(experiments).where(here).values(id=experiment_id, artifact_location=location))
    if checked:
        rows = [
            {"workspace": change.workspace, "experiment_id": experiment_id, "key": key, "value": value}
            for key, value in checked.items()
        ]
        change.execute(insert(experiment_tags), rows)
    change.record("experiment.created", f"experiment/{name}", id=experiment_id)
    row = change.execute(select(experiments).where(here)).one()
    return experiment_of(row, checked, root=root)


def _place(change: Change, experiment_id: str, root: str) -> str:
    """Where an experiment keeps artifacts that was given no place: below its workspace's own root, if that has one.

    As on MLflow's server, there is no `workspaces/NAME` in between then, and experiments that exist already stay.
    """
    own = artifact_root_of(change.connection, change.workspace)
    if own:
        return checked_location(beneath(checked_location(own), experiment_id))
    return experiment_location(root, change.workspace, experiment_id)


def taken(name: str) -> AlreadyExists:
    """The refusal of a name that another experiment has."""
    return AlreadyExists(f"Experiment {name!r} exists already.", hint="Use it, or restore it if it was deleted.")


def experiment_for(change: Change, name: str, *, root: str) -> Experiment:
    """The active experiment of that name, made if there is none. Raises ExperimentDeleted for a deleted one."""
    row = _held(change, _BY_NAME, name)
    if row is None:
        try:
            return insert_experiment(change, name, root=root)
        except AlreadyExists:  # another transaction made it between the look and the insert
            row = _held(change, _BY_NAME, name)
    assert row is not None
    return experiment_of(active(row), {}, root=root)


def experiment_with(change: Change, experiment_id: str, *, root: str) -> Experiment:
    """The active experiment with that id, without its tags, held so that it cannot be deleted meanwhile."""
    row = _held(change, _BY_ID, experiment_id)
    if row is None:
        raise ExperimentNotFound(experiment_id)
    return experiment_of(active(row), {}, root=root)


_HELD = select(experiments).where(experiments.c.workspace == bindparam("workspace"))
_BY_ID, _BY_NAME = (
    Prepared(_HELD.where(column == bindparam("named")).with_for_update(read=True, key_share=True))
    for column in (experiments.c.id, experiments.c.name)
)


def _held(change: Change, statement: Prepared, named: str) -> Any | None:
    return statement.first(change.connection, {"workspace": change.workspace, "named": named})


def lock_experiment(change: Change, experiment_id: str) -> Row[*tuple[Any, ...]]:
    """The row, deleted or not, held until the transaction ends. Raises ExperimentNotFound."""
    query = select(experiments).where(experiments.c.workspace == change.workspace, experiments.c.id == experiment_id)
    row: Row[*tuple[Any, ...]] | None = change.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise ExperimentNotFound(experiment_id)
    return row


def active(row: Row[*tuple[Any, ...]]) -> Row[*tuple[Any, ...]]:
    """The row, unless it is of a deleted experiment: then raises ExperimentDeleted."""
    if row.lifecycle != Lifecycle.ACTIVE:
        raise ExperimentDeleted(row.id, row.name)
    return row


def move_lifecycle(change: Change, row: Row[*tuple[Any, ...]], lifecycle: Lifecycle) -> None:
    """Hide an experiment with its active runs, or show it with the runs that were hidden together with it."""
    here = (experiments.c.workspace == change.workspace, experiments.c.id == row.id)
    deleted = change.time if lifecycle is Lifecycle.DELETED else None
    values = {"lifecycle": lifecycle.value, "deleted": deleted}
    change.execute(update(experiments).where(*here).values(**values, updated=change.time))
    of_runs = (runs.c.workspace == change.workspace, runs.c.experiment_id == row.id)
    moved = runs.c.lifecycle == Lifecycle.ACTIVE if deleted is not None else runs.c.deleted == row.deleted
    change.execute(update(runs).where(*of_runs, moved).values(values))
    verb = "deleted" if deleted is not None else "restored"
    change.record(f"experiment.{verb}", f"experiment/{row.name}", id=row.id)


def rename(change: Change, row: Row[*tuple[Any, ...]], name: str) -> None:
    """Give an active experiment another name. Raises AlreadyExists, ExperimentDeleted."""
    here = experiments.c.number == active(row).number
    try:
        with change.connection.begin_nested():
            change.execute(update(experiments).where(here).values(name=name, updated=change.time))
    except IntegrityError:
        raise taken(name) from None
    change.record("experiment.renamed", f"experiment/{name}", id=row.id, before=row.name)


def set_tags(change: Change, row: Row[*tuple[Any, ...]], tags: Mapping[str, str]) -> None:
    """Set tags of an active experiment, replacing the values of those it has."""
    write_tags(change, active(row).id, tags)
    change.record("experiment.tagged", f"experiment/{row.name}", id=row.id, keys=sorted(tags)[:100])


def write_tags(change: Change, experiment_id: str, tags: Mapping[str, str]) -> None:
    """Rows of tags, in place of those with the same keys."""
    statement = insert_into(change.connection, experiment_tags)
    columns = experiment_tags.c
    upsert = statement.on_conflict_do_update(
        index_elements=[columns.workspace, columns.experiment_id, columns.key],
        set_={"value": statement.excluded.value},
    )
    found = {"workspace": change.workspace, "experiment_id": experiment_id}
    change.execute(upsert, [{**found, "key": key, "value": value} for key, value in tags.items()])
