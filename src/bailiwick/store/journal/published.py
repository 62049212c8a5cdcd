"""The published files as a verifier reads them: tolerant of anything, one bundle in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable

from bailiwick.core.errors import Corrupted
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.merkle import HASH_BYTES, leaf_hash
from bailiwick.store.journal.stored_tree import StoredTree
from bailiwick.store.journal.tiles import TILE_WIDTH, TileFile, decode_bundle


class PublishedFiles:
    """Hashes and leaves by place, and a list of the files that differ from what they should hold."""

    def __init__(self, folder: LogFolder, size: int) -> None:
        self.size = size
        self.differences: list[str] = []
        self._folder = folder
        self._tree = StoredTree(folder, size)
        self._tile_number = -1
        self._hashes: list[bytes] = []
        self._leaves: list[bytes] = []

    def hash_at(self, place: int) -> bytes | None:
        """The leaf hash in its tile, or None when the tile is missing or too short."""
        self._load(place // TILE_WIDTH)
        return _at(self._hashes, place % TILE_WIDTH)

    def leaf_at(self, place: int) -> bytes | None:
        """The leaf in its bundle, or None when the bundle is missing or damaged."""
        self._load(place // TILE_WIDTH)
        return _at(self._leaves, place % TILE_WIDTH)

    def leaf_hash_at(self, place: int) -> bytes | None:
        """The hash of the leaf in its bundle."""
        leaf = self.leaf_at(place)
        return None if leaf is None else leaf_hash(leaf)

    def compare(self, expected: Iterable[TileFile]) -> None:
        """Hold each expected file, and the partial files that came before it, against the disk."""
        for file in expected:
            whole, _, partial = file.path.partition(".p/")
            found = self._folder.read(file.path)
            if found is None and partial:  # since then the tile may have become full
                found = (self._folder.read(whole) or b"")[: len(file.data)] or None
            if found is None:
                self.differences.append(f"The file {file.path} is missing.")
            elif found != file.data:
                self.differences.append(f"The file {file.path} was changed.")
            self._compare_earlier(whole, int(partial or TILE_WIDTH), file)

    def _compare_earlier(self, whole: str, width: int, file: TileFile) -> None:
        for path in sorted((self._folder.root / f"{whole}.p").glob("[0-9]*")):
            relative = path.relative_to(self._folder.root).as_posix()
            found = self._folder.read(relative)
            if found is None or not path.name.isdigit() or int(path.name) >= width:
                continue
            if not file.data.startswith(found) or _count(relative, found) != int(path.name):
                self.differences.append(f"The file {relative} was changed.")

    def _load(self, number: int) -> None:
        if number == self._tile_number:
            return
        self._tile_number = number
        try:
            self._hashes = self._tree.leaf_hashes(number)
        except Corrupted:
            self._hashes = []
        try:
            self._leaves = self._tree.leaves(number)
        except Corrupted:
            self._leaves = []


def _count(path: str, data: bytes) -> int:
    """How many hashes or leaves the bytes of a file hold; -1 when they hold no whole number."""
    if not path.startswith("tile/entries/"):
        return len(data) // HASH_BYTES
    try:
        return len(decode_bundle(data))
    except Corrupted:
        return -1


def _at(values: list[bytes], offset: int) -> bytes | None:
    return values[offset] if offset < len(values) else None
