"""The C2SP tlog-tiles layout: which file holds which hashes, and the bytes of a bundle of leaves.

A tile holds up to 256 hashes of one level; hash `i` of level `L` is the root of the 256**L leaves from `i * 256**L`.
A tile that is not yet full has its own path, so a file, once written, never changes. https://c2sp.org/tlog-tiles
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bailiwick.core.errors import Corrupted
from bailiwick.store.journal.merkle import HASH_BYTES, Frontier, leaf_hash, subtree_root

TILE_WIDTH = 256
TILE_BITS = 8
MAX_LEAF_BYTES = 65_535


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of the tile of `width` hashes, relative to the log's folder."""
    return f"tile/{level}/{_numbered(index)}{_partial(width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path of the leaves that tile `index` of level 0 holds the hashes of."""
    return f"tile/entries/{_numbered(index)}{_partial(width)}"


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """Each leaf behind its length as a big-endian uint16."""
    return b"".join(len(leaf).to_bytes(2) + leaf for leaf in leaves)


def decode_bundle(data: bytes) -> list[bytes]:
    """The leaves of a bundle. Raises Corrupted when the lengths do not add up."""
    leaves: list[bytes] = []
    place = 0
    while place < len(data):
        end = place + 2 + int.from_bytes(data[place : place + 2])
        if end > len(data) or place + 2 > len(data):
            raise Corrupted(f"The bundle of leaves ends in the middle of leaf {len(leaves)}.")
        leaves.append(data[place + 2 : end])
        place = end
    return leaves


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """A tile's bytes."""
    return b"".join(hashes)


def decode_hashes(data: bytes) -> list[bytes]:
    """The hashes of a tile. Raises Corrupted unless there is a whole number of them."""
    if len(data) % HASH_BYTES:
        raise Corrupted(f"A tile of {len(data)} bytes does not hold whole hashes.")
    return [data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class TileFile:
    """One file of the log: what it is to hold, and where."""

    path: str
    data: bytes


class GrowingTree:
    """The unfinished tiles along the right edge of a tree, one list of hashes a level, and the leaves of the last bundle.

    Appending returns nothing; files that became full wait in `finished` until they are taken.
    """

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ((),), bundle: Sequence[bytes] = ()) -> None:
        self.size = size
        self.levels = [list(level) for level in levels]
        self.bundle = list(bundle)
        self.finished: list[TileFile] = []

    def append(self, leaf: bytes) -> bytes:
        """Add a leaf and return its hash. Raises ValueError for a leaf over 65,535 bytes, which no bundle can hold."""
        if len(leaf) > MAX_LEAF_BYTES:
            raise ValueError(f"a leaf has at most {MAX_LEAF_BYTES} bytes, not {len(leaf)}")
        hashed = leaf_hash(leaf)
        self.bundle.append(leaf)
        self.size += 1
        if len(self.bundle) == TILE_WIDTH:
            self.finished.append(TileFile(bundle_path(self.size // TILE_WIDTH - 1), encode_bundle(self.bundle)))
            self.bundle = []
        self._push(0, hashed)
        return hashed

    def root(self) -> bytes:
        """Root of all leaves so far, from at most 255 hashes a level."""
        peaks: list[bytes | None] = []
        for level in self.levels:
            own = Frontier.of(level).peaks
            peaks += [*own, *[None] * (TILE_BITS - len(own))]
        return Frontier(self.size, peaks).root()

    def take_finished(self) -> list[TileFile]:
        """Full files since the last call."""
        taken, self.finished = self.finished, []
        return taken

    def unfinished(self) -> Iterator[TileFile]:
        """The partial tiles and the partial bundle of this very size."""
        if self.bundle:
            yield TileFile(bundle_path(self.size // TILE_WIDTH, len(self.bundle)), encode_bundle(self.bundle))
        for number, hashes in enumerate(self.levels):
            if hashes:
                index = self.size >> (TILE_BITS * (number + 1))
                yield TileFile(tile_path(number, index, len(hashes)), encode_hashes(hashes))

    def _push(self, number: int, hashed: bytes) -> None:
        if number == len(self.levels):
            self.levels.append([])
        level = self.levels[number]
        level.append(hashed)
        if len(level) == TILE_WIDTH:
            index = (self.size >> (TILE_BITS * (number + 1))) - 1
            self.finished.append(TileFile(tile_path(number, index), encode_hashes(level)))
            self._push(number + 1, subtree_root(level))
            level.clear()


def _numbered(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
