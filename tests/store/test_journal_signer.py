"""Signed notes: the published example of Go's sumdb/note, keys on disk, and refusals."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.errors import Corrupted, InvalidInput
from bailiwick.store.journal.checkpoint import Statement, read_checkpoint
from bailiwick.store.journal.signer import KEY_FILE, VKEY_FILE, Signer, Verifier

GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_example_of_another_implementation_is_reproduced_byte_for_byte() -> None:
    signer = Signer("PeterNeumann", GO_SEED)
    assert signer.vkey == GO_VKEY
    assert signer.sign(GO_TEXT) == GO_NOTE
    assert Verifier.parse(GO_VKEY).open(GO_NOTE) == GO_TEXT


@given(st.integers(0, len(GO_NOTE) - 1), st.characters(codec="utf-8"))
def test_any_changed_character_is_noticed(place: int, other: str) -> None:
    changed = GO_NOTE[:place] + other + GO_NOTE[place + 1 :]
    if changed == GO_NOTE:
        return
    with pytest.raises(Corrupted):
        Verifier.parse(GO_VKEY).open(changed)


def test_a_note_signed_by_several_is_accepted_by_each() -> None:
    other = Signer("other", bytes(32))
    both = GO_NOTE + other.sign(GO_TEXT).rpartition("\n\n")[2]
    assert Verifier.parse(GO_VKEY).open(both) == GO_TEXT
    assert other.verifier.open(both) == GO_TEXT


def test_a_signature_by_someone_else_proves_nothing() -> None:
    namesake = Signer("PeterNeumann", bytes(32))
    with pytest.raises(Corrupted, match="no signature by"):
        Verifier.parse(GO_VKEY).open(namesake.sign(GO_TEXT))


@pytest.mark.parametrize(
    "text", ["", "x", "a+b", "a+00000000+AAAA", GO_VKEY[:-4], GO_VKEY.replace("c7", "c8"), "a b" + GO_VKEY]
)
def test_what_is_not_a_vkey_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not an Ed25519 vkey"):
        Verifier.parse(text)


@pytest.mark.parametrize("note", ["", "text\n", "text\n\n", "text\n\n— x\n", "text\n\n- PeterNeumann AAAAAAAA\n"])
def test_malformed_notes_are_refused(note: str) -> None:
    with pytest.raises(Corrupted):
        Verifier.parse(GO_VKEY).open(note)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    first = Signer.in_folder(keys)
    assert Signer.in_folder(keys).vkey == first.vkey == (keys / VKEY_FILE).read_text().strip()
    assert stat.S_IMODE((keys / KEY_FILE).stat().st_mode) == 0o600
    assert sorted(path.name for path in keys.iterdir()) == [KEY_FILE, VKEY_FILE]


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        vkeys = set(pool.map(lambda _: Signer.in_folder(tmp_path).vkey, range(16)))
    assert len(vkeys) == 1


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+a+b", "PRIVATE+KEY+a+00000000+AAAA\n"])
def test_a_damaged_key_file_is_never_replaced_by_a_new_key(tmp_path: Path, text: str) -> None:
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(Corrupted, match="backup"):
        Signer.in_folder(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == text


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n"])
def test_key_names_that_would_break_the_line_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="Key name"):
        Signer(name, bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "log\n1\n",
        "log\n-1\nAAAA\n",
        "log\n1\nAAAA\n",
        "log\n1\n!\n",
        "other\n1\n" + "A" * 43 + "=\n",
        "log\n¹\n" + "A" * 43 + "=\n",
    ],
)
def test_a_signed_note_that_is_no_checkpoint_is_refused(text: str) -> None:
    signer = Signer("log", bytes(32))
    with pytest.raises(Corrupted, match="checkpoint is malformed"):
        read_checkpoint(signer.sign(text), signer.verifier)


def test_a_checkpoint_reads_back() -> None:
    signer = Signer("log", bytes(32))
    statement = Statement("log", 12, bytes(range(32)))
    assert read_checkpoint(signer.sign(statement.text()), signer.verifier) == statement
