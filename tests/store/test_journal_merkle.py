"""RFC 6962 trees: against the public vectors, and against the definition transcribed naively."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.store.journal import merkle
from bailiwick.store.journal.tiles import GrowingTree
from tests_support.golden import golden

MAX_INT64 = 2**63 - 1


def _mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _mth(leaves[:k]) + _mth(leaves[k:])).digest()


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_all_98_public_inclusion_vectors_are_judged_rightly() -> None:
    cases = golden("rfc6962_inclusion.json")
    wrong = [
        case["case"]
        for case in cases
        if merkle.verify_inclusion(
            case["leafIdx"],
            case["treeSize"],
            _bytes(case["leafHash"]),
            [_bytes(node) for node in case["proof"] or []],
            _bytes(case["root"]),
        )
        is case["wantErr"]
    ]
    assert (len(cases), wrong) == (98, [])


def test_all_98_public_consistency_vectors_are_judged_rightly() -> None:
    cases = golden("rfc6962_consistency.json")
    wrong = [
        case["case"]
        for case in cases
        if merkle.verify_consistency(
            case["size1"],
            case["size2"],
            _bytes(case["root1"]),
            _bytes(case["root2"]),
            [_bytes(node) for node in case["proof"] or []],
        )
        is case["wantErr"]
    ]
    assert (len(cases), wrong) == (98, [])


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_roots_equal_the_definition(leaves: list[bytes]) -> None:
    tree = GrowingTree()
    for leaf in leaves:
        tree.append(leaf)
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    assert _mth(leaves) == merkle.subtree_root(hashes) == tree.root()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=50), st.data())
def test_every_inclusion_proof_verifies_and_for_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.integers(0, len(leaves) - 1))
    root = merkle.subtree_root(hashes)
    proof = merkle.inclusion_proof(index, hashes)
    assert merkle.verify_inclusion(index, len(leaves), hashes[index], proof, root)
    assert not merkle.verify_inclusion(index, len(leaves), merkle.leaf_hash(b"other leaf"), proof, root)
    assert not merkle.verify_inclusion(index, len(leaves), hashes[index], [*proof, root], root)
    if hashes[other] != hashes[index]:
        assert not merkle.verify_inclusion(other, len(leaves), hashes[index], proof, root)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=50), st.data())
def test_every_consistency_proof_verifies_and_a_rewritten_past_does_not(
    leaves: list[bytes], data: st.DataObject
) -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    old = data.draw(st.integers(1, len(leaves)))
    before, after = merkle.subtree_root(hashes[:old]), merkle.subtree_root(hashes)
    proof = merkle.consistency_proof(old, hashes)
    assert merkle.verify_consistency(old, len(leaves), before, after, proof)
    forged = merkle.subtree_root([merkle.leaf_hash(b"rewritten past"), *hashes[1:old]])
    assert not merkle.verify_consistency(old, len(leaves), forged, after, proof)


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_is_made_for_a_leaf_outside_the_tree(index: int) -> None:
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(3)]
    with pytest.raises(IndexError):
        merkle.inclusion_proof(index, hashes)


@pytest.mark.parametrize("old", [0, 4])
def test_no_consistency_proof_is_made_from_nothing_or_from_the_future(old: int) -> None:
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(3)]
    with pytest.raises(IndexError):
        merkle.consistency_proof(old, hashes)
