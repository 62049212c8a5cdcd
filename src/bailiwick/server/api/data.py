"""Dataset snapshots, as they were taken."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.core.errors import InvalidInput
from bailiwick.data.model import Labels, Snapshot, SnapshotComparison
from bailiwick.server.api.route import Call, Nothing

Name = Annotated[str, Meta(min_length=1, max_length=500)]


class SnapshotsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Snapshots of one dataset, or of all."""

    dataset: Name | None = None


class AsOfQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A moment in UTC milliseconds."""

    time: int


class CompareQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The other snapshot's id."""

    other: Name


class NameSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """The id of the snapshot that is to have the name; with `move` false, one that another has is refused."""

    snapshot: Name
    move: bool = True


class TagSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """The tag's value."""

    value: Annotated[str, Meta(max_length=5_000)]


class DeleteSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """Why, for the journal."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class Snapshots(Struct, frozen=True):
    """Snapshots, newest first."""

    items: list[Snapshot]


def snapshots(call: Call[SnapshotsQuery, Nothing]) -> Snapshots:
    """All snapshots, or those of one dataset."""
    return Snapshots(call.platform.data.snapshots(call.workspace, call.query.dataset))


def snapshot(call: Call[Nothing, Nothing]) -> Snapshot:
    """One snapshot."""
    return call.platform.data.snapshot(call.workspace, call.path["snapshot"])


def snapshot_labels(call: Call[Nothing, Nothing]) -> Labels:
    """Names and tags."""
    found = call.platform.data.snapshot(call.workspace, call.path["snapshot"])
    return call.platform.data.labels(call.workspace, found.id)


def snapshot_as_of(call: Call[AsOfQuery, Nothing]) -> Snapshot:
    """The newest snapshot that a dataset had then."""
    return call.platform.data.as_of(call.workspace, call.path["dataset"], call.query.time)


def compare_snapshots(call: Call[CompareQuery, Nothing]) -> SnapshotComparison:
    """Two snapshots side by side."""
    return call.platform.data.compare(call.workspace, call.path["snapshot"], call.query.other)


def name_snapshot(call: Call[Nothing, NameSnapshot]) -> Snapshot:
    """Give a snapshot of the dataset a name."""
    found = call.platform.data.snapshot(call.workspace, call.body.snapshot)
    if found.dataset != call.path["dataset"]:
        raise InvalidInput(f"Snapshot {found.id} is of dataset {found.dataset!r}, not {call.path['dataset']!r}.")
    return call.platform.data.name_snapshot(call.actor, found.id, call.path["name"], move=call.body.move)


def unname_snapshot(call: Call[Nothing, Nothing]) -> Snapshot:
    """Take a name away from the snapshot that has it."""
    return call.platform.data.unname_snapshot(call.actor, call.path["dataset"], call.path["name"])


def tag_snapshot(call: Call[Nothing, TagSnapshot]) -> Labels:
    """Set a tag."""
    call.platform.data.tag_snapshot(call.actor, call.path["snapshot"], call.path["key"], call.body.value)
    return call.platform.data.labels(call.workspace, call.path["snapshot"])


def untag_snapshot(call: Call[Nothing, Nothing]) -> Labels:
    """Remove a tag."""
    call.platform.data.tag_snapshot(call.actor, call.path["snapshot"], call.path["key"], None)
    return call.platform.data.labels(call.workspace, call.path["snapshot"])


def delete_snapshot(call: Call[Nothing, DeleteSnapshot]) -> Snapshot:
    """Hide a snapshot."""
    return call.platform.data.delete_snapshot(call.actor, call.path["snapshot"], reason=call.body.reason)


def restore_snapshot(call: Call[Nothing, Nothing]) -> Snapshot:
    """Show a deleted snapshot again."""
    return call.platform.data.restore_snapshot(call.actor, call.path["snapshot"])
