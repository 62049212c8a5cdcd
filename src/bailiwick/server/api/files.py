"""Files of runs and logged models: listed a folder at a time, and downloaded."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bailiwick.server.api.route import Call, Nothing
from bailiwick.server.streaming import send_reading
from bailiwick.tracking.artifacts.model import Entry, Reading

Path = Annotated[str, Meta(max_length=1024)]


class FolderQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which folder; the root if it is left out."""

    path: Path = ""


class FileQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which file."""

    path: Annotated[str, Meta(min_length=1, max_length=1024)]


class Files(Struct, frozen=True):
    """Files and folders right below a folder, by path; none for a folder that is not there."""

    items: list[Entry]


def run_files(call: Call[FolderQuery, Nothing]) -> Files:
    """Files of a run."""
    return _listed(call, _of_run(call))


async def run_file(call: Call[FileQuery, Nothing]) -> Response:
    """The bytes of a file of a run, whole or the range that is asked for."""
    return send_reading(call.request, await run_in_threadpool(lambda: _opened(call, _of_run(call))))


def logged_model_files(call: Call[FolderQuery, Nothing]) -> Files:
    """Files of a logged model."""
    return _listed(call, _of_logged_model(call))


async def logged_model_file(call: Call[FileQuery, Nothing]) -> Response:
    """The bytes of a file of a logged model, whole or the range that is asked for."""
    return send_reading(call.request, await run_in_threadpool(lambda: _opened(call, _of_logged_model(call))))


def _of_run(call: Call[FolderQuery, Nothing] | Call[FileQuery, Nothing]) -> str:
    return call.platform.tracking.run_info(call.workspace, call.path["run"]).artifact_uri


def _of_logged_model(call: Call[FolderQuery, Nothing] | Call[FileQuery, Nothing]) -> str:
    found = call.platform.logged_models.model(call.workspace, call.path["logged_model"], deleted=True)
    return found.artifact_location


def _listed(call: Call[FolderQuery, Nothing], uri: str) -> Files:
    artifacts = call.platform.artifacts
    return Files(artifacts.entries(call.workspace, artifacts.locate(call.workspace, uri, call.query.path)))


def _opened(call: Call[FileQuery, Nothing], uri: str) -> Reading:
    artifacts = call.platform.artifacts
    return artifacts.open(call.workspace, artifacts.locate(call.workspace, uri, call.query.path))
