"""Rows of runs: read a page at a time with everything that belongs to them, locked before they are written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, or_, select

from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.store.records import Change
from bailiwick.tracking.metrics import insert_into, point_of
from bailiwick.tracking.model import Lifecycle, MetricPoint, Run, RunInput
from bailiwick.tracking.tables import experiments, run_inputs, run_latest_metrics, run_params, run_tags, runs

IDS_PER_QUERY = 500


def load_runs(connection: Connection, workspace: str, ids: Sequence[str]) -> list[Run]:
    """The runs with these ids, in the order of `ids`; unknown ids are left out. Five queries per 500 runs."""
    found: dict[str, Run] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        chunk = ids[start : start + IDS_PER_QUERY]
        found.update(_load_chunk(connection, workspace, chunk))
    return [found[run_id] for run_id in ids if run_id in found]


def _load_chunk(connection: Connection, workspace: str, ids: Sequence[str]) -> dict[str, Run]:
    params = _texts(connection, run_params, ids)
    tags = _texts(connection, run_tags, ids)
    latest: dict[str, list[MetricPoint]] = defaultdict(list)
    points = select(run_latest_metrics).where(run_latest_metrics.c.run_id.in_(ids))
    for row in connection.execute(points.order_by(run_latest_metrics.c.run_id, run_latest_metrics.c.key)):
        latest[row.run_id].append(point_of(row))
    inputs: dict[str, list[RunInput]] = defaultdict(list)
    read = select(run_inputs).where(run_inputs.c.run_id.in_(ids))
    for row in connection.execute(read.order_by(run_inputs.c.role, run_inputs.c.snapshot)):
        inputs[row.run_id].append(RunInput(row.snapshot, row.role))
    same_experiment = and_(experiments.c.workspace == runs.c.workspace, experiments.c.id == runs.c.experiment_id)
    query = (
        select(runs, experiments.c.name.label("experiment"))
        .join(experiments, same_experiment)
        .where(runs.c.workspace == workspace, runs.c.id.in_(ids))
    )
    return {
        row.id: _run_of(row, params[row.id], tags[row.id], latest[row.id], inputs[row.id])
        for row in connection.execute(query)
    }


def _run_of(
    row: Row[*tuple[Any, ...]],
    params: Mapping[str, str],
    tags: Mapping[str, str],
    latest: Sequence[MetricPoint],
    inputs: Sequence[RunInput],
) -> Run:
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
        created_by=row.created_by,
    )


def _texts(connection: Connection, table: Table, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    query = select(table).where(table.c.run_id.in_(ids)).order_by(table.c.run_id, table.c.key)
    for row in connection.execute(query):
        texts[row.run_id][row.key] = row.value
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


def lock_run(change: Change, run_id: str, *, deleted: bool = False) -> Row[*tuple[Any, ...]]:
    """The run's row, held until the transaction ends, so that writers of one run take turns. Raises NotFound, Conflict."""
    query = select(runs).where(runs.c.workspace == change.workspace, runs.c.id == run_id)
    row: Row[*tuple[Any, ...]] | None = change.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise NotFound.of("Run", run_id)
    if row.lifecycle == Lifecycle.DELETED and not deleted:
        raise Conflict(f"Run {run_id} is deleted.", hint="Restore it before writing to it.")
    return row


def write_params(connection: Connection, workspace: str, run_id: str, params: Mapping[str, str]) -> None:
    """Add params; writing the same value again changes nothing. Raises Conflict for another value: params are written once."""
    if not params:
        return
    known = select(run_params.c.key, run_params.c.value).where(run_params.c.run_id == run_id)
    if len(params) <= IDS_PER_QUERY:
        known = known.where(run_params.c.key.in_(list(params)))
    before = {row.key: row.value for row in connection.execute(known)}
    changed = [key for key, value in params.items() if before.get(key, value) != value]
    if changed:
        key = changed[0]
        raise Conflict(
            f"Param {key!r} of run {run_id} is {before[key]!r} and cannot become {params[key]!r}.",
            hint="Params are written once; log a changing value as a metric or a tag, or start another run.",
        )
    fresh = [key for key in params if key not in before]
    if fresh:
        rows = [{"workspace": workspace, "run_id": run_id, "key": key, "value": params[key]} for key in fresh]
        connection.execute(insert_into(connection, run_params), rows)


def write_tags(connection: Connection, workspace: str, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, replacing the values of those that exist."""
    if not tags:
        return
    statement = insert_into(connection, run_tags)
    upsert = statement.on_conflict_do_update(
        index_elements=[run_tags.c.run_id, run_tags.c.key], set_={"value": statement.excluded.value}
    )
    rows = [{"workspace": workspace, "run_id": run_id, "key": key, "value": value} for key, value in tags.items()]
    connection.execute(upsert, rows)


def write_inputs(connection: Connection, workspace: str, run_id: str, inputs: Sequence[RunInput]) -> None:
    """Add inputs; the same snapshot in the same role twice is one."""
    if not inputs:
        return
    rows = [{"workspace": workspace, "run_id": run_id, "snapshot": read.snapshot, "role": read.role} for read in inputs]
    connection.execute(insert_into(connection, run_inputs).on_conflict_do_nothing(), rows)
