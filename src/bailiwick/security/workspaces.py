"""Workspaces: the tenants that every record belongs to. `default` is always there."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.security.service import LOCAL, removed, told
from bailiwick.security.tables import identities as identities_table
from bailiwick.security.tables import tokens, workspaces
from bailiwick.store.database import metadata
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records

DEFAULT = "default"
MAX_DESCRIPTION_LENGTH = 5_000
MAX_ROOT_LENGTH = 2_048
KNOWN_SECONDS = 2.0
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])")
_RESERVED = frozenset({"workspaces", "api", "ajax-api", "static-files"})

MANAGE = Permission.WORKSPACES_MANAGE


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant. `artifact_root` is where its artifacts go by default; empty means where the server keeps its own."""

    name: str
    description: str
    artifact_root: str
    created: int
    updated: int
    created_by: str


class WorkspaceService:
    """Managed from workspace `default`, or by the user of this machine: nobody else's rights reach past their own workspace."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[str, float] = {}

    def require(self, name: str) -> str:
        """The name, if there is such a workspace. Raises NotFound saying how to make it.

        That one exists is remembered for two seconds: it is asked with every request.
        """
        if self.remembers(name):
            return name
        with self._records.read() as connection:
            if _find(connection, name) is None:
                raise _missing(connection, name)
        self._known[name] = time.monotonic() + KNOWN_SECONDS
        return name

    def remembers(self, name: str) -> bool:
        """Whether `require` knows that one without looking."""
        return name == DEFAULT or self._known.get(name, 0.0) > time.monotonic()

    def create(self, actor: Actor, name: str, *, description: str = "", artifact_root: str = "") -> Workspace:
        """Raises AlreadyExists, InvalidInput for a name that cannot be one."""
        _require_installation(actor)
        values = {
            "name": check_workspace_name(name),
            "description": _checked("A workspace's description", description, MAX_DESCRIPTION_LENGTH),
            "artifact_root": _checked("An artifact root", artifact_root, MAX_ROOT_LENGTH),
        }
        try:
            with self._records.change(actor, MANAGE) as change:
                made = Workspace(**values, created=change.time, updated=change.time, created_by=actor.identity)
                row = {field: getattr(made, field) for field in Workspace.__slots__}
                change.execute(insert(workspaces).values(row))
                change.record("workspace.created", f"workspace/{name}")
        except IntegrityError:
            raise AlreadyExists(f"Workspace {name!r} already exists.", hint="Choose another name.") from None
        return made

    def update(
        self, actor: Actor, name: str, *, description: str | None = None, artifact_root: str | None = None
    ) -> Workspace:
        """Change what is given. Raises NotFound."""
        _require_installation(actor)
        values: dict[str, Any] = {}
        if description is not None:
            values["description"] = _checked("A workspace's description", description, MAX_DESCRIPTION_LENGTH)
        if artifact_root is not None:
            values["artifact_root"] = _checked("An artifact root", artifact_root, MAX_ROOT_LENGTH)
        if not values:
            return self.workspace(name)
        with self._records.change(actor, MANAGE) as change:
            here = workspaces.c.name == name
            if not change.execute(update(workspaces).where(here).values(**values, updated=change.time)).rowcount:
                raise _missing(change.connection, name)
            change.record("workspace.updated", f"workspace/{name}", changed=sorted(values))
        return self.workspace(name)

    def delete(self, actor: Actor, name: str, *, identities: bool = False) -> None:
        """Remove a workspace that holds nothing, or with `identities` nothing but those, which go with their tokens.

        Its journal entries stay. Raises NotFound, Conflict naming what it holds, or for `default`.
        """
        _require_installation(actor)
        if identities:
            actor.require(Permission.IDENTITIES_MANAGE)
        if name == DEFAULT:
            raise Conflict(f"The workspace {DEFAULT!r} cannot be deleted.")
        with self._records.change(actor, MANAGE) as change:
            if not change.execute(delete(workspaces).where(workspaces.c.name == name)).rowcount:
                raise _missing(change.connection, name)
            for gone, held in removed(change, name) if identities else ():
                detail = {"identity": gone.name, **told(gone), "tokens": held}
                change.record("identity.removed", f"workspace/{name}", **detail)
            held_there = _held(change.connection, name)
            if held_there:
                raise Conflict(
                    f"Workspace {name!r} still contains records: {', '.join(held_there)}.", hint=_hint(name, held_there)
                )
            change.record("workspace.deleted", f"workspace/{name}")
        self._known.pop(name, None)

    def workspace(self, name: str) -> Workspace:
        """Raises NotFound."""
        with self._records.read() as connection:
            found = _find(connection, name)
            if found is None:
                raise _missing(connection, name)
        return found

    def artifact_root(self, name: str) -> str:
        """Where it keeps artifacts, if it has a place of its own; "" also for a workspace that is none."""
        with self._records.read() as connection:
            return artifact_root_of(connection, name)

    def workspaces(self, *, limit: int = 1_000, after: str = "") -> list[Workspace]:
        """By name; pass the last name as `after` for the next page."""
        query = select(workspaces).where(workspaces.c.name > after).order_by(workspaces.c.name).limit(max(0, limit))
        with self._records.read() as connection:
            return [Workspace(**row) for row in connection.execute(query).mappings()]

    def visible_to(self, actor: Actor) -> list[Workspace]:
        """All for who may manage them; otherwise the one the actor acts in."""
        return self.workspaces() if _rules_installation(actor) else [self.workspace(actor.workspace)]

    def seen_by(self, actor: Actor, name: str) -> Workspace:
        """One of those; any other reads as missing. Raises NotFound."""
        if name != actor.workspace and not _rules_installation(actor):
            raise NotFound.of("Workspace", name)
        return self.workspace(name)


def artifact_root_of(connection: Connection, name: str) -> str:
    """The artifact root of a workspace, "" where it has none; for those who make records in a transaction of their own."""
    return connection.scalar(select(workspaces.c.artifact_root).where(workspaces.c.name == name)) or ""


def check_workspace_name(name: str) -> str:
    """Raises InvalidInput unless it is 2 to 63 of a-z 0-9 and inner hyphens, as MLflow and Kubernetes want them."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise InvalidInput(
            f"Workspace name {name[:100]!r} cannot be used: 2 to 63 of a-z 0-9 and hyphens, no hyphen at either end, and "
            f"none of {', '.join(sorted(_RESERVED))}."
        )
    return name


