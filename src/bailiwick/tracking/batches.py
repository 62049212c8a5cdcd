"""What is logged to runs, as SQL: rows of any number of runs at once, in a number of statements that does not grow.

A caller locks the runs, asks which batches are refused, and writes the others, all in one transaction. Statements are
compiled once per database and run with plain tuples: a thousand points cost a few milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from bailiwick.core.errors import BailiwickError
from bailiwick.store.prepared import Prepared, among
from bailiwick.tracking.errors import ParamChanged, RunDeleted, RunNotFound
from bailiwick.tracking.metrics import LARGEST, latest_of, normal
from bailiwick.tracking.model import PARENT_TAG, RUN_NAME_TAG, Lifecycle, MetricPoint
from bailiwick.tracking.tables import HEAD_LENGTH, run_latest_metrics, run_metrics, run_params, run_tags, runs

IDS_PER_QUERY = 500
"""Most values that one IN list is given."""

_POINT = ("workspace", "run_id", "key", "time", "step", "value", "is_nan")
_LATEST_POINT = (*_POINT, "experiment_id")
_TEXT = ("workspace", "run_id", "key", "value", "experiment_id", "head")
_MIRRORED = {RUN_NAME_TAG: "name", PARENT_TAG: "parent"}

_LOCK = Prepared(
    lambda dialect: (
        select(runs.c.id, runs.c.workspace, runs.c.lifecycle, runs.c.experiment_id)
        .where(among(dialect, runs.c.id, "ids"))
        .order_by(runs.c.id)
        .with_for_update(key_share=True)
    )
)
_KNOWN_PARAMS = Prepared(
    lambda dialect: select(run_params.c.run_id, run_params.c.key, run_params.c.value).where(
        among(dialect, run_params.c.run_id, "ids"), among(dialect, run_params.c.key, "keys")
    )
)

Locked = Mapping[str, Any]
"""What is needed of locked runs, by id: `workspace`, `lifecycle` and `experiment_id`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one caller logs to one run; its texts and points have been checked."""

    workspace: str
    run_id: str
    metrics: Sequence[MetricPoint] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.metrics or self.params or self.tags)


def lock_runs(connection: Connection, ids: Iterable[str]) -> Locked:
    """Rows by run id, held until the transaction ends; in order of id, so that no two writers wait for each other."""
    return {row.id: row for row in _LOCK.named(connection, {"ids": sorted(set(ids))})}


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
        workspace, run_id = batch.workspace, batch.run_id
        history += [
            (workspace, run_id, point.key, point.time, point.step, point.value, 0)
            if type(point.value) is float and -LARGEST <= point.value <= LARGEST  # as nearly all of thousands are
            else _point_row(batch, point)
            for point in batch.metrics
        ]
        latest += [(*_point_row(batch, point), experiment_id) for point in latest_of(batch.metrics).values()]
    # In the order of their keys, rows fill a page of the database before the next is touched.
    for statement, rows in (
        (_PARAMS, params),
        (_TAGS, list(tags.values())),
        (_HISTORY, sorted(history)),
        (_LATEST, sorted(latest)),
    ):
        if rows:
            statement.run_rows(connection, rows)


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
    keys = list({key for batch in batches for key in batch.params})
    if not keys:
        return {}
    ids = list({batch.run_id for batch in batches if batch.params})
    found = _KNOWN_PARAMS.rows(connection, {"ids": ids, "keys": keys})
    return {(run_id, key): value for run_id, key, value in found}


def _text_row(batch: Batch, experiment_id: str, key: str, value: str) -> tuple[object, ...]:
    return batch.workspace, batch.run_id, key, value, experiment_id, value[:HEAD_LENGTH]


def _point_row(batch: Batch, point: MetricPoint) -> tuple[object, ...]:
    kept = normal(point)
    is_nan = math.isnan(kept.value)
    value = 0.0 if is_nan else kept.value
    return batch.workspace, batch.run_id, kept.key, kept.time, kept.step, value, int(is_nan)


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


def _into(table: Table, finish: Callable[[Any], Any]) -> Callable[[str], Any]:
    """An INSERT that says what happens on conflict, which SQLAlchemy spells once a dialect."""
    return lambda dialect: finish(sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table))


_PARAMS = Prepared(_into(run_params, lambda made: made.on_conflict_do_nothing()), _TEXT)
_TAGS = Prepared(_into(run_tags, _replace), _TEXT)
_HISTORY = Prepared(_into(run_metrics, lambda made: made.on_conflict_do_nothing()), _POINT)
_LATEST = Prepared(_into(run_latest_metrics, _raise_latest), _LATEST_POINT)
