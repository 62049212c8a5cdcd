"""Blobs: immutable bytes by digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.errors import Corrupted, InvalidInput, NotFound, Unavailable
from bailiwick.store.blobs import BlobStore

ABSENT = "0" * 64


@given(data=st.binary(max_size=5000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_put_comes_back(blobs: BlobStore, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert blobs.get(digest) == data
    assert b"".join(blobs.stream(digest, chunk_bytes=100)) == data
    assert blobs.size(digest) == len(data)
    assert blobs.exists(digest)


def test_the_same_bytes_are_stored_once(blobs: BlobStore, tmp_path: Path) -> None:
    assert blobs.put(b"once") == blobs.put(b"once")
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


def test_what_is_absent_is_not_found(blobs: BlobStore) -> None:
    assert not blobs.exists(ABSENT)
    for read in (blobs.get, blobs.size, lambda digest: list(blobs.stream(digest))):
        with pytest.raises(NotFound, match=ABSENT):
            read(ABSENT)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "A" * 64, f"{ABSENT}\n"])
def test_only_a_digest_names_a_blob(blobs: BlobStore, digest: str) -> None:
    with pytest.raises(InvalidInput, match="64 lower-case hex digits"):
        blobs.get(digest)


def test_changed_bytes_are_noticed(blobs: BlobStore, tmp_path: Path) -> None:
    digest = blobs.put(b"as it was")
    (tmp_path / "blobs" / "sha256" / digest[:2] / digest[2:]).write_bytes(b"something else")
    with pytest.raises(Corrupted, match=digest):
        blobs.get(digest)
    with pytest.raises(Corrupted, match=digest):
        list(blobs.stream(digest))


@pytest.mark.parametrize("name", ["with space", "100% %41", "ümlaut", "hash#and?mark"])
def test_a_folder_of_any_name_holds_the_blobs(tmp_path: Path, name: str) -> None:
    store = BlobStore((tmp_path / name).as_uri())
    digest = store.put(b"here")
    assert (tmp_path / name / "sha256" / digest[:2] / digest[2:]).read_bytes() == b"here"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="Not a directory"):
        BlobStore((tmp_path / "file" / "blobs").as_uri())


@pytest.mark.parametrize("url", ["nonsense", "gopher://x/y"])
def test_a_url_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(InvalidInput, match=url):
        BlobStore(url)
