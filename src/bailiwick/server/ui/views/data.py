"""Dataset snapshots: what is in them, where they came from, who read them."""

from __future__ import annotations

from bailiwick.server.ui.page import Context, Visit


def listing(visit: Visit) -> Context:
    """Snapshots by dataset."""
    dataset = visit.query.get("dataset") or None
    return {
        "snapshots": visit.platform.data.snapshots(visit.workspace, dataset),
        "datasets": visit.platform.data.datasets(visit.workspace),
        "dataset": dataset,
    }


def snapshot(visit: Visit) -> Context:
    """One snapshot and the training runs that read it."""
    found = visit.platform.data.snapshot(visit.workspace, visit.path["snapshot"])
    return {
        "snapshot": found,
        "labels": visit.platform.data.labels(visit.workspace, found.id),
        "readers": visit.platform.tracking.runs_of_snapshot(visit.workspace, found.id),
    }