def _rules_installation(actor: Actor) -> bool:
    return MANAGE in actor.permissions and (actor.workspace == DEFAULT or actor.identity == LOCAL)


def _require_installation(actor: Actor) -> None:
    actor.require(MANAGE)
    if not _rules_installation(actor):
        raise NotAllowed(
            f"{actor.name} may not manage workspaces: only an administrator of workspace {DEFAULT!r} may.",
            hint="Ask one of them.",
        )


def _find(connection: Connection, name: str) -> Workspace | None:
    row = connection.execute(select(workspaces).where(workspaces.c.name == name)).mappings().one_or_none()
    return None if row is None else Workspace(**row)


def _missing(connection: Connection, name: str) -> NotFound:
    known = connection.execute(select(workspaces.c.name).order_by(workspaces.c.name).limit(100)).scalars().all()
    error = NotFound.of("Workspace", name, known)
    hint = error.hint or f"Make it: bailiwick --workspace {DEFAULT} workspaces create {name}"
    return NotFound(error.message, hint=hint)


def _held(connection: Connection, name: str) -> list[str]:
    """Tables that have rows of the workspace: whatever declares a `workspace`, so that no domain can be forgotten."""
    return [
        table.name
        for table in metadata.sorted_tables
        if "workspace" in table.c
        and table is not entries
        and connection.execute(select(exists().where(table.c.workspace == name))).scalar()
    ]


def _hint(name: str, held: list[str]) -> str:
    if not set(held) <= {table.name for table in (identities_table, tokens)}:
        return "Delete or move them first."
    return (
        f"`bailiwick workspaces delete {name} --identities` removes its identities with it; "
        f"`bailiwick --workspace {name} users remove NAME` removes one."
    )


def _checked(what: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise LimitExceeded(f"{what} has at most {limit} characters; this one has {len(text)}.")
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise InvalidInput(f"{what} holds a NUL or half of a surrogate pair, which cannot be stored as text.")
    return text
