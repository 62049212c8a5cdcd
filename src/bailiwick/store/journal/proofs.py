"""A proof bundle: one entry, its salt, its place and the signed checkpoint; checkable anywhere with the vkey alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bailiwick.core.errors import BailiwickError, Conflict, Corrupted, NotFound
from bailiwick.store.database import Database
from bailiwick.store.journal.checkpoint import read_checkpoint
from bailiwick.store.journal.finding import row_of
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.merkle import leaf_hash, verify_inclusion
from bailiwick.store.journal.model import Entry
from bailiwick.store.journal.reader import entry_of
from bailiwick.store.journal.signer import Verifier
from bailiwick.store.journal.stored_tree import StoredTree
from bailiwick.store.journal.tables import entries

FORMAT = 1


def prove(database: Database, folder: Path, entry_id: str, *, workspace: str | None = None) -> dict[str, Any]:
    """The bundle of one entry, as JSON. Raises NotFound, Conflict while the entry waits for its place, Corrupted."""
    here = [] if workspace is None else [entries.c.workspace == workspace]
    with database.read() as connection:
        row = row_of(connection, entry_id, *here)
    if row is None:
        raise NotFound.of("Journal entry", entry_id)
    entry = entry_of(row)
    files = LogFolder(folder)
    note = files.checkpoint()
    size = 0 if note is None else _claimed_size(note)
    if note is None or entry.leaf_index is None or entry.leaf_index >= size:
        raise Conflict(f"Journal entry {entry_id} is not in the published tree yet.", hint="Try again in a moment.")
    return {
        "format": FORMAT,
        "entry": json.loads(entry.body()),
        "salt": base64.b64encode(entry.salt).decode(),
        "index": entry.leaf_index,
        "proof": [
            base64.b64encode(node).decode() for node in StoredTree(files, size).inclusion_proof(entry.leaf_index)
        ],
        "checkpoint": note,
    }


def check_proof(bundle: Mapping[str, Any], vkey: str) -> Entry:
    """The entry that the bundle proves to be in the log signed by `vkey`. Raises Corrupted saying what does not fit."""
    verifier = Verifier.parse(vkey)
    try:
        entry = Entry(
            **bundle["entry"], salt=base64.b64decode(bundle["salt"], validate=True), leaf_index=int(bundle["index"])
        )
        proof = [base64.b64decode(node, validate=True) for node in bundle["proof"]]
        hashed = leaf_hash(entry.leaf())
        statement = read_checkpoint(str(bundle["checkpoint"]), verifier)
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupted(f"The proof is malformed: {type(error).__name__}: {error}.") from error
    except BailiwickError as error:
        raise Corrupted(error.message) from error
    if not verify_inclusion(entry.leaf_index or 0, statement.size, hashed, proof, statement.root):
        raise Corrupted(f"The proof does not show entry {entry.id} to be in the log: one of them was changed.")
    return entry


def _claimed_size(note: str) -> int:
    lines = note.split("\n")
    if len(lines) < 3 or not lines[1].isdigit():
        raise Corrupted("The checkpoint is malformed.")
    return int(lines[1])
