"""The folder of a published log: tiles, bundles of leaves and the signed checkpoint, as static files anyone can copy."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bailiwick.core.errors import Corrupted, Unavailable
from bailiwick.store.journal.tiles import (
    TILE_BITS,
    TILE_WIDTH,
    GrowingTree,
    TileFile,
    bundle_path,
    decode_bundle,
    decode_hashes,
    tile_path,
)

CHECKPOINT = "checkpoint"
LOCK = ".lock"
TEMPORARY = ".tmp"


class LogFolder:
    """Reads and writes the files. What is written is durable before the checkpoint that speaks of it appears."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time on this folder, across processes; a killed process frees the lock."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / LOCK).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None when there is none."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """The first `width` hashes of a tile, from the partial file or the full one. Raises Corrupted."""
        found = decode_hashes(self._either(tile_path(level, index, width), tile_path(level, index)))
        if len(found) < width:
            raise Corrupted(f"Tile {tile_path(level, index, width)} holds {len(found)} hashes instead of {width}.")
        return found[:width]

    def leaves(self, index: int, width: int) -> list[bytes]:
        """The first `width` leaves of a bundle. Raises Corrupted."""
        found = decode_bundle(self._either(bundle_path(index, width), bundle_path(index)))
        if len(found) < width:
            raise Corrupted(f"Bundle {bundle_path(index, width)} holds {len(found)} leaves instead of {width}.")
        return found[:width]

    def tree(self, size: int) -> GrowingTree:
        """The right edge of the tree of `size` leaves, to grow from. Raises Corrupted when a tile of it is missing."""
        levels: list[list[bytes]] = []
        hashes = size
        while hashes:
            index, width = divmod(hashes, TILE_WIDTH)
            levels.append(self.hashes(len(levels), index, width) if width else [])
            hashes >>= TILE_BITS
        index, width = divmod(size, TILE_WIDTH)
        return GrowingTree(size, levels or [[]], self.leaves(index, width) if width else [])

    def checkpoint(self) -> str | None:
        """The text of the signed checkpoint, or None before the first. Raises Corrupted when it is not text."""
        data = self.read(CHECKPOINT)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            raise Corrupted("The checkpoint file is not UTF-8 text.") from None

    def publish(self, files: Iterable[TileFile], checkpoint: str = "") -> None:
        """Write the files, make them durable, and then, if given, the checkpoint. Raises Unavailable when the disk is full."""
        try:
            touched = {self._write(file) for file in files}
            for parent in sorted(touched):
                _sync_folder(parent)
            if checkpoint:
                _sync_folder(self._write(TileFile(CHECKPOINT, checkpoint.encode())))
                self._drop_covered(touched)
        except OSError as error:
            raise Unavailable(
                f"The journal's files could not be written: {error}.",
                hint="Entries are safe in the database; the next run of the sequencer writes the files.",
            ) from error

    def _either(self, path: str, full: str) -> bytes:
        data = self.read(path)
        if data is None and full != path:
            data = self.read(full)
        if data is None:
            raise Corrupted(f"The journal file {path} is missing.")
        return data

    def _write(self, file: TileFile) -> Path:
        target = self.root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + TEMPORARY)
        with temporary.open("wb") as handle:
            handle.write(file.data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
        return target.parent

    def _drop_covered(self, folders: Iterable[Path]) -> None:
        """Partial tiles whose full tile is published say nothing new; the specification lets a log drop them."""
        for parent in folders:
            for partial in parent.glob("*.p"):
                if partial.with_suffix("").exists():
                    shutil.rmtree(partial, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
