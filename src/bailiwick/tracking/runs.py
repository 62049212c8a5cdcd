"""Rows of runs: made, read a page at a time with everything that belongs to them, locked before they are changed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, bindparam, insert, or_, select, update

from bailiwick.core.errors import InvalidInput
from bailiwick.core.ids import new_id
from bailiwick.store.prepared import Prepared, among
from bailiwick.store.records import Change
from bailiwick.tracking.batches import IDS_PER_QUERY, Batch, write_batches
from bailiwick.tracking.errors import RunDeleted, RunNotFound
from bailiwick.tracking.locations import experiment_location, run_location
from bailiwick.tracking.model import (
    PARENT_TAG,
    RUN_NAME_TAG,
    Experiment,
    Lifecycle,
    MetricPoint,
    Run,
    RunInfo,
    RunInput,
    RunStatus,
)
from bailiwick.tracking.tables import (
    experiments,
    insert_into,
    run_inputs,
    run_latest_metrics,
    run_params,
    run_tags,
    runs,
)

_RUN = (
    *("id", "workspace", "experiment_id", "name", "status", "lifecycle", "started", "parent", "key"),
    *("user_name", "artifact_uri", "created_by"),
)
_INSERT = Prepared(insert(runs), _RUN)
_one_run = select(runs).where(runs.c.workspace == bindparam("workspace"), runs.c.id == bindparam("run"))
ONE_RUN = Prepared(_one_run)
"""The row of a run; takes `workspace` and `run`."""
_LOCKED_RUN = Prepared(_one_run.with_for_update(key_share=True))
_point = run_latest_metrics.c


def _of_runs(query: Select[Any], run_id: ColumnElement[Any]) -> Prepared:
    """What a query finds for the runs `ids`."""
    return Prepared(lambda dialect: query.where(among(dialect, run_id, "ids")))


_TEXTS = {
    table.name: _of_runs(
        select(table.c.run_id, table.c.key, table.c.value).order_by(table.c.run_id, table.c.key), table.c.run_id
    )
    for table in (run_params, run_tags)
}
_LATEST = _of_runs(
    select(_point.run_id, _point.key, _point.value, _point.is_nan, _point.time, _point.step).order_by(
        _point.run_id, _point.key
    ),
    _point.run_id,
)
_INPUTS = _of_runs(
    select(run_inputs.c.run_id, run_inputs.c.snapshot, run_inputs.c.role).order_by(
        run_inputs.c.role, run_inputs.c.snapshot
    ),
    run_inputs.c.run_id,
)
_RUNS = _of_runs(
    select(runs, experiments.c.name.label("experiment"), experiments.c.artifact_location).join(
        experiments, and_(experiments.c.workspace == runs.c.workspace, experiments.c.id == runs.c.experiment_id)
    ),
    runs.c.id,
)


def insert_run(
    change: Change,
    experiment: Experiment,
    *,
    tags: Mapping[str, str],
    inputs: Sequence[RunInput],
    user: str,
    started: int | None,
    key: str,
) -> Run:
    """Make and journal a RUNNING run; its name and parent are those of its tags."""
    run_id = new_id()
    artifact_uri = run_location(experiment.artifact_location, run_id)
    values = {
        "id": run_id,
        "workspace": change.workspace,
        "experiment_id": experiment.id,
        "name": tags[RUN_NAME_TAG],
        "status": RunStatus.RUNNING.value,
        "lifecycle": Lifecycle.ACTIVE.value,
        "started": change.time if started is None else started,
        "parent": tags.get(PARENT_TAG),
        "key": key or None,
        "user_name": user,
        "artifact_uri": artifact_uri,
        "created_by": change.actor.identity,
    }
    _INSERT.run(change.connection, values)
    write_batches(change.connection, [Batch(change.workspace, run_id, tags=tags)], {run_id: experiment.id})
    write_inputs(change.connection, change.workspace, run_id, inputs)
    detail = {"experiment": experiment.name, "name": tags[RUN_NAME_TAG], "inputs": snapshots_of(inputs)}
    change.record("run.started", f"run/{run_id}", **detail)
    return Run(
        id=run_id,
        workspace=change.workspace,
        experiment=experiment.name,
        experiment_id=experiment.id,
        name=tags[RUN_NAME_TAG],
        status=RunStatus.RUNNING,
        lifecycle=Lifecycle.ACTIVE,
        started=change.time if started is None else started,
        ended=None,
        parent=tags.get(PARENT_TAG),
        params={},
        tags=dict(sorted(tags.items())),
        metrics={},
        latest=(),
        inputs=tuple(sorted(set(inputs), key=lambda read: (read.role, read.snapshot))),
        user=user,
        artifact_uri=artifact_uri,
        created_by=change.actor.identity,
    )


_REVISE = Prepared(
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values({name: bindparam(f"new_{name}") for name in ("name", "status", "ended")})
)


def revise_row(change: Change, row: Any, values: Mapping[str, Any]) -> None:
    """Change name, status or end of a locked run."""
    kept = {"new_name": row.name, "new_status": row.status, "new_ended": row.ended, "run": row.id}
    _REVISE.run(change.connection, {**kept, **{f"new_{name}": value for name, value in values.items()}})


def load_runs(connection: Connection, workspace: str, ids: Sequence[str], *, root: str) -> list[Run]:
    """The runs with these ids, in the order of `ids`; unknown ids are left out. Five queries per 500 runs.

    `root` is where artifacts are kept of experiments that name no place, as those of old databases.
    """
    found: dict[str, Run] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        chunk = ids[start : start + IDS_PER_QUERY]
        found.update(_load_chunk(connection, workspace, chunk, root))
    return [found[run_id] for run_id in ids if run_id in found]


def _load_chunk(connection: Connection, workspace: str, ids: Sequence[str], root: str) -> dict[str, Run]:
    wanted = {"ids": list(ids)}
    params = _texts(connection, run_params, wanted)
    tags = _texts(connection, run_tags, wanted)
    latest: dict[str, list[MetricPoint]] = defaultdict(list)
    for run_id, key, value, is_nan, time, step in _LATEST.rows(connection, wanted):
        latest[run_id].append(MetricPoint(key, math.nan if is_nan else value, time, step))
    inputs: dict[str, list[RunInput]] = defaultdict(list)
    for run_id, snapshot, role in _INPUTS.rows(connection, wanted):
        inputs[run_id].append(RunInput(snapshot, role))
    # The workspace is looked at here: as a condition, it tempts SQLite to read all runs of the workspace.
    return {
        row.id: _run_of(row, params[row.id], tags[row.id], latest[row.id], inputs[row.id], root)
        for row in _RUNS.named(connection, wanted)
        if row.workspace == workspace
    }


def _run_of(
    row: Any,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    latest: Sequence[MetricPoint],
    inputs: Sequence[RunInput],
    root: str,
) -> Run:
    location = row.artifact_location or experiment_location(root, row.workspace, row.experiment_id)
    return Run(
        id=row.id,
        workspace=row.workspace,
        experiment=row.experiment,
        experiment_id=row.experiment_id,
        name=row.name,
        status=row.status,
        lifecycle=row.lifecycle,
        started=row.started,
        ended=row.ended,
        parent=row.parent,
        params=params,
        tags=tags,
        metrics={point.key: point.value for point in latest},
        latest=tuple(latest),
        inputs=tuple(inputs),
        user=row.user_name,
        artifact_uri=row.artifact_uri or run_location(location, row.id),
        created_by=row.created_by,
    )


def info_of(row: Any, root: str, **changed: Any) -> RunInfo:
    """A row of the table of runs, with some values changed since it was read."""
    default = run_location(experiment_location(root, row.workspace, row.experiment_id), row.id)
    facts = {
        "id": row.id,
        "workspace": row.workspace,
        "experiment_id": row.experiment_id,
        "name": row.name,
        "status": row.status,
        "lifecycle": row.lifecycle,
        "started": row.started,
        "ended": row.ended,
        "user": row.user_name,
        "artifact_uri": row.artifact_uri or default,
    }
    return RunInfo(**{**facts, **changed})


def _texts(connection: Connection, table: Table, wanted: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, key, value in _TEXTS[table.name].rows(connection, wanted):
        texts[run_id][key] = value
    return texts


def page_of_ids(
    connection: Connection, workspace: str, *, experiment_id: str | None, lifecycle: str, limit: int, after: str
) -> list[str]:
    """Ids of one page, newest first, after the run `after`: a range of one index, as fast on the last page as on the first.

    Raises InvalidInput when `after` is not a run of this workspace.
    """
    query = page_query(workspace, experiment_id=experiment_id, lifecycle=lifecycle).limit(limit)
    if after:
        here = select(runs.c.started).where(runs.c.workspace == workspace, runs.c.id == after)
        last = connection.scalar(here)
        if last is None:
            raise InvalidInput(f"The page token {after!r} is not a run of this workspace; start from the first page.")
        query = query.where(runs.c.started <= last, or_(runs.c.started < last, runs.c.id > after))
    return list(connection.scalars(query))


def page_query(workspace: str, *, experiment_id: str | None, lifecycle: str) -> Select[tuple[str]]:
    """Run ids in listing order: `started` descending, then id."""
    query = select(runs.c.id).where(runs.c.workspace == workspace, runs.c.lifecycle == lifecycle)
    if experiment_id is not None:
        query = query.where(runs.c.experiment_id == experiment_id)
    return query.order_by(runs.c.started.desc(), runs.c.id)


def lock_run(change: Change, run_id: str, *, deleted: bool = False) -> Any:
    """The run's row, held until the transaction ends, so that writers of one run take turns. Raises RunNotFound, RunDeleted."""
    wanted = {"workspace": change.workspace, "run": run_id}
    return checked_row(_LOCKED_RUN.first(change.connection, wanted), run_id, deleted=deleted)


def checked_row(row: Any | None, run_id: str, *, deleted: bool = False) -> Any:
    """A row that was found, of a run that is not deleted unless `deleted` allows it."""
    if row is None:
        raise RunNotFound(run_id)
    if row.lifecycle == Lifecycle.DELETED and not deleted:
        raise RunDeleted(run_id)
    return row


def write_inputs(connection: Connection, workspace: str, run_id: str, inputs: Sequence[RunInput]) -> None:
    """Add inputs; the same snapshot in the same role twice is one."""
    if not inputs:
        return
    rows = [{"workspace": workspace, "run_id": run_id, "snapshot": read.snapshot, "role": read.role} for read in inputs]
    connection.execute(insert_into(connection, run_inputs).on_conflict_do_nothing(), rows)


def snapshots_of(inputs: Sequence[RunInput]) -> list[str]:
    """Ids of the snapshots read, few enough for a journal entry."""
    return sorted({read.snapshot for read in inputs})[:100]
