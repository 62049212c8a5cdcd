"""MLflow's artifact proxy, and the routes that reach a run's artifacts by the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bailiwick.core.actor import Permission
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.server.mlflow.errors import BAD_REQUEST, INVALID, NOT_OFFERED, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.packages import list_package, package_in, send_package
from bailiwick.server.mlflow.route import Empty, MlflowCall, MlflowRoute
from bailiwick.server.streaming import drain, receive_body, send_reading
from bailiwick.tracking.artifacts.model import Entry
from bailiwick.tracking.artifacts.paths import check_folder, check_path, joined
from bailiwick.tracking.artifacts.service import Location

SIGNED_SECONDS = 900
MAX_POSTED_BYTES = 10 << 20
"""Of `upload-artifact`, through which MLflow's pages send small files."""
CLIENT_GONE = 499

JSON = "application/json"
_PROXY = "/mlflow-artifacts"
_FILE = f"{_PROXY}/artifacts/{{artifact_path:path}}"

Raw = Callable[[MlflowCall[Any], Request], Awaitable[Response]]


class ListProxied(Message):
    """`mlflow-artifacts/artifacts`, GET."""

    path: str | None = None


class ListOfRun(Message):
    """`artifacts/list`; there is only one page, as everywhere in MLflow."""

    run_id: str | None = None
    run_uuid: str | None = None
    path: str | None = None
    page_token: str | None = None


class SignUpload(Message):
    """`artifacts/presigned-upload-url`."""

    required = ("path",)
    run_id: str | None = None
    path: str | None = None
    expiration: Int64 | None = None
    model_id: str | None = None


class SignDownload(Message):
    """`artifacts/presigned-download-url`."""

    required = ("run_id", "path")
    run_id: str | None = None
    path: str | None = None
    expiration: Int64 | None = None


# -- the proxy -------------------------------------------------------------------------------------------------------


def told_before_the_body_ends(handler: Raw) -> Raw:
    """Whoever sends a body that is refused is told why; whoever has gone is told nothing."""

    @wraps(handler)
    async def answer(call: MlflowCall[Any], request: Request) -> Response:
        try:
            return await handler(call, request)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        except (MlflowError, BailiwickError):
            await drain(request)
            raise

    return answer


@told_before_the_body_ends
async def upload(call: MlflowCall[Empty], request: Request) -> Response:
    """Write the body to the path."""
    path = safe(call.path["artifact_path"])
    await _store(call, request, Location(path), call.platform.settings.max_artifact_bytes)
    return Response(b"{}", media_type=JSON)


async def download(call: MlflowCall[Empty], request: Request) -> Response:
    """The file at the path."""
    made = package_in(call.path["artifact_path"])
    if made is not None:
        return await send_package(call, *made)
    return await send(call, request, Location(safe(call.path["artifact_path"])))


def list_proxied(call: MlflowCall[ListProxied]) -> dict[str, Any]:
    """One level, by names."""
    made = package_in(call.message.path or "")
    if made is not None:
        return list_package(call, *made)
    folder = safe_folder(call.message.path)
    return _files(call.platform.artifacts.entries(call.workspace, folder), "")


def delete(call: MlflowCall[Empty]) -> dict[str, Any]:
    """A file, or all below a folder."""
    call.platform.artifacts.delete(call.actor, safe_folder(call.path["artifact_path"]))
    return {}


def signed_download(call: MlflowCall[Empty]) -> dict[str, Any]:
    """A URL of the store itself."""
    return url_of(call, Location(safe(call.path["artifact_path"])), "Multipart download")


# -- by run ----------------------------------------------------------------------------------------------------------


def list_of_run(call: MlflowCall[ListOfRun]) -> dict[str, Any]:
    """One level of a run's artifacts, by paths below its root."""
    folder = safe_folder(call.message.path)
    run_id = call.message.run_id or call.message.run_uuid
    if not run_id:
        raise _missing("run_id")
    return list_below(call, run_root(call, run_id), folder)


async def of_run(call: MlflowCall[Empty], request: Request) -> Response:
    """`get-artifact`: a file of a run, for browsers."""
    asked = request.query_params
    path = safe(given(asked.get("path"), "path"))
    run_id = given(asked.get("run_id") or asked.get("run_uuid"), "run_id")
    root = await run_in_threadpool(run_root, call, run_id)
    return await send(call, request, below(call, root, path))


@told_before_the_body_ends
async def post_to_run(call: MlflowCall[Empty], request: Request) -> Response:
    """`upload-artifact`: a small file from MLflow's pages."""
    asked = request.query_params
    run_id = asked.get("run_id") or asked.get("run_uuid")
    if not run_id:
        raise MlflowError(INVALID, "Request must specify run_id or run_uuid.")
    if not asked.get("path"):
        raise MlflowError(INVALID, "Request must specify path.")
    path = safe(asked["path"])
    if _announced(request) == 0 and "transfer-encoding" not in request.headers:
        raise MlflowError(INVALID, "Request must specify data.")
    if _announced(request) > MAX_POSTED_BYTES:
        raise MlflowError(INVALID, "Artifact size is too large. Max size is 10MB.")
    root = await run_in_threadpool(run_root, call, run_id)
    await _store(call, request, below(call, root, path), MAX_POSTED_BYTES)
    return Response(b"{}", media_type=JSON)


