"""Words for a change that verification found: which entry, and whether it was changed, deleted, inserted or moved."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, select

from bailiwick.core.clock import to_text
from bailiwick.store.journal.published import PublishedFiles
from bailiwick.store.journal.tables import entries


def describe_row(row: Row[Any]) -> str:
    """`entry 12 (<id>, <time>, model.registered, model/late)` as the row says now."""
    return f"entry {row.number} ({row.id}, {_moment(row.time)}, {row.action}, {row.resource})"


def describe_change(connection: Connection, files: PublishedFiles, place: int) -> str:
    """What happened at `place`, told from the row there now and the leaf that was published there."""
    row = _row(connection, entries.c.leaf_index == place)
    original = _published_leaf(files, place)
    if original is None:
        return f"{describe_row(row)} was changed" if row else f"the entry at place {place} was deleted"
    if row is not None and row.id == original["entry"]:
        return f"{describe_row(row)} was changed"
    moved = _row(connection, entries.c.id == original["entry"])  # read one by one: its place may be gone as well
    unknown = row is not None and not _was_published(files, row.id)
    if moved is None:
        replaced = f" and {describe_row(row)} put in its place" if row is not None and unknown else ""
        return f"{_describe_leaf(original, place)} was deleted{replaced}"
    if row is not None and unknown:
        return f"{describe_row(row)} was inserted at place {place}"
    where = "nowhere" if moved.leaf_index is None else f"at place {moved.leaf_index}"
    return f"{describe_row(moved)} was moved from place {place}: it is now {where}"


def _row(connection: Connection, condition: Any) -> Row[Any] | None:
    return connection.execute(select(entries).where(condition).limit(1)).one_or_none()


def _published_leaf(files: PublishedFiles, place: int) -> dict[str, Any] | None:
    leaf = files.leaf_at(place)
    try:
        found = None if leaf is None else json.loads(leaf)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "entry" in found else None


def _was_published(files: PublishedFiles, entry_id: str) -> bool:
    for place in range(files.size):
        leaf = _published_leaf(files, place)
        if leaf is not None and leaf["entry"] == entry_id:
            return True
    return False


def _describe_leaf(leaf: dict[str, Any], place: int) -> str:
    action = leaf.get("action", "unknown action")
    return f"the entry at place {place} ({leaf['entry']}, {_moment(leaf.get('time'))}, {action})"


def _moment(time: object) -> str:
    try:
        return to_text(time) if isinstance(time, int) else repr(time)
    except (OverflowError, ValueError):
        return repr(time)
