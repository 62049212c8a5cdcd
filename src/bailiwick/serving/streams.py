"""Folders of a spool: which streams there are, of what segments, and whose worker still runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bailiwick.core.errors import Unavailable

LOCK = "lock"


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


def create_stream(root: Path, folder: Path) -> int:
    """Make a stream's folder; returns the open file whose lock says that it is alive. Raises Unavailable.

    The stream appears under its name only once it is locked, so no shipper can take it for a dead one.
    """
    unborn = root / f".{folder.name}"
    try:
        unborn.mkdir(parents=True, mode=0o700)
        lock = os.open(unborn / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        unborn.rename(folder)
    except OSError as error:
        raise Unavailable(f"The spool {folder} could not be made: {error}.", hint="Is the disk full?") from error
    return lock
