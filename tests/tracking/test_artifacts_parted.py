"""Files sent in parts past the server: seen when they are joined and not before, and given up when nobody joins them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.parts.model import PartAddress, SentPart
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.artifacts.parted import BegunUpload
from bailiwick.tracking.artifacts.service import DAY_MS, ArtifactService
from tests_support import azure, s3

MB = 1 << 20
DATA = os.urandom(6 * MB)
PARTS = (DATA[: 5 * MB], DATA[5 * MB :])


@pytest.fixture(params=["plain", "by digest", *(["azure", "azure by digest"] if azure.PRESENT else [])])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bucket(layout: str, monkeypatch: pytest.MonkeyPatch) -> str:
    return azure.fresh_container(monkeypatch) if "azure" in layout else s3.fresh_bucket(monkeypatch)


def unfinished(bucket: str) -> int:
    """Uploads that the store remembers. Azure remembers blocks, for a week, and names none."""
    return s3.unfinished_uploads(bucket) if bucket.startswith("s3:") else 0


@pytest.fixture
def artifacts(layout: str, bucket: str, records: Records, tmp_path: Path) -> ArtifactService:
    """In an object store, either way."""
    blobs = BlobStore(f"{bucket}/blobs" if "by digest" in layout else (tmp_path / "blobs").as_uri(), incoming=tmp_path)
    return ArtifactService(records, blobs, destination="" if "by digest" in layout else f"{bucket}/kept")


def send(address: PartAddress, data: bytes) -> SentPart:
    headers = {"Content-Type": "application/octet-stream", **address.headers}
    with urlopen(Request(address.url, data, headers, method="PUT"), timeout=30) as answer:
        return SentPart(address.number, answer.headers["ETag"] or "")


def send_all(begun: BegunUpload, parts: tuple[bytes, ...] = PARTS) -> list[SentPart]:
    return [send(address, data) for address, data in zip(begun.parts, parts, strict=True)]


def read(artifacts: ArtifactService, path: str, workspace: str = "default") -> bytes:
    reading = artifacts.open(workspace, path)
    return b"".join(reading.chunks(0, reading.artifact.size_bytes))


def actions(database: Database) -> list[str]:
    return [entry.action for entry in JournalReader(database).entries("default", limit=100)][::-1]


def test_parts_make_the_file_and_its_digest_is_known(
    artifacts: ArtifactService, layout: str, admin: Actor, database: Database, bucket: str
) -> None:
    begun = artifacts.parted.begin(admin, "r/größe =.bin", count=2)
    sent = send_all(begun)
    assert artifacts.entries("default", "r") == []
    made = artifacts.parted.complete(admin, "r/größe =.bin", begun.id, sent[::-1])
    digest = hashlib.sha256(DATA).hexdigest()
    assert (made.size_bytes, made.digest) == (len(DATA), digest if "by digest" in layout else "")
    assert read(artifacts, "r/größe =.bin") == DATA
    assert [(file.digest, file.created_by) for file in artifacts.files("default", "r")] == [(digest, "u-admin")]
    assert actions(database) == ["artifact.upload_begun", "artifact.written"]
    assert unfinished(bucket) == 0


def test_a_file_of_parts_takes_the_place_of_one_that_is_there(artifacts: ArtifactService, admin: Actor) -> None:
    artifacts.put(admin, "r/a", [b"before"])
    begun = artifacts.parted.begin(admin, "r/a", count=2)
    sent = send_all(begun)
    assert read(artifacts, "r/a") == b"before"
    artifacts.parted.complete(admin, "r/a", begun.id, sent)
    assert read(artifacts, "r/a") == DATA
    with pytest.raises(NotFound, match="joined, given up"):
        artifacts.parted.complete(admin, "r/a", begun.id, sent)


def test_what_was_sent_past_the_server_is_read_once_for_its_digest(
    artifacts: ArtifactService, layout: str, admin: Actor, stranger: Actor, database: Database
) -> None:
    for path in ("r/a", "r/changed", "r/gone"):
        begun = artifacts.parted.begin(admin, path, count=2)
        artifacts.parted.complete(admin, path, begun.id, send_all(begun))
    if "by digest" in layout:
        assert not artifacts.has_unread("default")
        return
    assert artifacts.has_unread("default")
    for path, data in (("r/changed", b"by others"), ("r/gone", b"")):
        signed = artifacts.upload_url(admin, path, seconds=60)
        s3.sent(signed.url, data, signed.headers)
    assert artifacts.read_unread(stranger) == 0
    assert artifacts.read_unread(admin) == 1
    assert not artifacts.has_unread("default")
    assert artifacts.stat("default", "r/a").digest == hashlib.sha256(DATA).hexdigest()
    assert artifacts.stat("default", "r/changed").digest == ""
    assert actions(database)[-3:] == ["artifact.digested"] * 3
    assert artifacts.read_unread(admin) == 0


def test_what_is_given_up_is_gone_and_giving_up_again_is_no_error(
    artifacts: ArtifactService, admin: Actor, bucket: str
) -> None:
    begun = artifacts.parted.begin(admin, "r/a", count=2)
    send(begun.parts[0], PARTS[0])
    for _ in range(2):
        artifacts.parted.abort(admin, "r/a", begun.id)
    assert unfinished(bucket) == 0
    assert artifacts.entries("default", "") == []
    if bucket.startswith("s3:"):
        with pytest.raises(HTTPError):
            send(begun.parts[1], PARTS[1])


def test_parts_that_were_not_sent_cannot_be_joined(artifacts: ArtifactService, admin: Actor) -> None:
    begun = artifacts.parted.begin(admin, "r/a", count=2)
    [first] = [send(begun.parts[0], PARTS[0])]
    for wrong in ([first, SentPart(2, '"0"')], [], [first, first], [SentPart(0, "x")]):
        with pytest.raises(InvalidInput):
            artifacts.parted.complete(admin, "r/a", begun.id, wrong)
    artifacts.parted.complete(admin, "r/a", begun.id, [first, send(begun.parts[1], PARTS[1])])
    assert read(artifacts, "r/a") == DATA


def test_an_upload_belongs_to_its_path_and_workspace(
    artifacts: ArtifactService, admin: Actor, second: Actor, stranger: Actor, viewer: Actor
) -> None:
    begun = artifacts.parted.begin(admin, "r/a", count=2)
    sent = send_all(begun)
    for actor, path in ((admin, "r/b"), (stranger, "r/a"), (admin, "r")):
        with pytest.raises(NotFound):
            artifacts.parted.complete(actor, path, begun.id, sent)
        artifacts.parted.abort(actor, path, begun.id)
    with pytest.raises(NotAllowed):
        artifacts.parted.begin(viewer, "r/a", count=1)
    with pytest.raises(NotAllowed):
        artifacts.parted.complete(viewer, "r/a", begun.id, sent)
    artifacts.parted.complete(second, "r/a", begun.id, sent)
    theirs = artifacts.parted.begin(stranger, "r/a", count=1)
    artifacts.parted.complete(stranger, "r/a", theirs.id, [send(theirs.parts[0], b"theirs")])
    assert (read(artifacts, "r/a"), read(artifacts, "r/a", "elsewhere")) == (DATA, b"theirs")


def test_what_nobody_joins_is_given_up_after_a_day(
    artifacts: ArtifactService, admin: Actor, stranger: Actor, clock: FakeClock, bucket: str
) -> None:
    old = [artifacts.parted.begin(actor, "r/a", count=1) for actor in (admin, stranger)]
    send(old[0].parts[0], b"half")
    clock.advance(DAY_MS // 2)
    young = artifacts.parted.begin(admin, "r/b", count=1)
    assert artifacts.collect_garbage(admin).uploads == 0
    clock.advance(DAY_MS // 2)
    assert artifacts.collect_garbage(admin).uploads == 2
    assert unfinished(bucket) == (1 if bucket.startswith("s3:") else 0)
    artifacts.parted.complete(admin, "r/b", young.id, [send(young.parts[0], b"whole")])
    assert read(artifacts, "r/b") == b"whole"


def test_too_many_parts_and_too_many_bytes_are_refused(artifacts: ArtifactService, admin: Actor) -> None:
    for count in (0, 10_001):
        with pytest.raises(InvalidInput, match="1 to 10000"):
            artifacts.parted.begin(admin, "r/a", count=count)
    begun = artifacts.parted.begin(admin, "r/a", count=1)
    with pytest.raises(LimitExceeded):
        artifacts.parted.complete(admin, "r/a", begun.id, [send(begun.parts[0], b"x" * 11)], max_bytes=10)
    assert artifacts.entries("default", "") == []


@pytest.mark.parametrize("layout", ["by digest"])  # elsewhere the object is where it belongs as soon as it is joined
def test_a_killed_server_leaves_a_joined_file_to_be_completed_again(
    artifacts: ArtifactService, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = artifacts.parted.begin(admin, "r/a", count=2)
    sent = send_all(begun)
    with monkeypatch.context() as patch:
        patch.setattr("bailiwick.tracking.artifacts.content._refer", lambda *_: (_ for _ in ()).throw(Conflict("died")))
        with pytest.raises(Conflict, match="died"):
            artifacts.parted.complete(admin, "r/a", begun.id, sent)
    assert artifacts.entries("default", "") == []
    artifacts.parted.complete(admin, "r/a", begun.id, sent)
    assert read(artifacts, "r/a") == DATA


def test_a_folder_takes_no_parts(records: Records, blobs: BlobStore, admin: Actor, tmp_path: Path) -> None:
    for destination in ("", str(tmp_path / "kept")):
        artifacts = ArtifactService(records, blobs, destination=destination)
        assert not artifacts.parted.offered
        with pytest.raises(Conflict, match="Send the file whole"):
            artifacts.parted.begin(admin, "a", count=1)


def test_nothing_is_signed_where_that_is_turned_off(
    records: Records, bucket: str, tmp_path: Path, admin: Actor
) -> None:
    blobs = BlobStore((tmp_path / "blobs").as_uri())
    artifacts = ArtifactService(records, blobs, destination=f"{bucket}/kept", signed_seconds=0)
    assert [artifacts.parted.offered, artifacts.signs, artifacts.takes_signed_uploads("a")] == [False] * 3
    artifacts.put(admin, "a", [b"x"])
    for refused in (
        lambda: artifacts.download_url("default", "a", seconds=60),
        lambda: artifacts.upload_url(admin, "a", seconds=60),
        lambda: artifacts.parted.begin(admin, "a", count=1),
    ):
        with pytest.raises(Conflict):
            refused()


@pytest.mark.parametrize("layout", ["plain"])
def test_no_url_lasts_longer_than_allowed(records: Records, bucket: str, tmp_path: Path, admin: Actor) -> None:
    blobs = BlobStore((tmp_path / "blobs").as_uri())
    artifacts = ArtifactService(records, blobs, destination=f"{bucket}/kept", signed_seconds=120)
    artifacts.put(admin, "a", [b"x"])
    assert "X-Amz-Expires=120" in artifacts.download_url("default", "a", seconds=86_400).url
    assert "X-Amz-Expires=60" in artifacts.download_url("default", "a", seconds=60).url
    assert "X-Amz-Expires=120" in artifacts.parted.begin(admin, "b", count=1).parts[0].url
