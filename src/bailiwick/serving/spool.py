"""A worker's spool: one append-only stream a start, in segments named by the offset they begin at.

One `write` a frame puts it into the page cache, where it survives the death of the process at any point. The worker
holds a lock on its stream for as long as it lives, so that the shipper can tell a dead stream from a quiet one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.core.ids import new_id
from bailiwick.serving.frames import Definition, definition_payload, frame
from bailiwick.store import faults

SEGMENT_BYTES = 16 << 20
LOCK = "lock"


class SpoolWriter:
    """The stream of one worker. Not thread-safe: it belongs to the thread that answers requests."""

    def __init__(self, root: Path, *, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.stream = new_id()
        self.folder = root / self.stream
        self._lock = _create_stream(root, self.folder)
        self._limit = limit_bytes
        self._segment_limit = max(1, min(segment_bytes, limit_bytes // 4))
        self._offset = 0  # of the stream
        self._start = 0  # of the segment
        self._closed_bytes = 0  # in older segments, when last counted
        self._defined: set[int] = set()  # definitions in this segment
        self._torn = False
        self._file = self._open_segment()

    @property
    def pending_bytes(self) -> int:
        """Bytes on disk, as last counted."""
        return self._closed_bytes + self._offset - self._start

    def append(self, payload: bytes, definition: Definition | None = None) -> None:
        """Write one frame, after its definition where this segment lacks it; in the page cache when this returns.

        Raises LimitExceeded when more than the limit waits to be shipped, Unavailable when the disk refuses. Then
        nothing was written.
        """
        data = frame(payload)
        if definition is not None and definition.reference not in self._defined:
            data = frame(definition_payload(definition)) + data
        if self.pending_bytes + len(data) > self._limit:
            self._make_room(len(data))
        faults.reach("serving.spool.writing")
        self._write(data)
        faults.reach("serving.spool.written")
        if definition is not None:
            self._defined.add(definition.reference)
        if self._offset - self._start >= self._segment_limit:
            self._rotate()

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
            raise Unavailable(
                f"The prediction could not be recorded, so it is not answered: {reason}.", hint="Is the disk full?"
            )
        self._offset += written

    def _mend(self) -> None:
        """Cut off what is left of a write that the disk took in part: readers stop at a torn frame."""
        os.ftruncate(self._file, self._offset - self._start)
        self._torn = False

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


def segment_name(start: int) -> str:
    """Segments sort by name as by offset."""
    return f"{start:020d}.log"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """(start offset, file) of each segment of a stream, oldest first."""
    return sorted((int(path.stem), path) for path in folder.glob("*.log"))


def streams(root: Path) -> Iterator[Path]:
    """The folders of every stream, oldest first."""
    if root.is_dir():
        yield from sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def is_alive(folder: Path) -> bool:
    """Whether the stream's worker still runs; the kernel drops its lock when it dies, however it dies."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False  # a shipper died while it deleted the stream
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _create_stream(root: Path, folder: Path) -> int:
    """The stream appears under its name only once it is locked, so no shipper can take it for a dead one."""
    unborn = root / f".{folder.name}"
    try:
        unborn.mkdir(parents=True, mode=0o700)
        lock = os.open(unborn / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        unborn.rename(folder)
    except OSError as error:
        raise Unavailable(f"The spool {folder} could not be made: {error}.", hint="Is the disk full?") from error
    return lock
