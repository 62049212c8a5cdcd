"""A worker's spool: one append-only stream a start, in segments named by the offset they begin at.

One `write` a frame puts it into the page cache, where it survives the death of the process at any point. The worker
holds a lock on its stream for as long as it lives, so that the shipper can tell a dead stream from a quiet one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.serving.frames import Definition, definition_payload, frame
from bailiwick.serving.streams import LOCK, create_stream, segment_name
from bailiwick.store import faults

SEGMENT_BYTES = 16 << 20
SEGMENT_SECONDS = 60.0
"""How old a segment gets that has something in it: what is shipped of it is still on the disk, also what is hashed in the log."""


class SpoolWriter:
    """The stream of one worker. Not thread-safe: it belongs to the thread that answers requests."""

    def __init__(self, root: Path, *, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.stream = new_id()
        self.folder = root / self.stream
        self._lock = create_stream(root, self.folder)
        self._limit = limit_bytes
        self._segment_limit = max(1, min(segment_bytes, limit_bytes // 4))
        self._offset = 0  # of the stream
        self._start = 0  # of the segment
        self._closed_bytes = 0  # in older segments, when last counted
        self._defined: set[int] = set()  # definitions in this segment
        self._begun = 0.0  # when the first frame was found in this segment
        self._torn = False
        self._file = self._open_segment()

    @property
    def pending_bytes(self) -> int:
        """Bytes on disk, as last counted."""
        return self._closed_bytes + self._offset - self._start

    @property
    def half_full(self) -> bool:
        """Whether half of what may wait does: what nobody needs is then better left out."""
        return self.pending_bytes * 2 >= self._limit

    def append(self, payload: bytes, definition: Definition | None = None) -> None:
        """Write one frame, after its definition where this segment lacks it; in the page cache when this returns.

        Raises LimitExceeded when more than the limit waits to be shipped, Unavailable when the disk refuses. Then
        nothing was written.
        """
        data = frame(payload)
        if definition is not None and definition.reference not in self._defined:
            data = frame(definition_payload(definition)) + data
        self._append(data)
        if definition is not None:
            self._defined.add(definition.reference)
        if self._offset - self._start >= self._segment_limit:
            self._rotate()

    def append_many(self, payloads: Sequence[tuple[bytes, Definition]]) -> None:
        """`append` for each, in one write: all are kept, or none. Raises the same."""
        parts: list[bytes] = []
        defined: set[int] = set()
        for payload, definition in payloads:
            reference = definition.reference
            if reference not in self._defined and reference not in defined:
                parts.append(frame(definition_payload(definition)))
                defined.add(reference)
            parts.append(frame(payload))
        if not parts:
            return
        self._append(b"".join(parts))
        self._defined |= defined
        if self._offset - self._start >= self._segment_limit:
            self._rotate()

    def _append(self, data: bytes) -> None:
        if self.pending_bytes + len(data) > self._limit:
            self._make_room(len(data))
        faults.reach("serving.spool.writing")
        self._write(data)
        faults.reach("serving.spool.written")

    def tick(self, now: float) -> None:
        """Called once a second with the monotonic time: begin a new segment where this one has become old."""
        if self._offset == self._start:
            self._begun = 0.0
        elif not self._begun:
            self._begun = now
        elif now - self._begun >= SEGMENT_SECONDS:
            self._begun = 0.0
            self._leave()

    def has_room(self) -> bool:
        """Whether the next prediction would be taken; recounts when it looks full."""
        if self.pending_bytes >= self._limit:
            self._closed_bytes = self._count_closed()
        return self.pending_bytes < self._limit

    def close(self) -> None:
        """Let go of the stream: what it holds is shipped, then it is deleted."""
        os.close(self._file)
        os.close(self._lock)

    def _make_room(self, needed: int) -> None:
        self._closed_bytes = self._count_closed()
        if self.pending_bytes + needed > self._limit:
            raise LimitExceeded(
                f"{self.pending_bytes} bytes of predictions wait to be shipped; the limit is {self._limit}.",
                hint="Is a work process running? Retry when it has caught up.",
            )

    def _write(self, data: bytes) -> None:
        written, reason = 0, "the disk took only a part of it"
        try:
            if self._torn:
                self._mend()
            written = os.write(self._file, data)
        except OSError as error:
            reason = str(error)
        if written != len(data):
            self._torn = self._torn or written > 0
            self._leave()
            raise Unavailable(
                f"The prediction could not be recorded, so it is not answered: {reason}.", hint="Is the disk full?"
            )
        self._offset += written

    def _mend(self) -> None:
        """Cut off what is left of a write that the disk took in part: readers stop at a torn frame."""
        os.ftruncate(self._file, self._offset - self._start)
        self._torn = False

    def _leave(self) -> None:
        """Go on in a segment of its own, so that the full disk gets back what this one takes once it is shipped."""
        if self._offset == self._start:
            return
        try:
            if self._torn:
                self._mend()
        except OSError:
            return
        self._rotate()

    def _rotate(self) -> None:
        try:
            old, self._file = self._file, self._open_segment()
        except OSError:
            return  # no room for a new file: the old one goes on
        os.close(old)
        self._start = self._offset
        self._closed_bytes = self._count_closed()
        self._defined.clear()

    def _open_segment(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.open(self.folder / segment_name(self._offset), flags, 0o600)

    def _count_closed(self) -> int:
        current = segment_name(self._start)
        total = 0
        for entry in os.scandir(self.folder):
            if entry.name not in {current, LOCK}:
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:
                    continue
        return total
