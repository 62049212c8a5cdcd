"""What a snapshot was made from, kept as a blob: files with their digests, how they were read, how far, and after what."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from bailiwick.data.digest import Digested
from bailiwick.data.sources import FileMark, SourceOptions


class Origin(Struct, frozen=True, omit_defaults=True):
    """`files` are those that were read, of all snapshots that this one goes on from; `columns` those that were chosen.

    `counted` is the blob of what was counted of all rows, which later ones are added to (see `statistics.packing`); "" where
    it was not kept. `digested` is how far the digest of all rows got, which that of more goes on from; `time_column` the
    one that the snapshot's range of time is of. `start` and `end` bound the event times (UTC milliseconds) of rows that
    stay on an engine.
    """

    source: str
    files: tuple[FileMark, ...] = ()
    options: SourceOptions | None = None
    columns: tuple[str, ...] = ()
    after: str = ""
    watermark_column: str = ""
    watermark: Any = None
    counted: str = ""
    digested: Digested | None = None
    time_column: str = ""
    start: int | None = None
    end: int | None = None

    def to_json(self) -> bytes:
        """The blob's bytes."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(data: bytes) -> Origin:
        """Back from the blob."""
        return msgspec.json.decode(data, type=Origin)
