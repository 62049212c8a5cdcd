"""Appending an entry: one INSERT in the transaction of the change it tells of."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, insert

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import LimitExceeded
from bailiwick.core.ids import new_id
from bailiwick.store.journal.tables import entries

MAX_DETAIL_BYTES = 65_536


def append_entry(
    connection: Connection, actor: Actor, time: int, action: str, resource: str, detail: dict[str, Any]
) -> str:
    """Insert the entry and return its id. Raises LimitExceeded when `detail` is over 64 KiB of canonical JSON."""
    encoded = canonical_json(detail)
    if len(encoded) > MAX_DETAIL_BYTES:
        raise LimitExceeded(
            f"A journal entry's detail is at most {MAX_DETAIL_BYTES} bytes; {action} has {len(encoded)}."
        )
    entry_id = new_id()
    connection.execute(
        insert(entries).values(
            id=entry_id,
            workspace=actor.workspace,
            time=time,
            identity=actor.identity,
            actor=actor.name,
            action=action,
            resource=resource,
            detail=encoded.decode(),
            salt=secrets.token_bytes(16),
        )
    )
    return entry_id
