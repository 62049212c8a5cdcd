"""What lineage needs from whoever keeps snapshots of data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class SnapshotFinder(Protocol):
    """Knows which words name a snapshot, so that a dataset that an outside client read is linked to it.

    * A word names a snapshot by its id, by its content digest (64 hex digits), or by the first 36 or 16 of them:
      digests that clients send are short, and tables are called by the first 16.
    * Words that name nothing are left out; only snapshots of `workspace` count.
    * Asking changes nothing, and is done outside of the transaction that logs the dataset.
    """

    def snapshots_named(self, workspace: str, words: Collection[str]) -> Mapping[str, str]:
        """The snapshot's id by word."""
        ...


class NoSnapshots:
    """Finds none: where no data is kept."""

    def snapshots_named(self, workspace: str, words: Collection[str]) -> Mapping[str, str]:
        """Always empty."""
        del workspace, words
        return {}
