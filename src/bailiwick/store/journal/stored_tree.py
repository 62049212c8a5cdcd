"""Hashes and proofs from a folder's tiles: reads a few tiles instead of every leaf."""

from __future__ import annotations

from functools import lru_cache

from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.merkle import EMPTY_ROOT, node_hash, subtree_root
from bailiwick.store.journal.tiles import TILE_BITS, TILE_WIDTH


class StoredTree:
    """The published tree at one size. Every method raises Corrupted when a tile it needs is missing or damaged."""

    def __init__(self, folder: LogFolder, size: int) -> None:
        self._folder = folder
        self.size = size
        self._tile = lru_cache(maxsize=512)(self._read_tile)

    def root(self) -> bytes:
        """The root that the tiles give."""
        return self.range_root(0, self.size) if self.size else EMPTY_ROOT

    def leaf_hashes(self, index: int) -> list[bytes]:
        """The leaf hashes of tile `index` of level 0; fewer than 256 in the last one."""
        return self._tile(0, index)

    def leaves(self, index: int) -> list[bytes]:
        """The leaves of bundle `index`."""
        return self._folder.leaves(index, self._width(0, index))

    def leaf(self, index: int) -> bytes:
        """The bytes of one leaf."""
        return self.leaves(index // TILE_WIDTH)[index % TILE_WIDTH]

    def inclusion_proof(self, index: int) -> list[bytes]:
        """PATH(index, D[size]) of RFC 6962. Raises IndexError outside the tree."""
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} is outside a tree of {self.size}")
        proof: list[bytes] = []
        start, end = 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self.range_root(middle, end))
                end = middle
            else:
                proof.append(self.range_root(start, middle))
                start = middle
        return proof[::-1]

    def range_root(self, start: int, end: int) -> bytes:
        """MTH of the leaves [start, end), where the range is a node of the tree: `start` is a multiple of its width."""
        width = end - start
        if width & (width - 1):
            middle = start + _split(width)
            return node_hash(self.range_root(start, middle), self.range_root(middle, end))
        level, rest = divmod(width.bit_length() - 1, TILE_BITS)
        first = start >> (TILE_BITS * level)
        hashes = self._tile(level, first // TILE_WIDTH)
        offset = first % TILE_WIDTH
        return subtree_root(hashes[offset : offset + (1 << rest)])

    def _read_tile(self, level: int, index: int) -> list[bytes]:
        return self._folder.hashes(level, index, self._width(level, index))

    def _width(self, level: int, index: int) -> int:
        return min(TILE_WIDTH, (self.size >> (TILE_BITS * level)) - index * TILE_WIDTH)


def _split(width: int) -> int:
    return 1 << ((width - 1).bit_length() - 1)
