"""Appending entries: one INSERT in the transaction of the changes they tell of."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import LimitExceeded
from bailiwick.core.ids import new_id
from bailiwick.store.journal.tables import entries
from bailiwick.store.prepared import Prepared

MAX_DETAIL_BYTES = 65_536

_ENTRY = ("id", "workspace", "time", "identity", "actor", "action", "resource", "detail", "salt")
_INSERT = Prepared(insert(entries), _ENTRY)


def new_entry(actor: Actor, time: int, action: str, resource: str, detail: dict[str, Any]) -> dict[str, Any]:
    """The row of a new entry. Raises LimitExceeded when `detail` is over 64 KiB of canonical JSON."""
    encoded = canonical_json(detail)
    if len(encoded) > MAX_DETAIL_BYTES:
        raise LimitExceeded(
            f"A journal entry's detail is at most {MAX_DETAIL_BYTES} bytes; {action} has {len(encoded)}."
        )
    return {
        "id": new_id(),
        "workspace": actor.workspace,
        "time": time,
        "identity": actor.identity,
        "actor": actor.name,
        "action": action,
        "resource": resource,
        "detail": encoded.decode(),
        "salt": secrets.token_bytes(16),
    }


def append_entries(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of `new_entry`, in their order."""
    _INSERT.run(connection, *rows)
