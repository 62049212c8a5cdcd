"""Training runs: what went in, what was measured, how it moved, what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bailiwick.core.actor import Permission
from bailiwick.core.errors import NotFound
from bailiwick.server.ui.artifacts import listing_of
from bailiwick.server.ui.curves import LARGE_POINTS, SMALL_POINTS, Look, chart_of, look_of, of_run
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.prose import NOTE_TAG
from bailiwick.server.ui.run_table import SYSTEM, asked_of, metric_rank, run_table
from bailiwick.server.ui.words import label
from bailiwick.tracking.lineage.model import RunLinks
from bailiwick.tracking.logged_models.model import LoggedModel
from bailiwick.tracking.model import PARENT_TAG, RUN_NAME_TAG, Run, RunStatus
from bailiwick.tracking.provenance.code import COMMIT_TAG, DIRTY_TAG
from bailiwick.tracking.provenance.lock import LOCK_TAG, PYTHON_TAG

CHARTS = 8
SYSTEM_CHARTS = 12
SHOWN_METRICS = 4
SHOWN_CHILDREN = 100
LISTED_METRICS = 500
LIVE_SECONDS = 5
CODE_TAGS = {
    COMMIT_TAG: "Commit",
    DIRTY_TAG: "Uncommitted changes",
    "mlflow.source.git.branch": "Branch",
    "mlflow.source.git.repoURL": "Repository",
    "mlflow.source.name": "Program",
    "mlflow.source.type": "Started as",
    "mlflow.project.entryPoint": "Entry point",
    PYTHON_TAG: "Python",
    LOCK_TAG: "Environment",
    "mlflow.docker.image.uri": "Image",
    "mlflow.autologging": "Logged by",
}
DIFFS = (".diff", ".patch")


@dataclass(frozen=True, slots=True)
class MadeModel:
    """A logged model that a run made; `model` is None where it is not known here."""

    id: str
    step: int
    model: LoggedModel | None


def listing(visit: Visit) -> Context:
    """Runs of all experiments or of one, without the parts they are made of unless those are asked for."""
    chosen = visit.query.get("experiment") or ""
    ids = (visit.platform.tracking.experiment_named(visit.workspace, chosen).id,) if chosen else None
    asked, problem = asked_of(visit, "/runs", experiment=chosen)
    return {
        **run_table(visit, asked, problem, ids),
        "experiment": chosen,
        "experiments": visit.platform.tracking.experiments(visit.workspace),
    }


def run(visit: Visit) -> Context:
    """One run with its curves, inputs, outputs, parts and files."""
    tracking, workspace = visit.platform.tracking, visit.workspace
    found = tracking.run(workspace, visit.path["run"])
    links = visit.platform.run_lineage.links(workspace, [found.id]).get(found.id, RunLinks())
    children = tracking.children(workspace, found.id, limit=SHOWN_CHILDREN)
    own = {key: value for key, value in found.tags.items() if not key.startswith(("mlflow.", "bailiwick."))}
    files = listing_of(visit, found.artifact_uri)
    return {
        **_metrics(visit, found),
        "run": found,
        "note": found.tags.get(NOTE_TAG, ""),
        "links_of_run": links,
        "made": _made(visit, links),
        "versions": visit.platform.registry.versions_of_source(workspace, run_id=found.id),
        "children": children,
        "parts_in_all": tracking.part_counts(workspace, [found.id]).get(found.id, 0),
        "child_metrics": _most_common(children),
        "own_tags": own,
        "client_tags": _technical(found.tags),
        "code": {label: found.tags[tag] for tag, label in CODE_TAGS.items() if tag in found.tags},
        "files": files,
        "diffs": [each for each in files.entries if each.path.endswith(DIFFS)],
        "may_write": visit.may(Permission.TRACKING_WRITE),
        "refresh": LIVE_SECONDS if found.status == RunStatus.RUNNING else 0,
    }


def _metrics(visit: Visit, found: Run) -> Context:
    look, wanted = look_of(visit.query), visit.query.get("find", "").strip()
    system = sorted(key for key in found.metrics if key.startswith(SYSTEM))
    plain = sorted((key for key in found.metrics if not key.startswith(SYSTEM)), key=metric_rank)
    listed = [key for key in plain if wanted.lower() in key.lower()]
    one = visit.query.get("metric", "")
    steps = _number(visit.query.get("charts", ""))
    moving = _moving(found, listed)
    drawn = moving[steps * CHARTS : (steps + 1) * CHARTS]
    latest = {point.key: point for point in found.latest}
    return {
        "look": look,
        "find": wanted,
        "headline": sorted(plain, key=lambda key: (key not in moving, metric_rank(key)))[:SHOWN_METRICS],
        "listed": [latest[key] for key in listed[:LISTED_METRICS]],
        "listed_in_all": len(listed),
        "metric": one,
        "large": _large(visit, found, one, look),
        "charts_drawn": _charts(visit, found, drawn, look),
        "charts_at": steps,
        "charts_pages": -(-len(moving) // CHARTS),
        "system": _charts(visit, found, system[:SYSTEM_CHARTS], Look("time")),
        "system_in_all": len(system),
    }


def _moving(found: Run, keys: Iterable[str]) -> list[str]:
    """Metrics that were logged at a later step first, for those surely have a curve; the rest may have one by time."""
    latest = {point.key: point for point in found.latest}
    later = [key for key in keys if latest[key].step != 0]
    return later or [key for key in keys if latest[key].time > found.started]


def _charts(visit: Visit, found: Run, keys: Sequence[str], look: Look) -> list[tuple[str, Markup]]:
    """A small chart of each metric that has more than one point, all read in one query."""
    curves = visit.platform.tracking.metric_curves(visit.workspace, [found.id], keys, limit=SMALL_POINTS)
    return [(key, chart_of(_titled(key), [(key, found, points)], look)) for key, points in of_run(curves, found, keys)]


def _titled(key: str) -> str:
    return label(key.removeprefix(SYSTEM)) if key.startswith(SYSTEM) else key


def _large(visit: Visit, found: Run, key: str, look: Look) -> Markup | None:
    if key not in found.metrics:
        return None
    curves = visit.platform.tracking.metric_curves(visit.workspace, [found.id], [key], limit=LARGE_POINTS)
    return chart_of(key, [(key, found, curves.get((found.id, key), []))], look, height=320)


def _made(visit: Visit, links: RunLinks) -> list[MadeModel]:
    made = []
    for output in links.models_made[:SHOWN_CHILDREN]:
        try:
            model = visit.platform.logged_models.model(visit.workspace, output.model_id, deleted=True)
        except NotFound:
            model = None
        made.append(MadeModel(output.model_id, output.step, model))
    return made


def _technical(tags: Mapping[str, str]) -> dict[str, str]:
    shown_elsewhere = {NOTE_TAG, RUN_NAME_TAG, PARENT_TAG, *CODE_TAGS}
    return {
        key: value
        for key, value in tags.items()
        if key.startswith(("mlflow.", "bailiwick.")) and key not in shown_elsewhere
    }


def _most_common(runs: Sequence[Run]) -> list[str]:
    """The metrics that most runs have, the well-known ones first."""
    counted = Counter(key for run in runs for key in run.metrics if not key.startswith(SYSTEM))
    return sorted(sorted(counted, key=lambda key: -counted[key])[:SHOWN_METRICS], key=metric_rank)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
