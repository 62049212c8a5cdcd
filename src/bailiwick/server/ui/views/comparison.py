"""Runs side by side: where they differ, how a metric moved in each, and what a param has to do with a metric."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.comparing_runs import compare_runs
from bailiwick.server.ui import links
from bailiwick.server.ui.charts import Axis, Spot, parallel_chart, scatter_chart
from bailiwick.server.ui.curves import LARGE_POINTS, MOST_LINES, chart_of, drawable, has_curve, look_of
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.run_table import SYSTEM, metric_rank
from bailiwick.server.ui.words import measured, short
from bailiwick.tracking.comparison import ComparedKey, RunComparison
from bailiwick.tracking.model import Run

SHOWN_RUNS = 40
AXES, AXIS_METRICS = 7, 2
MOST_KEYS = 300


def compare(visit: Visit) -> Context:
    """The runs that the address names; with fewer than two it says how to choose some."""
    ids = list(dict.fromkeys(visit.every.get("run", ())))
    base: Context = {"comparison": None, "problem": "", "ids": ids}
    if len(ids) < 2:
        return base
    try:
        found = compare_runs(visit.platform, visit.workspace, ids[:SHOWN_RUNS])
    except BailiwickError as error:
        return {**base, "problem": error.message}
    return {**base, **_compared(visit, found), "left_out": max(0, len(ids) - SHOWN_RUNS)}


def _compared(visit: Visit, found: RunComparison) -> Context:
    all_of_them = visit.query.get("all") == "1"
    shown = {kind: [key for key in keys if all_of_them or key.differs][:MOST_KEYS] for kind, keys in _kinds(found)}
    metric_keys = [key.key for key in found.metrics if not key.key.startswith(SYSTEM)]
    metric = visit.query.get("metric", "") or _first_curve(found)
    look = look_of(visit.query)
    x, y = _axes(visit, found, metric_keys)
    return {
        "comparison": found,
        "names": unique_names(found.runs),
        "shown": shown,
        "all": all_of_them,
        "same": sum(not key.differs for _, keys in _kinds(found) for key in keys),
        "metric": metric,
        "metric_keys": [key.key for key in found.metrics],
        "param_keys": [key.key for key in found.params],
        "look": look,
        "curves": _curves(visit, found, metric),
        "x": x,
        "y": y,
        "scatter": _scatter(found, x, y),
        "parallel": _parallel(found, y),
    }


def _kinds(found: RunComparison) -> list[tuple[str, Sequence[ComparedKey]]]:
    return [
        ("Params", found.params),
        ("Metrics", found.metrics),
        ("Tags", _of_people(found.tags)),
        ("Code", found.code),
        ("Data", found.data),
        ("Packages", found.packages),
        ("Host", found.host),
    ]


def unique_names(runs: Sequence[Run]) -> dict[str, str]:
    """What each run is called: its name, with the end of its id where another has the same."""
    names = [run.name or short(run.id) for run in runs]
    return {
        run.id: f"{name} · {short(run.id, 4)}" if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    }


def _of_people(keys: Sequence[ComparedKey]) -> list[ComparedKey]:
    return [key for key in keys if not key.key.startswith(("mlflow.", "bailiwick."))]


def _first_curve(found: RunComparison) -> str:
    """A metric that most of the runs logged more than once."""
    steps = {
        key.key: sum(1 for run in found.runs for point in run.latest if point.key == key.key and point.step)
        for key in found.metrics
        if not key.key.startswith(SYSTEM)
    }
    return max(steps, key=lambda key: steps[key], default="")


def _curves(visit: Visit, found: RunComparison, metric: str) -> Markup | None:
    if not metric:
        return None
    runs = [run for run in found.runs if metric in run.metrics][:MOST_LINES]
    read = visit.platform.tracking.metric_curves(
        visit.workspace, [run.id for run in runs], [metric], limit=LARGE_POINTS // max(1, min(len(runs), 4))
    )
    names = unique_names(runs)
    curves = [(names[run.id], run, read.get((run.id, metric), [])) for run in runs]
    if not any(has_curve(points) for _, _, points in curves):
        return None
    return chart_of(metric, curves, look_of(visit.query), height=320)


def _axes(visit: Visit, found: RunComparison, metrics: Sequence[str]) -> tuple[str, str]:
    """What the dots are placed by: as asked, else a param in which the runs differ, and the most common metric."""
    differing = [key.key for key in found.params if key.differs]
    numeric = [key for key in differing if all(_number(run.params.get(key)) is not None for run in found.runs)]
    x = visit.query.get("x", "") or (f"param.{(numeric or differing)[0]}" if differing else "")
    common = sorted(metrics, key=lambda key: (-sum(key in run.metrics for run in found.runs), metric_rank(key)))
    y = visit.query.get("y", "") or (common[0] if common else "")
    return x, y


def _scatter(found: RunComparison, x: str, y: str) -> Markup | None:
    if not x or not y:
        return None
    names, spots = unique_names(found.runs), []
    kind, _, key = x.partition(".")
    for run in found.runs:
        across = drawable(run.metrics.get(key)) if kind == "metric" else _as_number(run.params.get(key))
        up = drawable(run.metrics.get(y))
        if across is not None and up is not None:
            spots.append(Spot(names[run.id], across, up, links.run(run.id)))
    return scatter_chart(
        spots, title=f"{y} by {key}", x_name=key, y_name=y, form=measured, log_x=_is_wide([s.x for s in spots])
    )


def _parallel(found: RunComparison, metric: str) -> Markup | None:
    """Params in which the runs differ, then the metric that colours the lines."""
    if len(found.runs) < 3 or not metric:
        return None
    params = [key for key in found.params if key.differs][: AXES - AXIS_METRICS]
    axes = [Axis(key.key, [_as_number(run.params.get(key.key)) for run in found.runs]) for key in params]
    axes.append(Axis(metric, [drawable(run.metrics.get(metric)) for run in found.runs]))
    names = unique_names(found.runs)
    return parallel_chart(
        axes,
        [names[run.id] for run in found.runs],
        title=f"Params and {metric}",
        form=measured,
        note=f"A line for each run; the stronger its colour, the higher its {metric}.",
    )


def _as_number(text: str | None) -> float | str | None:
    number = _number(text)
    return text if number is None else number


def _number(text: str | None) -> float | None:
    try:
        return drawable(float(text)) if text is not None else None
    except ValueError:
        return None


def _is_wide(values: Sequence[float | str]) -> bool:
    """Whether numbers span so many decades that only a logarithmic axis tells them apart."""
    numbers = [value for value in values if not isinstance(value, str)]
    return bool(numbers) and len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) >= 100
