"""The browser of files of a run or a logged model."""

from __future__ import annotations

from bailiwick.server.ui import links
from bailiwick.server.ui.artifacts import listing_of, preview_of
from bailiwick.server.ui.page import Context, Visit


def of_run(visit: Visit) -> Context:
    """A folder or a file of a run."""
    found = visit.platform.tracking.run(visit.workspace, visit.path["run"])
    trail = [
        (links.experiment(found.experiment_id), found.experiment),
        (links.run(found.id), found.name or found.id),
    ]
    return _browsed(visit, found.artifact_uri, links.run(found.id), trail)


def of_logged_model(visit: Visit) -> Context:
    """A folder or a file of a logged model."""
    found = visit.platform.logged_models.model(visit.workspace, visit.path["logged_model"], deleted=True)
    trail = [
        (links.experiment_models(found.experiment_id), "Logged models"),
        (links.logged_model(found.id), found.name),
    ]
    return _browsed(visit, found.artifact_location, links.logged_model(found.id), trail)


def uri_of_run(visit: Visit) -> str:
    """Where the files of the run in the path are."""
    return visit.platform.tracking.run_info(visit.workspace, visit.path["run"]).artifact_uri


def uri_of_logged_model(visit: Visit) -> str:
    """Where the files of the logged model in the path are."""
    found = visit.platform.logged_models.model(visit.workspace, visit.path["logged_model"], deleted=True)
    return found.artifact_location


def _browsed(visit: Visit, uri: str, owner: str, trail: list[tuple[str, str]]) -> Context:
    path = visit.query.get("path", "").strip("/")
    preview = preview_of(visit, uri, path) if path else None
    folder = path.rpartition("/")[0] if preview else path
    parts = path.split("/") if path else []
    return {
        "owner": owner,
        "trail": trail,
        "path": path,
        "preview": preview,
        "files": listing_of(visit, uri, folder),
        "folders": [(part, "/".join(parts[: index + 1])) for index, part in enumerate(parts)],
    }
