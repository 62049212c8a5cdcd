"""The artifacts of logged models and of registered versions, reached by the model."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from bailiwick.core.actor import Permission
from bailiwick.registry.model import ModelVersion
from bailiwick.server.mlflow.artifacts import (
    JSON,
    below,
    given,
    list_below,
    model_root,
    not_supported,
    safe,
    safe_folder,
    send,
    url_of,
)
from bailiwick.server.mlflow.errors import BAD_REQUEST, MISSING, MlflowError
from bailiwick.server.mlflow.message import Message
from bailiwick.server.mlflow.packages import send_package
from bailiwick.server.mlflow.route import Empty, MlflowCall, MlflowRoute
from bailiwick.tracking.artifacts.service import Location

_MODEL = "/mlflow/logged-models/{model_id}/artifacts"


class ListOfModel(Message):
    """`logged-models/{model_id}/artifacts/directories`; there is only one page."""

    artifact_directory_path: str | None = None
    page_token: str | None = None


def list_of_model(call: MlflowCall[ListOfModel]) -> dict[str, Any]:
    """One level of a logged model's files, by paths below its root."""
    folder = safe_folder(call.message.artifact_directory_path)
    return list_below(call, model_root(call, call.path["model_id"]), folder)


async def of_model(call: MlflowCall[Empty], request: Request) -> Response:
    """A file of a logged model, for browsers."""
    path = request.query_params.get("artifact_file_path")
    if not path:
        raise MlflowError(BAD_REQUEST, 'Request must include the "artifact_file_path" query parameter.')
    path = safe(path)
    root = await run_in_threadpool(model_root, call, call.path["model_id"])
    return await _sent(call, request, below(call, root, path))


async def of_version(call: MlflowCall[Empty], request: Request) -> Response:
    """`model-versions/get-artifact`: a file of a registered version, for browsers."""
    params = request.query_params
    path = safe(given(params.get("path"), "path"))
    name, number = given(params.get("name"), "name"), given(params.get("version"), "version")
    version = await run_in_threadpool(_version, call, name, number)
    if version.storage:
        return await _sent(call, request, below(call, version.storage, path))
    if _asks_for_url(request):
        raise not_supported("Presigned download")
    return await send_package(call, version.package, path)


async def _sent(call: MlflowCall[Any], request: Request, location: Location) -> Response:
    """A file, or where its store gives it."""
    if not _asks_for_url(request):
        return await send(call, request, location)
    found = await run_in_threadpool(url_of, call, location, "Presigned download")
    return Response(msgspec.json.encode(found), media_type=JSON)


def _asks_for_url(request: Request) -> bool:
    return request.query_params.get("presigned") == "true"


def _version(call: MlflowCall[Any], name: str, number: str) -> ModelVersion:
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise MlflowError(MISSING, f"Model Version (name={name}, version={number}) not found")
    return call.platform.registry.version(call.workspace, name, int(number))


ROUTES = (
    MlflowRoute("GET", f"{_MODEL}/directories", ListOfModel, Permission.READ, list_of_model),
    MlflowRoute("GET", f"{_MODEL}/files", Empty, Permission.READ, of_model, raw=True),
    MlflowRoute("GET", "/model-versions/get-artifact", Empty, Permission.READ, of_version, version="", raw=True),
    MlflowRoute("GET", "//model-versions/get-artifact", Empty, Permission.READ, of_version, version="", raw=True),
)