def sign_upload(call: MlflowCall[SignUpload]) -> dict[str, Any]:
    """A URL of the store itself, to PUT to."""
    asked = call.message
    if bool(asked.run_id) == bool(asked.model_id):
        raise MlflowError(INVALID, "Exactly one of run_id and model_id must be provided.")
    path = safe(asked.path or "")
    root = run_root(call, asked.run_id) if asked.run_id else model_root(call, asked.model_id or "")
    location = below(call, root, path)
    artifacts = call.platform.artifacts
    if not artifacts.takes_signed_uploads(location):
        raise not_supported("Presigned upload")
    seconds = SIGNED_SECONDS if asked.expiration is None else asked.expiration
    signed = artifacts.upload_url(call.actor, location, seconds=seconds)
    return {"presigned_url": signed.url, "headers": dict(signed.headers)}


def sign_download(call: MlflowCall[SignDownload]) -> dict[str, Any]:
    """A URL of the store itself, to GET from."""
    asked = call.message
    path = safe(asked.path or "")
    location = below(call, run_root(call, asked.run_id or ""), path)
    seconds = SIGNED_SECONDS if asked.expiration is None else asked.expiration
    return _signed(call, location, "Presigned download", seconds)


# -- shared with other routes that reach artifacts -------------------------------------------------------------------


def safe(path: str) -> str:
    """The path of a file. Raises MlflowError in MLflow's words."""
    with _in_mlflows_words():
        return check_path(path)


def safe_folder(path: str | None) -> str:
    """The path of a folder; nothing is the root."""
    with _in_mlflows_words():
        return check_folder(path or "")


def below(call: MlflowCall[Any], root: str, path: str) -> Location:
    """Where a path below an artifact URI lies."""
    return call.platform.artifacts.locate(call.workspace, root, path)


def list_below(call: MlflowCall[Any], root: str, folder: str) -> dict[str, Any]:
    """One level below an artifact URI, by paths relative to it."""
    entries = call.platform.artifacts.entries(call.workspace, below(call, root, folder))
    return {"root_uri": root, **_files(entries, folder)}


async def send(call: MlflowCall[Any], request: Request, location: Location) -> Response:
    """A file as an attachment."""
    return send_reading(request, await run_in_threadpool(call.platform.artifacts.open, call.workspace, location))


def url_of(call: MlflowCall[Any], location: Location, what: str) -> dict[str, Any]:
    """Where a file is to be had from its store, in the form that clients download by. Raises MlflowError."""
    found = _signed(call, location, what, SIGNED_SECONDS)
    return {"url": found["presigned_url"], "headers": {}, "file_size": found["file_size"]}


def run_root(call: MlflowCall[Any], run_id: str) -> str:
    """The artifact URI of a run."""
    return call.platform.tracking.run(call.workspace, run_id).artifact_uri


def model_root(call: MlflowCall[Any], model_id: str) -> str:
    """The artifact URI of a logged model."""
    return call.platform.logged_models.model(call.workspace, model_id).artifact_location


def given(value: str | None, name: str) -> str:
    """A parameter that must be there."""
    if not value:
        raise _missing(name)
    return value


def not_supported(what: str) -> MlflowError:
    """The words by which clients know that they must do without."""
    return MlflowError(NOT_OFFERED, f"{what} is not supported for the current artifact repository")


def _signed(call: MlflowCall[Any], location: Location, what: str, seconds: int) -> dict[str, Any]:
    artifacts = call.platform.artifacts
    if not artifacts.gives_signed_downloads(location):
        raise not_supported(what)
    signed = artifacts.download_url(call.workspace, location, seconds=seconds)
    return {"presigned_url": signed.url, "headers": {}, "file_size": signed.size_bytes}


async def _store(call: MlflowCall[Any], request: Request, location: Location, limit: int) -> None:
    if _announced(request) > limit:
        raise MlflowError(BAD_REQUEST, f"An artifact has at most {limit} bytes here.", status=413)
    begin = call.platform.artifacts.upload
    await receive_body(request, await run_in_threadpool(begin, call.actor, location, max_bytes=limit))


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0


def _files(entries: list[Entry], folder: str) -> dict[str, Any]:
    files = [
        {"path": joined(folder, entry.path), "is_dir": entry.is_folder, "file_size": entry.size_bytes}
        for entry in entries
    ]
    return {"files": files or None}


def _missing(name: str) -> MlflowError:
    return MlflowError(INVALID, f"Missing value for required parameter '{name}'.")


@contextmanager
def _in_mlflows_words() -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise MlflowError(INVALID, "Invalid path") from None


ROUTES = (
    MlflowRoute("PUT", _FILE, Empty, Permission.TRACKING_WRITE, upload, raw=True),
    MlflowRoute("GET", _FILE, Empty, Permission.READ, download, raw=True),
    MlflowRoute("DELETE", _FILE, Empty, Permission.TRACKING_WRITE, delete),
    MlflowRoute("GET", f"{_PROXY}/artifacts", ListProxied, Permission.READ, list_proxied),
    MlflowRoute("GET", f"{_PROXY}/presigned/{{artifact_path:path}}", Empty, Permission.READ, signed_download),
    MlflowRoute("GET", "/mlflow/artifacts/list", ListOfRun, Permission.READ, list_of_run),
    MlflowRoute("GET", "/get-artifact", Empty, Permission.READ, of_run, version="", raw=True),
    MlflowRoute("POST", "/mlflow/upload-artifact", Empty, Permission.TRACKING_WRITE, post_to_run, raw=True),
    MlflowRoute("POST", "/mlflow/artifacts/presigned-upload-url", SignUpload, Permission.TRACKING_WRITE, sign_upload),
    MlflowRoute("POST", "/mlflow/artifacts/presigned-download-url", SignDownload, Permission.READ, sign_download),
)
