"""RFC 6962 Merkle trees over SHA-256: roots, inclusion and consistency proofs, and their verification.

Pure functions of bytes. Verification follows RFC 9162 sections 2.1.3.2 and 2.1.4.2 with the two guards that the public
test vectors show to be missing there (size-zero trees and empty hashes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: O(log n) memory, amortised O(1) hashes an append.

    `peaks[h]` is the hash of the perfect subtree of height `h`, or None; bit `h` of `size` says which exist.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes | None] = ()) -> None:
        self.size = size
        self.peaks: list[bytes | None] = list(peaks)

    @classmethod
    def of(cls, leaf_hashes: Iterable[bytes]) -> Frontier:
        """The frontier after appending every hash in order."""
        frontier = cls()
        for hashed in leaf_hashes:
            frontier.append(hashed)
        return frontier

    def append(self, hashed: bytes) -> None:
        """Add one leaf hash at index `size`."""
        height = 0
        while height < len(self.peaks) and self.peaks[height] is not None:
            left = self.peaks[height]
            assert left is not None
            hashed, self.peaks[height] = node_hash(left, hashed), None
            height += 1
        if height == len(self.peaks):
            self.peaks.append(None)
        self.peaks[height] = hashed
        self.size += 1

    def root(self) -> bytes:
        """Root hash of all leaves appended so far."""
        root: bytes | None = None
        for peak in self.peaks:
            if peak is not None:
                root = peak if root is None else node_hash(peak, root)
        return EMPTY_ROOT if root is None else root


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1 over leaf hashes."""
    return Frontier.of(hashes).root()


def inclusion_proof(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PATH(index, D[n]): the sibling hashes from the leaf up. Raises IndexError outside the tree."""
    if not 0 <= index < len(hashes):
        raise IndexError(f"leaf {index} is outside a tree of {len(hashes)}")
    if len(hashes) == 1:
        return []
    middle = _split(len(hashes))
    if index < middle:
        return [*inclusion_proof(index, hashes[:middle]), subtree_root(hashes[middle:])]
    return [*inclusion_proof(index - middle, hashes[middle:]), subtree_root(hashes[:middle])]


def consistency_proof(old_size: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PROOF(old_size, D[n]): shows the first `old_size` leaves are a prefix of the tree. Raises IndexError outside 1..n."""
    if not 0 < old_size <= len(hashes):
        raise IndexError(f"no consistency proof from size {old_size} to {len(hashes)}")
    return _consistency(old_size, hashes, whole=True)


def _consistency(old_size: int, hashes: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if old_size == len(hashes):
        return [] if whole else [subtree_root(hashes)]
    middle = _split(len(hashes))
    if old_size <= middle:
        return [*_consistency(old_size, hashes[:middle], whole=whole), subtree_root(hashes[middle:])]
    return [*_consistency(old_size - middle, hashes[middle:], whole=False), subtree_root(hashes[:middle])]


def verify_inclusion(index: int, size: int, hashed: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `hashed` is leaf `index` of the tree of `size` leaves with `root`."""
    if not 0 <= index < size or not _are_hashes([hashed, root, *proof]):
        return False
    node, last = index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            hashed = node_hash(sibling, hashed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and hashed == root


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `new_size` begins with the tree of `old_size`. A tree of size zero proves nothing: False."""
    if 0 < old_size == new_size:
        return not proof and old_root == new_root
    if not 0 < old_size < new_size or not _are_hashes([old_root, new_root, *proof]):
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    return _walk_consistency(old_size - 1, new_size - 1, path) == (old_root, new_root)


def _walk_consistency(node: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for hashed in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(hashed, old), node_hash(hashed, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, hashed)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _are_hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
