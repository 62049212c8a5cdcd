"""Rows of what arrives: written so that writing them again changes nothing, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from bailiwick.core.errors import Conflict
from bailiwick.store.records import Change
from bailiwick.tracking.batches import IDS_PER_QUERY, Batch, write_batches
from bailiwick.tracking.imports.model import ArrivedModel, ArrivedRun, Kind, Mark, Tally
from bailiwick.tracking.imports.tables import imports
from bailiwick.tracking.lineage.model import Direction, ModelOutput
from bailiwick.tracking.lineage.rows import write_dataset_edges, write_datasets, write_model_edges
from bailiwick.tracking.lineage.tables import run_datasets
from bailiwick.tracking.locations import beneath, run_location
from bailiwick.tracking.logged_models.tables import logged_models
from bailiwick.tracking.model import PARENT_TAG, Experiment, Lifecycle
from bailiwick.tracking.tables import experiments, insert_into, run_metrics, run_params, run_tags, runs

COLUMNS = [imports.c[name] for name in Mark.__slots__]


def load_marks(
    connection: Connection, workspace: str, source: str, kind: Kind, ids: Sequence[str] | None = None
) -> dict[str, Mark]:
    """Marks by the id at the source: those of `ids`, or all."""
    here = (imports.c.workspace == workspace, imports.c.source == source, imports.c.kind == kind)
    query = select(*COLUMNS).where(*here)
    if ids is None:
        return {row.id: _mark(row) for row in connection.execute(query.order_by(imports.c.id))}
    found: dict[str, Mark] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = query.where(imports.c.id.in_(ids[start : start + IDS_PER_QUERY]))
        found |= {row.id: _mark(row) for row in connection.execute(some)}
    return found


def write_marks(change: Change, source: str, kind: Kind, marks: Iterable[Mark], *, replace: bool = True) -> None:
    """Set marks; without `replace` those that are there stay as they are."""
    here = {"workspace": change.workspace, "source": source, "kind": kind, "time": change.time}
    rows = [{**here, **asdict(mark)} for mark in marks]
    if not rows:
        return
    statement = insert_into(change.connection, imports)
    if not replace:
        change.execute(statement.on_conflict_do_nothing(), rows)
        return
    new = {column.name: statement.excluded[column.name] for column in imports.c if not column.primary_key}
    change.execute(statement.on_conflict_do_update(index_elements=list(imports.primary_key), set_=new), rows)


def write_runs(change: Change, experiment: Experiment, deleted: int | None, arrived: Sequence[ArrivedRun]) -> None:
    """Insert runs, or bring those that are here up to date; params and inputs are only added.

    `deleted` is when the experiment was deleted: its runs were hidden with it, and are shown with it again.
    """
    rows = [_run_row(change, experiment, deleted, run) for run in arrived]
    statement = insert_into(change.connection, runs)
    kept = {"id", "workspace", "experiment_id", "key", "created_by", "artifact_uri"}
    new = {column.name: statement.excluded[column.name] for column in runs.c if column.name not in kept}
    change.execute(statement.on_conflict_do_update(index_elements=[runs.c.id], set_=new), rows)
    batches = [Batch(change.workspace, run.id, params=run.params, tags=run.tags) for run in arrived]
    write_batches(change.connection, batches, {run.id: experiment.id for run in arrived})
    for run in arrived:
        inputs = list(run.datasets)
        ids = write_datasets(change, experiment.id, inputs, {})
        write_dataset_edges(change, run.id, ids, inputs)
        write_model_edges(change, run.id, Direction.INPUT, [ModelOutput(each) for each in run.models_read])
        write_model_edges(change, run.id, Direction.OUTPUT, run.models_made)


def refuse_foreign(change: Change, source: str, experiment_id: str, arrived: Sequence[ArrivedRun]) -> None:
    """Raises Conflict for a run whose id is taken by one that did not arrive from this source, in this experiment."""
    ids = [run.id for run in arrived]
    known = load_marks(change.connection, change.workspace, source, Kind.RUN, ids)
    for start in range(0, len(ids), IDS_PER_QUERY):
        chosen = runs.c.id.in_(ids[start : start + IDS_PER_QUERY])
        for row in change.execute(select(runs.c.id, runs.c.workspace, runs.c.experiment_id).where(chosen)):
            own = row.workspace == change.workspace and row.id in known
            if not own or row.experiment_id != experiment_id:
                raise Conflict(
                    f"The run id {row.id} is taken here by a run that did not arrive in this experiment from {source}.",
                    hint="A server is moved once, under one address and into one workspace.",
                )


def write_model(change: Change, experiment: Experiment, model: ArrivedModel) -> None:
    """Insert a logged model, or bring one that is here up to date."""
    location = model.artifact_uri or beneath(experiment.artifact_location, "models", model.id, "artifacts")
    facts = {"name": model.name, "type": model.type, "source_run": model.source_run, "status": model.status}
    changing = {**facts, "updated": model.updated}
    known = change.execute(select(logged_models.c.workspace).where(logged_models.c.id == model.id)).scalar()
    if known is not None:
        change.execute(update(logged_models).where(logged_models.c.id == model.id).values(changing))
        return
    values = {
        "id": model.id,
        "workspace": change.workspace,
        "experiment_id": experiment.id,
        "lifecycle": Lifecycle.ACTIVE,
        "artifact_location": location,
        "created": model.created,
        "created_by": change.actor.identity,
        **changing,
    }
    change.execute(insert(logged_models).values(values))


def known_runs(connection: Connection, workspace: str, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are runs here."""
    wanted = sorted(set(ids))
    found: set[str] = set()
    for start in range(0, len(wanted), IDS_PER_QUERY):
        some = (runs.c.workspace == workspace, runs.c.id.in_(wanted[start : start + IDS_PER_QUERY]))
        found |= set(connection.scalars(select(runs.c.id).where(*some)))
    return found


