"""What is logged to runs, as SQL: rows of any number of runs at once, in a number of statements that does not grow.

A caller locks the runs, asks which batches are refused, and writes the others, all in one transaction. Statements are
compiled once per database and run with plain tuples: a thousand points cost a few milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from bailiwick.core.errors import BailiwickError
from bailiwick.tracking.errors import ParamChanged, RunDeleted, RunNotFound
from bailiwick.tracking.metrics import latest_of, normal
from bailiwick.tracking.model import PARENT_TAG, RUN_NAME_TAG, Lifecycle, MetricPoint
from bailiwick.tracking.tables import HEAD_LENGTH, run_latest_metrics, run_metrics, run_params, run_tags, runs

IDS_PER_QUERY = 500
"""Most values that one IN list is given."""

_POINT = ("workspace", "run_id", "key", "time", "step", "value", "is_nan")
_LATEST = (*_POINT, "experiment_id")
_TEXT = ("workspace", "run_id", "key", "value", "experiment_id", "head")
_psycopg: Any = PGDialect_psycopg
_MIRRORED = {RUN_NAME_TAG: "name", PARENT_TAG: "parent"}

_LOCK = (  # made once: making a statement takes longer than running it
    select(runs.c.id, runs.c.workspace, runs.c.lifecycle, runs.c.experiment_id)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(runs.c.id)
    .with_for_update(key_share=True)
)

_LOCKED = (
    select(runs.c.id, runs.c.workspace, runs.c.lifecycle, runs.c.experiment_id)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(runs.c.id)
    .with_for_update(key_share=True)
)

Locked = Mapping[str, Row[*tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one caller logs to one run; its texts and points have been checked."""

    workspace: str
    run_id: str
    metrics: Sequence[MetricPoint] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def lock_runs(connection: Connection, ids: Iterable[str]) -> Locked:
    """Rows by run id, held until the transaction ends; in order of id, so that no two writers wait for each other."""
    found: dict[str, Row[*tuple[Any, ...]]] = {}
    for chunk in _chunks(sorted(set(ids))):
        found |= {row.id: row for row in connection.execute(_LOCK, {"ids": chunk})}
    return found


def refusals(connection: Connection, batches: Sequence[Batch], locked: Locked) -> list[BailiwickError | None]:
    """Why each batch cannot be written, in order; None where it can be, those before it having been written."""
    known = _known_params(connection, batches)
    said: list[BailiwickError | None] = []
    for batch in batches:
        error = _state_of(batch, locked) or _changed(batch, known)
        said.append(error)
        if error is None:
            known.update({(batch.run_id, key): value for key, value in batch.params.items()})
    return said


def write_batches(connection: Connection, batches: Sequence[Batch], experiment_of: Mapping[str, str]) -> None:
    """Write batches that are not refused. Points and params that are there already are left, tags are replaced.

    `experiment_of` is the experiment's id by run id. Columns that mirror tags are left to `mirror_tags`.
    """
    params: list[tuple[object, ...]] = []
    tags: dict[tuple[str, str], tuple[object, ...]] = {}
    history: list[tuple[object, ...]] = []
    latest: list[tuple[object, ...]] = []
    for batch in batches:
        experiment_id = experiment_of[batch.run_id]
        params += [_text_row(batch, experiment_id, key, value) for key, value in batch.params.items()]
        for key, value in batch.tags.items():
            tags[batch.run_id, key] = _text_row(batch, experiment_id, key, value)
        kept = [normal(point) for point in batch.metrics]
        history += [_point_row(batch, point) for point in kept]
        latest += [(*_point_row(batch, point), experiment_id) for point in latest_of(kept).values()]
    _insert(connection, "params", params)
    _insert(connection, "tags", list(tags.values()))
    _insert(connection, "history", history)
    _insert(connection, "latest", sorted(latest, key=lambda row: (row[1], row[2])))


