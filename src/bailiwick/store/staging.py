"""Files on their way in: written aside under no name that anyone reads, hashed as they come, named only when durable.

A writer holds a lock on its file for as long as it lives, so what a killed one left behind can be told from what is
still being written, and swept away.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bailiwick.core.errors import Unavailable
from bailiwick.core.ids import new_id
from bailiwick.store.faults import reach

SYNC_EVERY_BYTES = 64 << 20


class StagedFile:
    """One file being written in `folder`. `discard` must be called in the end; after `name` it has nothing to undo."""

    def __init__(self, folder: Path, *, mode: int = 0o600) -> None:
        with _translated(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path, self._file = _opened(folder, mode)
        self._hash = hashlib.sha256()
        self._unsynced = 0
        self.size = 0
        reach("staging.opened")

    @property
    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        return self._hash.hexdigest()

    @property
    def status(self) -> os.stat_result:
        """What the file system knows of the file; renaming it changes neither its time nor its inode."""
        return os.fstat(self._file)

    def write(self, data: bytes) -> None:
        """Append. Raises Unavailable when the disk is full; then only `discard` is left to do."""
        with _translated(self.path.parent):
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
            self._hash.update(data)
            self.size += len(data)
            self._unsynced += len(data)
            if self._unsynced >= SYNC_EVERY_BYTES:  # so that the disk works meanwhile, and `seal` need not wait for all
                self._sync()
        reach("staging.written")

    def _sync(self) -> None:
        os.fdatasync(self._file)
        self._unsynced = 0

    def seal(self) -> str:
        """Make what was written survive a loss of power, and return its digest. May be called again."""
        with _translated(self.path.parent):
            os.fsync(self._file)
        reach("staging.sealed")
        return self.digest

    def name(self, target: Path) -> None:
        """Give the file its name, in place of any file that had it. Raises OSError as renaming does.

        The name survives a loss of power only after `sync_folder(target.parent)`.
        """
        self.path.replace(target)
        reach("staging.named")

    def discard(self) -> None:
        """Remove what has no name yet, and let go of the file."""
        if self._file >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def make_folder(folder: Path) -> None:
    """The folder and its parents, durably: a file in it cannot lose its way after a loss of power. Raises OSError."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, *, older_than_ms: int) -> int:
    """Remove files that writers left behind when they were killed; those of living writers stay. Returns how many."""
    removed = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime_ns // 1_000_000 <= time.time_ns() // 1_000_000 - older_than_ms:
                removed += _removed_unless_held(path)
    return removed


def _removed_unless_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink()
        return True
    finally:
        os.close(descriptor)


def _opened(folder: Path, mode: int) -> tuple[Path, int]:
    while True:
        path = folder / new_id()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:  # a sweep may have come between the two
            return path, descriptor
        os.close(descriptor)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"Nothing can be written in {folder}: {error.strerror}.", hint="Is the disk full? Nothing was stored."
        ) from error
