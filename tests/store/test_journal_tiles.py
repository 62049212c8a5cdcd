"""The static files of a log: paths, bundles, and a tree that grows from what is on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import Corrupted
from bailiwick.store.journal import merkle
from bailiwick.store.journal.folder import LogFolder
from bailiwick.store.journal.stored_tree import StoredTree
from bailiwick.store.journal.tiles import GrowingTree, bundle_path, decode_bundle, encode_bundle, tile_path


def _grow(folder: LogFolder, tree: GrowingTree, end: int) -> None:
    for number in range(tree.size, end):
        tree.append(str(number).encode())
    folder.publish([*tree.take_finished(), *tree.unfinished()], "note")


def _hashes(size: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(size)]


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 5, 3, "tile/0/005.p/3"),
        (1, 999, 256, "tile/1/999"),
        (0, 1000, 256, "tile/0/x001/000"),
        (3, 1234067, 255, "tile/3/x001/x234/067.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(level: int, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path
    assert bundle_path(index, width) == path.replace(f"tile/{level}/", "tile/entries/")


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_back_its_leaves(leaves: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(leaves)) == leaves


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_a_torn_bundle_never_gives_back_a_leaf_that_was_not_written(leaves: list[bytes], data: st.DataObject) -> None:
    whole = encode_bundle(leaves)
    torn = whole[: data.draw(st.integers(1, len(whole) - 1))]
    try:
        found = decode_bundle(torn)
    except Corrupted:
        return
    assert found == leaves[: len(found)]


def test_a_leaf_that_no_bundle_can_hold_is_refused() -> None:
    tree = GrowingTree()
    tree.append(bytes(65_535))
    with pytest.raises(ValueError, match="65535"):
        tree.append(bytes(65_536))


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_a_tree_grown_in_any_steps_through_the_disk_has_one_root(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    folder, tree = LogFolder(tmp_path_factory.mktemp("log")), GrowingTree()
    for end in sorted(cuts):
        _grow(folder, tree, end)
        tree = folder.tree(end)
        assert tree.root() == merkle.subtree_root(_hashes(end)) == StoredTree(folder, end).root()


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 300, 65_536, 65_793])
def test_proofs_from_tiles_are_those_of_the_definition(tmp_path: Path, size: int) -> None:
    folder = LogFolder(tmp_path)
    tree = GrowingTree()
    for number in range(size):
        tree.append(str(number).encode())
    for file in [*tree.take_finished(), *tree.unfinished()]:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(file.data)
    hashes, stored = _hashes(size), StoredTree(folder, size)
    assert stored.root() == merkle.subtree_root(hashes)
    for index in sorted({0, size // 3, size - 1}):
        assert stored.inclusion_proof(index) == merkle.inclusion_proof(index, hashes)
        assert stored.leaf(index) == str(index).encode()
    with pytest.raises(IndexError):
        stored.inclusion_proof(size)


def test_partial_tiles_go_once_the_full_tile_is_published(tmp_path: Path) -> None:
    folder, tree = LogFolder(tmp_path), GrowingTree()
    for end in (3, 200, 256, 260):
        _grow(folder, tree, end)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/4",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/4",
    ]


def test_a_missing_or_short_tile_is_named(tmp_path: Path) -> None:
    folder, tree = LogFolder(tmp_path), GrowingTree()
    _grow(folder, tree, 5)
    with pytest.raises(Corrupted, match=r"tile/0/000\.p/6 is missing"):
        folder.tree(6)
    (tmp_path / "tile/0/000.p/5").write_bytes(bytes(64))
    with pytest.raises(Corrupted, match="2 hashes instead of 5"):
        folder.tree(5)
    (tmp_path / "tile/0/000.p/5").write_bytes(bytes(65))
    with pytest.raises(Corrupted, match="whole hashes"):
        folder.tree(5)