def mirror_tags(connection: Connection, batches: Sequence[Batch]) -> None:
    """The run's name and parent are columns too, so that they can be shown and searched without its tags."""
    mirrored: dict[str, dict[str, str]] = {}
    for batch in batches:
        values = {column: batch.tags[tag] for tag, column in _MIRRORED.items() if tag in batch.tags}
        if values:
            mirrored.setdefault(batch.run_id, {}).update(values)
    for run_id, values in mirrored.items():
        connection.execute(update(runs).where(runs.c.id == run_id).values(values))


def _state_of(batch: Batch, locked: Locked) -> BailiwickError | None:
    row = locked.get(batch.run_id)
    if row is None or row.workspace != batch.workspace:
        return RunNotFound(batch.run_id)
    return RunDeleted(batch.run_id) if row.lifecycle == Lifecycle.DELETED else None


def _changed(batch: Batch, known: Mapping[tuple[str, str], str]) -> BailiwickError | None:
    changed = {
        key: (known[batch.run_id, key], value)
        for key, value in batch.params.items()
        if known.get((batch.run_id, key), value) != value
    }
    return ParamChanged(batch.run_id, changed) if changed else None


def _known_params(connection: Connection, batches: Sequence[Batch]) -> dict[tuple[str, str], str]:
    known: dict[tuple[str, str], str] = {}
    columns = run_params.c
    wanted = sorted({batch.run_id for batch in batches if batch.params})
    keys = sorted({key for batch in batches for key in batch.params})
    for chunk in _chunks(wanted):
        query = select(columns.run_id, columns.key, columns.value).where(columns.run_id.in_(chunk))
        if len(keys) <= IDS_PER_QUERY:
            query = query.where(columns.key.in_(keys))
        known |= {(run_id, key): value for run_id, key, value in connection.execute(query)}
    return known


def _text_row(batch: Batch, experiment_id: str, key: str, value: str) -> tuple[object, ...]:
    return batch.workspace, batch.run_id, key, value, experiment_id, value[:HEAD_LENGTH]


def _point_row(batch: Batch, point: MetricPoint) -> tuple[object, ...]:
    is_nan = math.isnan(point.value)
    value = 0.0 if is_nan else point.value
    return batch.workspace, batch.run_id, point.key, point.time, point.step, value, int(is_nan)


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + IDS_PER_QUERY] for start in range(0, len(values), IDS_PER_QUERY))


def _insert(connection: Connection, what: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        connection.exec_driver_sql(_compiled(connection.dialect.name)[what], rows)


@cache
def _compiled(database: str) -> dict[str, str]:
    """SQL text with a place for each value of a row, by what is written."""
    dialect = sqlite.dialect() if database == "sqlite" else _psycopg(paramstyle="format")
    insert = sqlite.insert if database == "sqlite" else postgresql.insert
    statements = {
        "params": (insert(run_params).on_conflict_do_nothing(), _TEXT),
        "tags": (_replace(insert(run_tags)), _TEXT),
        "history": (insert(run_metrics).on_conflict_do_nothing(), _POINT),
        "latest": (_raise_latest(insert(run_latest_metrics)), _LATEST),
    }
    made = {}
    for what, (statement, columns) in statements.items():
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        assert compiled.positiontup == _in_table_order(statement.table, columns)
        made[what] = str(compiled)
    return made


def _in_table_order(table: Table, columns: Sequence[str]) -> list[str]:
    return [column.name for column in table.columns if column.name in columns]


def _replace(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[run_tags.c.run_id, run_tags.c.key], set_={"value": new.value, "head": new.head}
    )


def _raise_latest(statement: Any) -> Any:
    """Replace the latest point where the new one outranks it, by (step, time, value), NaN just below 0."""
    new, old = statement.excluded, run_latest_metrics.c
    return statement.on_conflict_do_update(
        index_elements=[old.run_id, old.key],
        set_={"time": new.time, "step": new.step, "value": new.value, "is_nan": new.is_nan},
        where=tuple_(new.step, new.time, new.value, -new.is_nan) > tuple_(old.step, old.time, old.value, -old.is_nan),
    )
