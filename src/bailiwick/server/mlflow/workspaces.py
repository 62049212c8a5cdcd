"""Workspaces as MLflow's clients manage them, with the codes and statuses they expect."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from bailiwick.core.actor import Permission
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.security.workspaces import DEFAULT, Workspace
from bailiwick.server.mlflow.errors import INVALID, INVALID_STATE, MlflowError
from bailiwick.server.mlflow.message import Message
from bailiwick.server.mlflow.route import Empty, MlflowCall, MlflowRoute

MODES = ("SET_DEFAULT", "CASCADE", "RESTRICT")


class CreateWorkspace(Message):
    """A workspace to make."""

    required = ("name",)
    name: str | None = None
    description: str | None = None
    default_artifact_root: str | None = None


class UpdateWorkspace(Message):
    """What to change; the workspace is in the path. An empty artifact root means the server's own again."""

    description: str | None = None
    default_artifact_root: str | None = None


def list_workspaces(call: MlflowCall[Empty]) -> dict[str, Any]:
    """Those that the caller may know of, by name."""
    return {"workspaces": [_workspace(each) for each in call.platform.workspaces.visible_to(call.actor)]}


def create_workspace(call: MlflowCall[CreateWorkspace]) -> Response:
    """Answers 201."""
    wanted = call.message
    if wanted.name == DEFAULT:
        raise MlflowError(INVALID, f"The '{DEFAULT}' workspace is reserved and cannot be created.")
    made = call.platform.workspaces.create(
        call.actor,
        wanted.name or "",
        description=wanted.description or "",
        artifact_root=_root(wanted.default_artifact_root) or "",
    )
    return Response(msgspec.json.encode({"workspace": _workspace(made)}), 201, media_type="application/json")


def get_workspace(call: MlflowCall[Empty]) -> dict[str, Any]:
    """One that the caller may know of."""
    name = call.path["workspace_name"]
    return {"workspace": _workspace(call.platform.workspaces.seen_by(call.actor, name))}


def update_workspace(call: MlflowCall[UpdateWorkspace]) -> dict[str, Any]:
    """Change what is given."""
    wanted = call.message
    if wanted.description is None and wanted.default_artifact_root is None:
        raise MlflowError(INVALID, "Workspace update must have at least one key.")
    changed = call.platform.workspaces.update(
        call.actor,
        call.path["workspace_name"],
        description=wanted.description,
        artifact_root=_root(wanted.default_artifact_root),
    )
    return {"workspace": _workspace(changed)}


def delete_workspace(call: MlflowCall[Empty]) -> Response:
    """Answers 204. Of MLflow's three modes only RESTRICT is taken: records are not moved or destroyed by the way."""
    name, mode = call.path["workspace_name"], call.request.query_params.get("mode", "RESTRICT")
    if name == DEFAULT:
        raise MlflowError(INVALID, f"The '{DEFAULT}' workspace is reserved and cannot be deleted.")
    if mode not in MODES:
        raise InvalidInput.choice("deletion mode", mode, MODES)
    if mode != "RESTRICT":
        raise MlflowError(
            INVALID, f"Deletion mode {mode} is not offered: delete the workspace's records, then use RESTRICT."
        )
    try:
        call.platform.workspaces.delete(call.actor, name)
    except Conflict as error:
        raise MlflowError(INVALID_STATE, str(error)) from error
    return Response(status_code=204)


def _root(text: str | None) -> str | None:
    """An artifact root that clients everywhere understand alike: a URI or an absolute path."""
    if text is None or not text.strip():
        return "" if text is not None else None
    trimmed = text.strip()
    if "#" in trimmed or not (trimmed.startswith("/") or ":/" in trimmed):
        raise MlflowError(
            INVALID,
            "Invalid value for 'default_artifact_root'. Expected a URI (for example 's3://bucket/prefix') or an absolute "
            f"path, got {trimmed[:200]!r}.",
        )
    return trimmed


def _workspace(found: Workspace) -> dict[str, Any]:
    return {
        "name": found.name,
        **({"description": found.description} if found.description else {}),
        **({"default_artifact_root": found.artifact_root} if found.artifact_root else {}),
    }


READ, MANAGE = Permission.READ, Permission.WORKSPACES_MANAGE
ROUTES = (
    MlflowRoute("GET", "/mlflow/workspaces", Empty, READ, list_workspaces, version="3.0"),
    MlflowRoute("POST", "/mlflow/workspaces", CreateWorkspace, MANAGE, create_workspace, version="3.0"),
    MlflowRoute("GET", "/mlflow/workspaces/{workspace_name}", Empty, READ, get_workspace, version="3.0"),
    MlflowRoute(
        "PATCH", "/mlflow/workspaces/{workspace_name}", UpdateWorkspace, MANAGE, update_workspace, version="3.0"
    ),
    MlflowRoute("DELETE", "/mlflow/workspaces/{workspace_name}", Empty, MANAGE, delete_workspace, version="3.0"),
)
