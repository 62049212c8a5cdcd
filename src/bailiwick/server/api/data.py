"""Dataset snapshots, as they were taken."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.data.model import Snapshot
from bailiwick.server.api.route import Call, Nothing

Name = Annotated[str, Meta(min_length=1, max_length=500)]


class SnapshotsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Snapshots of one dataset, or of all."""

    dataset: Name | None = None


class Snapshots(Struct, frozen=True):
    """Snapshots, newest first."""

    items: list[Snapshot]


def snapshots(call: Call[SnapshotsQuery, Nothing]) -> Snapshots:
    """All snapshots, or those of one dataset."""
    return Snapshots(call.platform.data.snapshots(call.workspace, call.query.dataset))


def snapshot(call: Call[Nothing, Nothing]) -> Snapshot:
    """One snapshot."""
    return call.platform.data.snapshot(call.workspace, call.path["snapshot"])
