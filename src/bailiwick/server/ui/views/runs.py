"""Training runs: what went in, what was measured, how it moved."""

from __future__ import annotations

from collections import Counter

from bailiwick.server.ui.charts import Series
from bailiwick.server.ui.page import Context, Visit
from bailiwick.tracking.model import MetricPoint, Run

PAGE = 50
READ_AT_ONCE = 200
MAX_READS = 10
CURVES = 8
SHOWN_METRICS = 4
_FIRST = ("roc_auc", "log_loss", "accuracy", "calibration_error", "brier")


def listing(visit: Visit) -> Context:
    """One page of runs of all experiments or of one, without the trials they are made of."""
    experiment = visit.query.get("experiment") or None
    found, onward = _page(visit, experiment, visit.query.get("after", ""))
    return {
        "runs": found,
        "experiment": experiment,
        "experiments": visit.platform.tracking.experiments(visit.workspace),
        "metric_names": _most_common(found),
        "next": onward,
    }


def _page(visit: Visit, experiment: str | None, after: str) -> tuple[list[Run], str]:
    """Runs that are no part of another, and where the next page begins; parts are shown with the run they belong to."""
    found: list[Run] = []
    for _ in range(MAX_READS):
        read = visit.platform.tracking.runs(visit.workspace, experiment, READ_AT_ONCE, after=after)
        for run in read:
            after = run.id
            found += [run] if run.parent is None else []
            if len(found) == PAGE:
                return found, after
        if len(read) < READ_AT_ONCE:
            return found, ""
    return found, after


def run(visit: Visit) -> Context:
    """One run with its curves, inputs and children."""
    tracking, workspace = visit.platform.tracking, visit.workspace
    found = tracking.run(workspace, visit.path["run"])
    curves = []
    for key in sorted(found.metrics, key=_rank)[:CURVES]:
        points = tracking.metric_samples(workspace, [found.id], key)[found.id]
        if len(points) > 1:
            curves.append((key, _curve(key, points), _by_step(points)))
    children = tracking.children(workspace, found.id)
    return {
        "run": found,
        "curves": curves,
        "children": children,
        "child_metrics": _most_common(children),
        "headline": sorted(found.metrics, key=_rank)[:SHOWN_METRICS],
        "metrics": {key: found.metrics[key] for key in sorted(found.metrics, key=_rank)},
    }


def _by_step(points: list[MetricPoint]) -> bool:
    return len({point.step for point in points}) > 1


def _curve(key: str, points: list[MetricPoint]) -> list[Series]:
    """Against steps where there are any, else against time."""
    by_step = _by_step(points)
    placed = sorted((float(point.step if by_step else point.time), point.value) for point in points)
    return [Series(key, placed)]


def _most_common(runs: list[Run]) -> list[str]:
    """The metrics that most runs have, the well-known ones first."""
    counted = Counter(key for run in runs for key in run.metrics)
    return sorted(sorted(counted, key=lambda key: -counted[key])[:SHOWN_METRICS], key=_rank)


def _rank(key: str) -> tuple[int, str]:
    plain = key.rpartition("/")[2].removeprefix("test_").removeprefix("valid_")
    return (_FIRST.index(plain) if plain in _FIRST else len(_FIRST), key)
