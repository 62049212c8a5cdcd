"""Spools of workers on other machines, as they arrive at the control plane: from here on they are shipped like its own.

What has been taken is on disk. A part that comes again, because its sender did not hear of it, changes nothing.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded, Unavailable
from bailiwick.serving.streams import create_stream, is_alive, segment_name

MOST_STREAMS = 4096

_STREAM = re.compile(r"[0-9a-f]{32}")


class SpoolInbox:
    """Holds the lock of each stream that is arriving, as its worker would here. `root_of` says where a workspace spools."""

    def __init__(self, root_of: Callable[[str], Path], *, limit_bytes: int) -> None:
        self._root_of = root_of
        self._limit = limit_bytes
        self._locks: dict[tuple[str, str], int] = {}
        self._mutex = threading.Lock()

    def take(self, workspace: str, stream: str, start: int, *, begins: int, data: bytes) -> int:
        """Bytes of the segment at `start` that are here, with `data` if it continues them; `begins` is its place there.

        Raises InvalidInput for what is no stream, Conflict for one of this machine, LimitExceeded when too much waits,
        Unavailable while what came before the control plane was restarted is being put away, or the disk refuses.
        """
        if not _STREAM.fullmatch(stream) or not 0 <= start < 1 << 63 or begins < 0:
            raise InvalidInput(f"{stream[:80]!r}, {start} and {begins} are not a stream, a segment and a place in it.")
        with self._mutex:
            folder = self._root_of(workspace) / stream
            self._hold(workspace, folder)
            path = folder / segment_name(start)
            held = path.stat().st_size if path.exists() else 0
            if not begins <= held < begins + len(data):
                return held
            if sum(each.stat().st_size for each in folder.glob("*.log")) + len(data) > self._limit:
                raise LimitExceeded(
                    f"More than {self._limit} bytes of predictions of {stream} wait to be shipped.",
                    hint="Is a work process running? Retry when it has caught up.",
                )
            return held + _append(path, held, data[held - begins :])

    def finish(self, workspace: str, stream: str) -> None:
        """The worker has ended and everything of it is here; it is put away once it is shipped."""
        with self._mutex:
            lock = self._locks.pop((workspace, stream), None)
            if lock is not None:
                os.close(lock)

    def close(self) -> None:
        """Let go of all; their senders begin their last segment anew."""
        with self._mutex:
            for lock in self._locks.values():
                os.close(lock)
            self._locks.clear()

    def _hold(self, workspace: str, folder: Path) -> None:
        key = (workspace, folder.name)
        if key in self._locks:
            return
        if folder.exists():
            if is_alive(folder):
                raise Conflict(f"Stream {folder.name} is one of this machine, which ships it itself.")
            raise Unavailable(f"What came of stream {folder.name} before is being put away.", hint="Is `work` running?")
        if len(self._locks) >= MOST_STREAMS:
            raise LimitExceeded(f"{MOST_STREAMS} workers send predictions; no more are taken.")
        self._locks[key] = create_stream(folder.parent, folder)


def _append(path: Path, held: int, data: bytes) -> int:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            written = os.pwrite(file, data, held)
        finally:
            os.close(file)
    except OSError as error:
        raise Unavailable(f"Predictions cannot be taken: {error}.", hint="Is the disk full?") from error
    return written