def load_locations(connection: Connection, workspace: str, source: str, chosen: Sequence[str]) -> list[str]:
    """Artifact URIs to which files of runs and logged models of these experiments were moved."""
    found: set[str] = set()
    for kind, columns in ((Kind.RUN, runs.c), (Kind.LOGGED_MODEL, logged_models.c)):
        here = (imports.c.workspace == workspace, imports.c.source == source, imports.c.kind == kind)
        query = select(imports.c.location).join(columns.id.table, columns.id == imports.c.local)
        query = query.where(*here, imports.c.files > 0, imports.c.location != "")
        found |= set(connection.scalars(query.where(columns.experiment_id.in_(list(chosen)))))
    return sorted(found)


def count_arrived(connection: Connection, workspace: str, source: str, chosen: Sequence[str] | None) -> Tally:
    """Counts of what arrived, in the experiments `chosen` (ids here), or in all."""

    def arrived(kind: Kind, columns: Any, owner: Any) -> Select[tuple[str]]:
        marked = select(imports.c.local).join(columns.table, columns == imports.c.local)
        query = marked.where(imports.c.workspace == workspace, imports.c.source == source, imports.c.kind == kind)
        query = query.where(columns.table.c.workspace == workspace)
        return query if chosen is None else query.where(owner.in_(list(chosen)))

    def number(query: Select[Any]) -> int:
        return connection.scalar(select(func.count()).select_from(query.subquery())) or 0

    of_runs = arrived(Kind.RUN, runs.c.id, runs.c.experiment_id)
    inner = of_runs.scalar_subquery()
    return Tally(
        experiments=number(arrived(Kind.EXPERIMENT, experiments.c.id, experiments.c.id)),
        runs=number(of_runs),
        params=number(select(run_params.c.key).where(run_params.c.run_id.in_(inner))),
        tags=number(select(run_tags.c.key).where(run_tags.c.run_id.in_(inner))),
        points=number(select(run_metrics.c.key).where(run_metrics.c.run_id.in_(inner))),
        datasets=number(select(run_datasets.c.dataset_id).where(run_datasets.c.run_id.in_(inner))),
        logged_models=number(arrived(Kind.LOGGED_MODEL, logged_models.c.id, logged_models.c.experiment_id)),
    )


def _run_row(change: Change, experiment: Experiment, deleted: int | None, run: ArrivedRun) -> dict[str, object]:
    hidden = run.lifecycle == Lifecycle.DELETED
    return {
        "id": run.id,
        "workspace": change.workspace,
        "experiment_id": experiment.id,
        "name": run.name,
        "status": run.status,
        "lifecycle": run.lifecycle,
        "started": run.started,
        "ended": run.ended,
        "deleted": (change.time if deleted is None else deleted) if hidden else None,
        "parent": run.tags.get(PARENT_TAG),
        "key": None,
        "user_name": run.user,
        "artifact_uri": run.artifact_uri or run_location(experiment.artifact_location, run.id),
        "created_by": change.actor.identity,
    }


def _mark(row: Row[*tuple[Any, ...]]) -> Mark:
    return Mark(**row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
