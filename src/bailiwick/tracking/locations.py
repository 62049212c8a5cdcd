"""Where artifacts of experiments and runs are kept, as URIs; a location without a scheme is a path on the server."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from bailiwick.core.errors import InvalidInput
from bailiwick.tracking.model import MAX_LOCATION_LENGTH, check_text

DEFAULT_ROOT = "mlflow-artifacts:/"
"""Through the control plane, which clients resolve against the address they track to."""

DEFAULT_WORKSPACE = "default"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


def checked_location(location: str) -> str:
    """A location that was given, made absolute where it is a relative path. Raises InvalidInput, LimitExceeded."""
    check_text("An artifact location", location, MAX_LOCATION_LENGTH)
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise InvalidInput(f"The artifact location {location[:200]!r} is not a URL: {error}.") from None
    if parts.fragment or ";" in parts.path.rpartition("/")[2]:
        raise InvalidInput("'artifact_location' URL can't include fragments or params.")
    if ".." in parts.query or parts.scheme == "runs":
        raise InvalidInput(f"The artifact location {location[:200]!r} may not lead to another place.")
    if location and not _SCHEME.match(location):
        return Path.cwd().joinpath(location).as_posix()
    if parts.scheme == "file" and not parts.path.startswith("/"):
        return Path.cwd().joinpath(parts.path).as_uri()
    return location


def experiment_location(root: str, workspace: str, experiment_id: str) -> str:
    """Where an experiment keeps artifacts that was given no place of its own; other workspaces have a folder each."""
    if workspace == DEFAULT_WORKSPACE:
        return beneath(root, experiment_id)
    return beneath(root, "workspaces", workspace, experiment_id)


def run_location(experiment: str, run_id: str) -> str:
    """Where a run of the experiment kept at `experiment` keeps its artifacts."""
    return beneath(experiment, run_id, "artifacts")


def beneath(uri: str, *parts: str) -> str:
    """`uri` with more path; the query of a URL stays at its end."""
    path, mark, query = uri.partition("?") if _SCHEME.match(uri) else (uri, "", "")
    return "/".join([path.rstrip("/"), *parts]) + mark + query
