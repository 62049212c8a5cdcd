"""Metric histories: whole, a page at a time, of many runs at once, and thinned out for a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from bailiwick.core.paging import page_position, page_token
from bailiwick.tracking.metrics import run_point
from bailiwick.tracking.model import MetricPoint, Page
from bailiwick.tracking.ordering import WHOLE
from bailiwick.tracking.tables import run_metrics

CHART_POINTS = 320
"""As many points as a chart can show."""

_POINT = (run_metrics.c.key, run_metrics.c.value, run_metrics.c.is_nan, run_metrics.c.time, run_metrics.c.step)
_BY_TIME = (run_metrics.c.time, run_metrics.c.step, run_metrics.c.value, run_metrics.c.is_nan)
_BY_STEP = (run_metrics.c.step, run_metrics.c.time, run_metrics.c.value, run_metrics.c.is_nan)

RunPoint = tuple[str, MetricPoint]
Curve = tuple[str, str]
"""A run's id and a metric's key."""


def read_history(connection: Connection, workspace: str, run_id: str, key: str) -> list[MetricPoint]:
    """Every point of one metric by time, step, value."""
    query = _of(workspace, [run_id], key).order_by(*_BY_TIME)
    return [run_point(row)[1] for row in connection.execute(query)]


def read_history_page(
    connection: Connection, workspace: str, run_id: str, key: str, *, limit: int | None, token: str
) -> Page[MetricPoint]:
    """Points by time, step, value: at most `limit` after the page that gave `token`. Raises InvalidInput for a bad token."""
    query, asked = _of(workspace, [run_id], key).order_by(*_BY_TIME), [run_id, key]
    if token:
        query = query.where(_after(page_position(token, asked, (WHOLE, WHOLE, float, WHOLE))))
    if limit is not None:
        query = query.limit(limit + 1)
    points = [run_point(row)[1] for row in connection.execute(query)]
    if limit is None or len(points) <= limit:
        return Page(points, "")
    return Page(points[:limit], page_token(_position(points[limit - 1]), asked))


def read_histories(
    connection: Connection, workspace: str, run_ids: Sequence[str], key: str, *, limit: int
) -> list[RunPoint]:
    """The first points of one metric of several runs, by run id, time, step, value; at most `limit` together."""
    query = _of(workspace, run_ids, key).order_by(run_metrics.c.run_id, *_BY_TIME).limit(limit)
    return [run_point(row) for row in connection.execute(query)]


def read_samples(
    connection: Connection,
    workspace: str,
    run_ids: Sequence[str],
    key: str,
    *,
    limit: int,
    steps: tuple[int, int] | None,
) -> dict[str, list[MetricPoint]]:
    """One metric of each run, as `read_curves` has it."""
    curves = read_curves(connection, workspace, run_ids, [key], limit=limit, steps=steps)
    return {run_id: curves.get((run_id, key), []) for run_id in run_ids}


def read_curves(
    connection: Connection,
    workspace: str,
    run_ids: Sequence[str],
    keys: Sequence[str],
    *,
    limit: int,
    steps: tuple[int, int] | None = None,
) -> dict[Curve, list[MetricPoint]]:
    """At most `limit` points of each metric of each run by step, time, value, spread evenly, first and last among them.

    The points are chosen in the database: the n points of a metric are cut into `limit` stretches of n / limit (the
    first ones one longer), of which the first point of each is taken, and the last of all replaces the last taken.
    A run that lacks a metric is left out.
    """
    numbered = _numbered(workspace, run_ids, keys, steps)
    columns = numbered.selected_columns
    rows = numbered.subquery()
    size, longer = rows.c.size // limit, rows.c.size % limit
    place = rows.c.place - 1
    begins = case(
        (rows.c.size <= limit, 0),
        (place < longer * (size + 1), place % (size + 1)),
        else_=(place - longer * (size + 1)) % case((size == 0, 1), else_=size),
    )
    kept = select(*(rows.c[column.name] for column in columns)).where(or_(begins == 0, rows.c.place == rows.c.size))
    curves: dict[Curve, list[MetricPoint]] = {}
    for row in connection.execute(kept.order_by(rows.c.run_id, rows.c.key, rows.c.place)):
        run_id, point = run_point(row)
        curves.setdefault((run_id, point.key), []).append(point)
    return {curve: _ending(points, limit) for curve, points in curves.items()}


def _numbered(
    workspace: str, run_ids: Sequence[str], keys: Sequence[str], steps: tuple[int, int] | None
) -> Select[tuple[str, str, float, int, int, int, int, int]]:
    query = _of(workspace, run_ids, *keys)
    if steps is not None:
        query = query.where(run_metrics.c.step.between(*steps))
    each = (run_metrics.c.run_id, run_metrics.c.key)
    place = func.row_number().over(partition_by=each, order_by=_BY_STEP).label("place")
    size = func.count().over(partition_by=each).label("size")
    return query.add_columns(place, size)


def _ending(points: list[MetricPoint], limit: int) -> list[MetricPoint]:
    """The last point takes the place of the one before it where both would be one too many."""
    return points if len(points) <= limit else [*points[: limit - 1], points[-1]]


def _of(workspace: str, run_ids: Sequence[str], *keys: str) -> Select[tuple[str, str, float, int, int, int]]:
    columns = run_metrics.c
    chosen = columns.run_id == run_ids[0] if len(run_ids) == 1 else columns.run_id.in_(sorted(set(run_ids)))
    wanted = columns.key == keys[0] if len(keys) == 1 else columns.key.in_(keys)
    return select(columns.run_id, *_POINT).where(columns.workspace == workspace, chosen, wanted)


def _position(point: MetricPoint) -> list[float | int]:
    is_nan = math.isnan(point.value)
    return [point.time, point.step, 0.0 if is_nan else point.value, int(is_nan)]


def _after(position: Sequence[float | int]) -> ColumnElement[bool]:
    """What follows a place, written so that every database reads it as one range of the key."""
    later: ColumnElement[bool] = _BY_TIME[-1] > position[-1]
    for column, value in list(zip(_BY_TIME, position, strict=True))[-2::-1]:
        later = or_(column > value, and_(column == value, later))
    return and_(_BY_TIME[0] >= position[0], later)
