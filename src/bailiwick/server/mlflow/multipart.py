"""MLflow's protocol of uploads in parts, which go to the object store past this server."""

from __future__ import annotations

import ntpath
from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.server.mlflow.artifacts import not_supported, safe, safe_folder
from bailiwick.server.mlflow.errors import INVALID, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.store.parts.model import SentPart
from bailiwick.tracking.artifacts.paths import joined

_MPU = "/mlflow-artifacts/mpu"


class Part(Message):
    """One part that was sent. MLflow's clients name its URL too, which is of no use."""

    part_number: Int64 | None = None
    etag: str | None = None


class CreateUpload(Message):
    """`mpu/create`: `path` is the file on the client's disk, of which the name counts; the URL names the folder."""

    required = ("path",)
    path: str | None = None
    num_parts: Int64 | None = None


class CompleteUpload(Message):
    """`mpu/complete`."""

    required = ("path",)
    path: str | None = None
    upload_id: str | None = None
    parts: list[Part] | None = None


class AbortUpload(Message):
    """`mpu/abort`."""

    required = ("path",)
    path: str | None = None
    upload_id: str | None = None


def create(call: MlflowCall[CreateUpload]) -> dict[str, Any]:
    """Where each part is to be PUT."""
    path = _target(call, call.message.path)
    count = 1 if call.message.num_parts is None else call.message.num_parts
    begun = call.platform.artifacts.parted.begin(call.actor, path, count=count)
    credentials = [{"url": each.url, "part_number": each.number, "headers": dict(each.headers)} for each in begun.parts]
    return {"upload_id": begun.id, "credentials": credentials}


def complete(call: MlflowCall[CompleteUpload]) -> dict[str, Any]:
    """Join the parts."""
    path = _target(call, call.message.path)
    sent = [SentPart(_number(each), each.etag or "") for each in call.message.parts or ()]
    limit = call.platform.settings.max_artifact_bytes
    call.platform.artifacts.parted.complete(call.actor, path, call.message.upload_id or "", sent, max_bytes=limit)
    return {}


def abort(call: MlflowCall[AbortUpload]) -> dict[str, Any]:
    """Give the parts up."""
    path = _target(call, call.message.path)
    call.platform.artifacts.parted.abort(call.actor, path, call.message.upload_id or "")
    return {}


def _target(call: MlflowCall[Any], local_file: str | None) -> str:
    """The path in the store. Raises MlflowError in the words by which clients know that they must send the file whole."""
    folder = safe_folder(call.path["artifact_path"])
    if not call.platform.artifacts.parted.offered:
        raise not_supported("Multipart upload")
    name = ntpath.basename(local_file or "")  # of a client on any system
    if not name:
        raise MlflowError(INVALID, "Invalid path")
    return safe(joined(folder, name))


def _number(part: Part) -> int:
    if part.part_number is None:
        raise MlflowError(INVALID, "Missing value for required parameter 'part_number'.")
    return part.part_number


ROUTES = (
    MlflowRoute("POST", f"{_MPU}/create/{{artifact_path:path}}", CreateUpload, Permission.TRACKING_WRITE, create),
    MlflowRoute("POST", f"{_MPU}/complete/{{artifact_path:path}}", CompleteUpload, Permission.TRACKING_WRITE, complete),
    MlflowRoute("POST", f"{_MPU}/abort/{{artifact_path:path}}", AbortUpload, Permission.TRACKING_WRITE, abort),
)
