"""The text of a checkpoint: origin, size and root, one a line. https://c2sp.org/tlog-checkpoint"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from bailiwick.core.errors import Corrupted
from bailiwick.store.journal.merkle import HASH_BYTES
from bailiwick.store.journal.signer import Verifier


@dataclass(frozen=True, slots=True)
class Statement:
    """What a checkpoint says: the log `origin` has `size` entries and then the root hash `root`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def read_checkpoint(note: str, verifier: Verifier) -> Statement:
    """The statement of a checkpoint that `verifier` signed. Raises Corrupted."""
    lines = verifier.open(note).split("\n")
    try:
        origin, size, encoded = lines[:3]
        root = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Corrupted("The checkpoint is malformed.") from None
    if not size.isascii() or not size.isdigit() or len(root) != HASH_BYTES or origin != verifier.name:
        raise Corrupted("The checkpoint is malformed.")
    return Statement(origin, int(size), root)
