"""What a journal entry is, and which bytes of it are committed to by the tree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from bailiwick.core.canonical import canonical_json

LEAF_VERSION = 1
SHOWN = ("number", "id", "workspace", "time", "identity", "actor", "action", "resource", "detail")
"""The columns whose values are committed to; `salt` and `leaf_index` are committed to by the leaf and its place."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: who did what to which resource, when. `leaf_index` is None until it is integrated."""

    number: int
    id: str
    workspace: str
    time: int
    identity: str
    actor: str
    action: str
    resource: str
    detail: dict[str, Any]
    salt: bytes
    leaf_index: int | None = None

    def body(self) -> bytes:
        """Canonical JSON of everything a reader sees; any edit of a column changes these bytes."""
        return canonical_json({name: getattr(self, name) for name in SHOWN})

    def leaf(self) -> bytes:
        """The bytes hashed into the tree: version, id, action, time and a salted commitment to the body.

        Personal data never enters the leaf: deleting body and salt leaves a log that still verifies and says nothing.
        """
        commitment = hashlib.sha256(self.salt + self.body()).hexdigest()
        return canonical_json(
            {
                "v": LEAF_VERSION,
                "entry": self.id,
                "action": self.action,
                "time": self.time,
                "commitment": commitment,
            }
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement of the tree: after `size` entries its root hash is `root`. `note` is the C2SP signed note."""

    size: int
    root: bytes
    time: int
    note: str
