"""The journal of a workspace, and the signed checkpoint it is verified against."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from bailiwick.core.errors import NotFound
from bailiwick.server.api.route import Call, Nothing
from bailiwick.store.journal.model import Checkpoint, Entry

Filter = Annotated[str, Meta(min_length=1, max_length=600)]


class EntriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters match whole values; `before` is the `next` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    before: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    resource: Filter | None = None
    action: Filter | None = None
    identity: Filter | None = None


class EntryView(Struct, frozen=True):
    """One change. `leaf_index` is its place in the tree, null until it is integrated."""

    number: int
    id: str
    workspace: str
    time: int
    identity: str
    actor: str
    action: str
    resource: str
    detail: dict[str, Any]
    leaf_index: int | None


class Entries(Struct, frozen=True):
    """Entries, newest first; `next` is null at the end."""

    items: list[EntryView]
    next: int | None


class CheckpointView(Struct, frozen=True):
    """After `size` entries the tree has this root (hex); `note` is the signed note to keep elsewhere."""

    size: int
    root: str
    time: int
    note: str


def entries(call: Call[EntriesQuery, Nothing]) -> Entries:
    """One page of the journal."""
    asked = call.query
    found = call.platform.journal.entries(
        call.workspace,
        limit=asked.limit,
        before=asked.before,
        resource=asked.resource,
        action=asked.action,
        identity=asked.identity,
    )
    return Entries([view(entry) for entry in found], found[-1].number if len(found) == asked.limit else None)


def entry(call: Call[Nothing, Nothing]) -> EntryView:
    """One entry."""
    return view(call.platform.journal.entry(call.workspace, call.path["entry"]))


def checkpoint(call: Call[Nothing, Nothing]) -> CheckpointView:
    """The newest signed checkpoint. Raises NotFound before the first."""
    found: Checkpoint | None = call.platform.journal.checkpoint()
    if found is None:
        raise NotFound(
            "There is no checkpoint yet.", hint="`bailiwick work` makes one within seconds of the first entry."
        )
    return CheckpointView(found.size, found.root.hex(), found.time, found.note)


def view(entry: Entry) -> EntryView:
    """What a reader is shown of an entry: all but the salt that commits to it."""
    return EntryView(
        number=entry.number,
        id=entry.id,
        workspace=entry.workspace,
        time=entry.time,
        identity=entry.identity,
        actor=entry.actor,
        action=entry.action,
        resource=entry.resource,
        detail=entry.detail,
        leaf_index=entry.leaf_index,
    )
