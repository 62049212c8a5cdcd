"""The routes of dataset snapshots. Rows come in through the CLI and pipelines: the server reads no source for a caller."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.data.model import Labels, Snapshot, SnapshotComparison
from bailiwick.server.api import data, inspections
from bailiwick.server.api.route import Route

_READ = Permission.READ
_WRITE = Permission.DATA_WRITE
_ALL = "/api/v1/snapshots"
_ONE = f"{_ALL}/{{snapshot}}"
_DATASET = "/api/v1/datasets/{dataset}"

SNAPSHOT_ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, _READ, data.snapshots, "Dataset snapshots.", data.Snapshots, query=data.SnapshotsQuery),
    Route("GET", _ONE, _READ, data.snapshot, "One snapshot.", Snapshot),
    Route("GET", f"{_ONE}/labels", _READ, data.snapshot_labels, "Names and tags of a snapshot.", Labels),
    Route(
        "GET",
        f"{_ONE}/compare",
        _READ,
        data.compare_snapshots,
        "Two snapshots side by side: columns, rows, statistics.",
        SnapshotComparison,
        query=data.CompareQuery,
    ),
    Route(
        "GET",
        f"{_DATASET}/as-of",
        _READ,
        data.snapshot_as_of,
        "The newest snapshot that a dataset had at a time.",
        Snapshot,
        query=data.AsOfQuery,
    ),
    Route(
        "PUT",
        f"{_DATASET}/names/{{name}}",
        _WRITE,
        data.name_snapshot,
        "Give a snapshot a name, or move it.",
        Snapshot,
        body=data.NameSnapshot,
    ),
    Route("DELETE", f"{_DATASET}/names/{{name}}", _WRITE, data.unname_snapshot, "Take a name away.", Snapshot),
    Route("PUT", f"{_ONE}/tags/{{key}}", _WRITE, data.tag_snapshot, "Set a tag.", Labels, body=data.TagSnapshot),
    Route("DELETE", f"{_ONE}/tags/{{key}}", _WRITE, data.untag_snapshot, "Remove a tag.", Labels),
    Route(
        "POST", f"{_ONE}/delete", _WRITE, data.delete_snapshot, "Hide a snapshot.", Snapshot, body=data.DeleteSnapshot
    ),
    Route(
        "GET",
        f"{_ONE}/inspection",
        _READ,
        inspections.inspection,
        "Checks, sudden changes and alarms of a snapshot.",
        inspections.InspectedSnapshot,
    ),
    Route(
        "POST",
        f"{_ONE}/accept",
        Permission.MONITORS_WRITE,
        inspections.accept_snapshot,
        "Let a snapshot be trained on although alarms about it stand.",
        inspections.InspectedSnapshot,
        body=inspections.AcceptSnapshot,
    ),
    Route("POST", f"{_ONE}/restore", _WRITE, data.restore_snapshot, "Show a deleted snapshot again.", Snapshot),
)
