"""The events of one format, of every workspace, as lines of a file; from the beginning of the journal on.

Lines are on disk before the cursor passes the entries they tell of: a crash in between repeats lines, word for word,
and loses none.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.errors import Unavailable
from bailiwick.store import faults
from bailiwick.store.database import Database
from bailiwick.store.journal.sequencer import placed_entries
from bailiwick.store.journal.tables import checkpoints
from bailiwick.webhooks.ports import EventFormat
from bailiwick.webhooks.tables import cursors

BATCH = 500


class FileSink:
    """Appends; may be moved away at any time, as log rotation does. One process at a time, under the outbox's lease."""

    def __init__(self, database: Database, told_in: EventFormat, path: Path) -> None:
        self._database = database
        self._format = told_in
        self._path = path
        self._cursor = f"file:{told_in.name}"

    def collect(self) -> int:
        """Write the events of the next entries; returns how many entries were passed. Raises Unavailable."""
        with self._database.read() as connection:
            size = connection.scalar(select(func.max(checkpoints.c.size))) or 0
            begun = connection.scalar(select(cursors.c.position).where(cursors.c.name == self._cursor))
        start = begun or 0
        end = min(start + BATCH, size)
        if end <= start:
            return 0
        lines = [
            announcement.body + "\n"
            for batch in placed_entries(self._database, start, end)
            for entry in batch
            for announcement in self._format.announce(entry)
        ]
        faults.reach("webhooks.file.writing")
        if lines:
            self._append("".join(lines).encode())
        faults.reach("webhooks.file.written")
        return end - start if self._advance(begun, end) else 0

    def _append(self, data: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                _drop_torn_line(file.fileno())
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be appended to: {error.strerror}.") from error

    def _advance(self, begun: int | None, position: int) -> bool:
        try:
            with self._database.write() as connection:
                if begun is None:
                    connection.execute(insert(cursors).values(name=self._cursor, position=position))
                    return True
                here = (cursors.c.name == self._cursor, cursors.c.position == begun)
                return bool(connection.execute(update(cursors).where(*here).values(position=position)).rowcount)
        except IntegrityError:
            return False


def _drop_torn_line(descriptor: int) -> None:
    """Cut off what a process that died in mid-write left behind the last whole line."""
    size = os.fstat(descriptor).st_size
    keep = size
    while keep and os.pread(descriptor, 1, keep - 1) != b"\n":
        chunk_start = max(0, keep - 4096)
        found = os.pread(descriptor, keep - chunk_start, chunk_start).rfind(b"\n")
        keep = chunk_start + found + 1 if found >= 0 else chunk_start
    if keep < size:
        os.ftruncate(descriptor, keep)
