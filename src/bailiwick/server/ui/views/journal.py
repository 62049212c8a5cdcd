"""The journal: who did what to which record, and up to where it is sealed."""

from __future__ import annotations

import json

from bailiwick.server.ui.page import Context, Visit, positive

PAGE = 50


def listing(visit: Visit) -> Context:
    """One page, newest first; filters match whole values."""
    chosen = {name: visit.query.get(name, "").strip() or None for name in ("resource", "action", "identity")}
    before = visit.query.get("before")
    found = visit.platform.journal.entries(
        visit.workspace, limit=PAGE + 1, before=positive(before, "page") if before else None, **chosen
    )
    return {
        "entries": found[:PAGE],
        "chosen": {name: value or "" for name, value in chosen.items()},
        "next": found[PAGE - 1].number if len(found) > PAGE else None,
        "later": bool(before),
        "checkpoint": visit.platform.journal.checkpoint(),
    }


def entry(visit: Visit) -> Context:
    """One entry with its detail and its place in the tree."""
    found = visit.platform.journal.entry(visit.workspace, visit.path["entry"])
    checkpoint = visit.platform.journal.checkpoint()
    sealed = checkpoint is not None and found.leaf_index is not None and found.leaf_index < checkpoint.size
    return {
        "entry": found,
        "detail": json.dumps(found.detail, indent=2, ensure_ascii=False, sort_keys=True),
        "checkpoint": checkpoint,
        "sealed": sealed,
    }
