"""Workspaces: the tenants of an installation, as far as whoever asks may see them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from bailiwick.security.workspaces import Workspace
from bailiwick.server.api.route import Call, Nothing

Description = Annotated[str, Meta(max_length=5000)]
Root = Annotated[str, Meta(max_length=2048)]


class Workspaces(Struct, frozen=True):
    """All for who may manage them, else the one they are in."""

    items: list[Workspace]


class NewWorkspace(Struct, frozen=True, forbid_unknown_fields=True):
    """2 to 63 of a-z 0-9 and inner hyphens; `artifact_root` is where its artifacts go, the server's own if left out."""

    name: Annotated[str, Meta(min_length=2, max_length=63)]
    description: Description = ""
    artifact_root: Root = ""


class ChangeWorkspace(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed."""

    description: Description | None = None
    artifact_root: Root | None = None


class DeleteQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether its identities go with it; otherwise they keep it."""

    identities: bool = False


def workspaces(call: Call[Nothing, Nothing]) -> Workspaces:
    """Workspaces by name."""
    return Workspaces(call.platform.workspaces.visible_to(call.actor))


def workspace(call: Call[Nothing, Nothing]) -> Workspace:
    """One of those that may be seen."""
    return call.platform.workspaces.seen_by(call.actor, call.path["name"])


def create_workspace(call: Call[Nothing, NewWorkspace]) -> Workspace:
    """A new workspace."""
    wanted = call.body
    return call.platform.workspaces.create(
        call.actor, wanted.name, description=wanted.description, artifact_root=wanted.artifact_root
    )


def change_workspace(call: Call[Nothing, ChangeWorkspace]) -> Workspace:
    """Change what is given."""
    wanted = call.body
    return call.platform.workspaces.update(
        call.actor, call.path["name"], description=wanted.description, artifact_root=wanted.artifact_root
    )


def delete_workspace(call: Call[DeleteQuery, Nothing]) -> Response:
    """Remove one that holds nothing, or nothing but identities."""
    call.platform.workspaces.delete(call.actor, call.path["name"], identities=call.query.identities)
    return Response(status_code=204)
