"""Which metric point is the latest, and the writing of history and latest value in one transaction.

NaN is stored as the value 0 with `is_nan` 1, so that identity and order are those of plain columns on every database.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.tables import run_latest_metrics, run_metrics

LARGEST = sys.float_info.max


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT, which SQLAlchemy spells once per dialect."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def normal(point: MetricPoint) -> MetricPoint:
    """The point as it is kept: infinities clamped to the largest finite doubles, NaN left."""
    value = float(point.value)
    if math.isinf(value):
        value = math.copysign(LARGEST, value)
    return MetricPoint(point.key, value, point.time, point.step)


def rank(point: MetricPoint) -> tuple[int, int, float, bool]:
    """The order that decides which point is latest: step, time, value; NaN ranks as 0, just below a real 0."""
    is_nan = math.isnan(point.value)
    return point.step, point.time, 0.0 if is_nan else point.value, not is_nan


def latest_of(points: Iterable[MetricPoint]) -> dict[str, MetricPoint]:
    """The highest-ranking point of each key; the order of `points` does not matter."""
    latest: dict[str, MetricPoint] = {}
    for point in points:
        best = latest.get(point.key)
        if best is None or rank(point) > rank(best):
            latest[point.key] = point
    return latest


def write_metrics(connection: Connection, workspace: str, run_id: str, points: Iterable[MetricPoint]) -> None:
    """Add points to the history, drop exact repeats, and raise the latest values where a point outranks them."""
    kept = [normal(point) for point in points]
    if not kept:
        return
    history = insert_into(connection, run_metrics).on_conflict_do_nothing()
    connection.execute(history, [_row(workspace, run_id, point) for point in kept])
    latest = sorted(latest_of(kept).values(), key=lambda point: point.key)
    connection.execute(_raise_latest(connection), [_row(workspace, run_id, point) for point in latest])


def read_history(connection: Connection, workspace: str, run_id: str, key: str) -> list[MetricPoint]:
    """Every point of one metric by time, step, value."""
    columns = run_metrics.c
    query = (
        select(columns.key, columns.value, columns.is_nan, columns.time, columns.step)
        .where(columns.workspace == workspace, columns.run_id == run_id, columns.key == key)
        .order_by(columns.time, columns.step, columns.value, columns.is_nan)
    )
    return [point_of(row) for row in connection.execute(query)]


def point_of(row: Row[*tuple[Any, ...]]) -> MetricPoint:
    """The point of a row of either table."""
    return MetricPoint(row.key, math.nan if row.is_nan else row.value, row.time, row.step)


def _row(workspace: str, run_id: str, point: MetricPoint) -> dict[str, object]:
    is_nan = math.isnan(point.value)
    return {
        "workspace": workspace,
        "run_id": run_id,
        "key": point.key,
        "time": point.time,
        "step": point.step,
        "value": 0.0 if is_nan else point.value,
        "is_nan": int(is_nan),
    }


def _raise_latest(connection: Connection) -> sqlite.Insert | postgresql.Insert:
    statement = insert_into(connection, run_latest_metrics)
    new, old = statement.excluded, run_latest_metrics.c
    return statement.on_conflict_do_update(
        index_elements=[old.run_id, old.key],
        set_={"time": new.time, "step": new.step, "value": new.value, "is_nan": new.is_nan},
        where=tuple_(new.step, new.time, new.value, -new.is_nan) > tuple_(old.step, old.time, old.value, -old.is_nan),
    )
