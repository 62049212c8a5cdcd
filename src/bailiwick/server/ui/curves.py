"""Metric histories as charts: thinned out in the database, against steps or against the time since their run began."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.server.ui.charts import Series, line_chart
from bailiwick.server.ui.words import measured
from bailiwick.tracking.history import Curve
from bailiwick.tracking.model import MetricPoint, Run

AXES = ("step", "time")
SMALL_POINTS, LARGE_POINTS = 80, 320
MOST_LINES = 12
LARGEST = 1e300

_UNITS = ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "seconds"))


@dataclass(frozen=True, slots=True)
class Look:
    """How charts are drawn: `axis` is `step` or `time`, or empty for whichever says more; `log` is a logarithmic y axis."""

    axis: str = ""
    log: bool = False


def look_of(query: Mapping[str, str]) -> Look:
    """What an address asks for; what makes no sense counts as not asked."""
    axis = query.get("axis", "")
    return Look(axis if axis in AXES else "", query.get("log") == "1")


def chart_of(
    title: str,
    curves: Sequence[tuple[str, Run, Sequence[MetricPoint]]],
    look: Look,
    *,
    height: int = 200,
) -> Markup:
    """One chart of named curves. Steps are used where a curve has several, unless the look says otherwise."""
    axis = look.axis or ("step" if any(_has_steps(points) for _, _, points in curves) else "time")
    unit, name = _unit(curves) if axis == "time" else (1, "")
    series = [Series(label, _placed(points, run.started, axis, unit)) for label, run, points in curves]
    infinite = any(y is None for line in series for _, y in line.points)
    note = "By step." if axis == "step" else f"By {name} since the run began."
    if infinite:
        note += " Gaps are values that are no number."
    return line_chart(series, title=title, time=False, log=look.log, form=measured, height=height, note=note)


def has_curve(points: Sequence[MetricPoint]) -> bool:
    """Whether there is more to see than one value."""
    return len(points) > 1


def of_run(
    curves: Mapping[Curve, Sequence[MetricPoint]], run: Run, keys: Sequence[str]
) -> list[tuple[str, list[MetricPoint]]]:
    """Metrics of a run that have more than one point, in the order of `keys`."""
    found = [(key, list(curves.get((run.id, key), ()))) for key in keys]
    return [(key, points) for key, points in found if has_curve(points)]


def _has_steps(points: Sequence[MetricPoint]) -> bool:
    return len({point.step for point in points}) > 1


def _placed(points: Sequence[MetricPoint], started: int, axis: str, unit: int) -> list[tuple[float, float | None]]:
    placed = [
        (float(point.step) if axis == "step" else (point.time - started) / unit, drawable(point.value))
        for point in points
    ]
    return sorted(placed, key=lambda place: place[0])


def drawable(value: float | None) -> float | None:
    """A value with a place on an axis: NaN has none, nor have infinities, which are kept as the largest double."""
    return None if value is None or math.isnan(value) or abs(value) > LARGEST else value


def _unit(curves: Sequence[tuple[str, Run, Sequence[MetricPoint]]]) -> tuple[int, str]:
    longest = max((point.time - run.started for _, run, points in curves for point in points), default=0)
    return next(((unit, name) for unit, name in _UNITS if longest >= 2 * unit), _UNITS[-1])
