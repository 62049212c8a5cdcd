"""What is kept of a metric point, and which point of a metric is the latest.

NaN is stored as the value 0 with `is_nan` 1, so that identity and order are those of plain columns on every database.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from bailiwick.tracking.model import MetricPoint

LARGEST = sys.float_info.max


def normal(point: MetricPoint) -> MetricPoint:
    """The point as it is kept: infinities clamped to the largest finite doubles, NaN left."""
    value = point.value
    if type(value) is float and -LARGEST <= value <= LARGEST:
        return point  # as nearly all are
    value = float(value)
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
        # Nearly always the step decides; ranks are made only where it does not.
        if best is None or point.step > best.step or (point.step == best.step and rank(point) > rank(best)):
            latest[point.key] = point
    return latest


def run_point(row: Sequence[Any]) -> tuple[str, MetricPoint]:
    """The run and the point of a row that begins with run id, key, value, is_nan, time, step."""
    run_id, key, value, is_nan, time, step = row[:6]
    return run_id, MetricPoint(key, math.nan if is_nan else value, time, step)
