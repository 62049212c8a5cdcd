"""Rows of experiments: made once per name, read with their tags."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.errors import AlreadyExists, Conflict
from bailiwick.core.ids import new_id
from bailiwick.store.records import Change
from bailiwick.tracking.model import (
    DEFAULT_EXPERIMENT,
    DEFAULT_EXPERIMENT_ID,
    MAX_LOCATION_LENGTH,
    MAX_TAG_LENGTH,
    Experiment,
    Lifecycle,
    check_experiment_name,
    check_text,
    check_texts,
)
from bailiwick.tracking.tables import experiment_tags, experiments


def load_experiments(connection: Connection, workspace: str, *conditions: ColumnElement[bool]) -> list[Experiment]:
    """Experiments that meet the conditions, newest first, each with its tags: two queries however many there are."""
    query = (
        select(experiments)
        .where(experiments.c.workspace == workspace, *conditions)
        .order_by(experiments.c.created.desc(), experiments.c.number)
    )
    rows = connection.execute(query).all()
    tags: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    wanted = select(experiments.c.id).where(experiments.c.workspace == workspace, *conditions)
    tag_query = select(experiment_tags).where(
        experiment_tags.c.workspace == workspace, experiment_tags.c.experiment_id.in_(wanted)
    )
    for row in connection.execute(tag_query):
        tags[row.experiment_id][row.key] = row.value
    return [
        Experiment(
            id=row.id,
            workspace=row.workspace,
            name=row.name,
            lifecycle=row.lifecycle,
            artifact_location=row.artifact_location,
            tags=tags[row.id],
            created=row.created,
            updated=row.updated,
            created_by=row.created_by,
        )
        for row in rows
    ]


def insert_experiment(
    change: Change, name: str, *, tags: Mapping[str, str] | None = None, artifact_location: str = ""
) -> Experiment:
    """Make and journal an experiment. Raises AlreadyExists, also for the name of a deleted one."""
    check_experiment_name(name)
    check_text("An artifact location", artifact_location, MAX_LOCATION_LENGTH)
    checked = check_texts("experiment tag", tags or {}, MAX_TAG_LENGTH)
    try:
        with change.connection.begin_nested():
            experiment_id = _insert_row(change, name, artifact_location)
    except IntegrityError:
        raise AlreadyExists(
            f"Experiment {name!r} exists already.", hint="Use it, or restore it if it was deleted."
        ) from None
    if checked:
        rows = [
            {"workspace": change.workspace, "experiment_id": experiment_id, "key": key, "value": value}
            for key, value in checked.items()
        ]
        change.execute(insert(experiment_tags), rows)
    change.record("experiment.created", f"experiment/{name}", id=experiment_id)
    return load_experiments(change.connection, change.workspace, experiments.c.id == experiment_id)[0]


def experiment_for(change: Change, name: str) -> Experiment:
    """The active experiment of that name, made if there is none. Raises Conflict for a deleted one."""
    found = load_experiments(change.connection, change.workspace, experiments.c.name == name)
    if not found:
        try:
            return insert_experiment(change, name)
        except AlreadyExists:  # another transaction made it between the look and the insert
            found = load_experiments(change.connection, change.workspace, experiments.c.name == name)
    if found[0].lifecycle != Lifecycle.ACTIVE:
        raise Conflict(f"Experiment {name!r} is deleted.", hint="Restore it, or choose another name.")
    return found[0]


def _insert_row(change: Change, name: str, artifact_location: str) -> str:
    values = {
        "workspace": change.workspace,
        "id": new_id(),  # until the database has given the number
        "name": name,
        "lifecycle": Lifecycle.ACTIVE,
        "artifact_location": artifact_location,
        "created": change.time,
        "updated": change.time,
        "created_by": change.actor.identity,
    }
    number = change.execute(insert(experiments).values(values).returning(experiments.c.number)).scalar_one()
    experiment_id = DEFAULT_EXPERIMENT_ID if name == DEFAULT_EXPERIMENT else str(number)
    change.execute(update(experiments).where(experiments.c.number == number).values(id=experiment_id))
    return experiment_id
