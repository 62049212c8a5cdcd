"""Artifacts: whole or not there, the last writer wins, whatever the layout that keeps them."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.clock import system_clock
from bailiwick.core.errors import Conflict, Corrupted, InvalidInput, LimitExceeded, NotAllowed, NotFound, Unavailable
from bailiwick.store.blobs import BlobStore
from bailiwick.store.database import Database
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.records import Records
from bailiwick.tracking.artifacts.model import Entry, tree_digest
from bailiwick.tracking.artifacts.service import ArtifactService, Location
from tests_support import azure, s3


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["content", "folder", "objects", "content in objects", *(["azure"] if azure.PRESENT else [])])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def artifacts(layout: str, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactService:
    """The service over each layout and each database."""
    if layout == "azure":
        container = azure.fresh_container(monkeypatch)
        return ArtifactService(records, BlobStore((tmp_path / "blobs").as_uri()), destination=f"{container}/kept")
    bucket = s3.fresh_bucket(monkeypatch) if "objects" in layout else ""
    url = f"{bucket}/blobs" if layout == "content in objects" else (tmp_path / "blobs").as_uri()
    destination = {"folder": str(tmp_path / "kept"), "objects": f"{bucket}/kept"}.get(layout, "")
    return ArtifactService(records, BlobStore(url, incoming=tmp_path / "incoming"), destination=destination)


@pytest.fixture
def content(records: Records, blobs: BlobStore) -> ArtifactService:
    """Artifacts by digest, blobs in a folder."""
    return ArtifactService(records, blobs)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A destination that others use too."""
    return tmp_path / "kept"


@pytest.fixture
def folder(records: Records, blobs: BlobStore, kept: Path) -> ArtifactService:
    """Artifacts as plain files."""
    return ArtifactService(records, blobs, destination=kept.as_uri())


def read(service: ArtifactService, path: Location | str, workspace: str = "default") -> bytes:
    reading = service.open(workspace, path)
    try:
        return b"".join(reading.chunks(0, reading.artifact.size_bytes))
    finally:
        reading.close()


def journal(database: Database) -> list[tuple[str, str, dict[str, object]]]:
    entries = JournalReader(database).entries("default", limit=50)
    return [(entry.action, entry.resource, dict(entry.detail)) for entry in reversed(entries)]


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# -- every layout ----------------------------------------------------------------------------------------------------


def test_what_is_put_comes_back(artifacts: ArtifactService, admin: Actor) -> None:
    data = os.urandom(3_000_000)
    written = artifacts.put(admin, "0/r/artifacts/größe und mehr.bin", [data[:1_000_000], b"", data[1_000_000:]])
    assert (written.size_bytes, written.digest, written.created_by) == (len(data), sha256(data), "u-admin")
    assert read(artifacts, "0/r/artifacts/größe und mehr.bin") == data
    assert artifacts.stat("default", "0/r/artifacts/größe und mehr.bin").digest == sha256(data)


def test_an_empty_file_is_a_file(artifacts: ArtifactService, admin: Actor) -> None:
    artifacts.put(admin, "empty", [])
    assert read(artifacts, "empty") == b""
    assert artifacts.entries("default") == [Entry("empty", is_folder=False, size_bytes=0)]


def test_a_large_file_comes_back_in_parts_too(artifacts: ArtifactService, admin: Actor) -> None:
    data = os.urandom(20 << 20)
    artifacts.put(admin, "large", (data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)))
    reading = artifacts.open("default", "large")
    assert b"".join(reading.chunks(9_000_000, 19_000_001)) == data[9_000_000:19_000_001]
    assert b"".join(reading.chunks(0, 0)) == b""
    assert sha256(b"".join(reading.chunks(0, len(data)))) == sha256(data)
    reading.close()
    reading.close()


def test_a_listing_is_one_level_deep_and_in_order(artifacts: ArtifactService, admin: Actor) -> None:
    for path in ("r/b.txt", "r/a/deep/er.txt", "r/a/x.txt", "r/a-b/y.txt", "r/ab", "r/ä/z", "elsewhere"):
        artifacts.put(admin, path, [path.encode()])
    assert artifacts.entries("default", "r") == [
        Entry("a", is_folder=True),
        Entry("a-b", is_folder=True),
        Entry("ab", is_folder=False, size_bytes=4),
        Entry("b.txt", is_folder=False, size_bytes=7),
        Entry("ä", is_folder=True),
    ]
    assert [entry.path for entry in artifacts.entries("default", "r/a/")] == ["deep", "x.txt"]
    assert [entry.path for entry in artifacts.entries("default", "")] == ["elsewhere", "r"]
    assert artifacts.entries("default", "nothing") == []
    assert artifacts.entries("default", "r/b.txt") == []


def test_files_of_a_tree_have_digests_and_so_has_the_tree(artifacts: ArtifactService, admin: Actor) -> None:
    for root in ("one", "two"):
        artifacts.put(admin, f"{root}/MLmodel", [b"m"])
        artifacts.put(admin, f"{root}/data/model.pkl", [b"p"])
    found = artifacts.files("default", "one")
    assert [(file.path, file.digest, file.size_bytes) for file in found] == [
        ("MLmodel", sha256(b"m"), 1),
        ("data/model.pkl", sha256(b"p"), 1),
    ]
    assert tree_digest(found) == tree_digest(artifacts.files("default", "two"))
    artifacts.put(admin, "two/data/model.pkl", [b"q"])
    assert tree_digest(found) != tree_digest(artifacts.files("default", "two"))
    assert artifacts.files("default", "nothing") == []


def test_the_last_writer_wins(artifacts: ArtifactService, admin: Actor, second: Actor) -> None:
    first = artifacts.upload(admin, "a")
    first.write(b"first")
    artifacts.put(second, "a", [b"second"])
    first.finish()
    first.discard()
    assert read(artifacts, "a") == b"first"
    assert artifacts.stat("default", "a").created_by == "u-admin"


def test_what_is_not_finished_leaves_nothing(
    artifacts: ArtifactService, layout: str, admin: Actor, database: Database, tmp_path: Path
) -> None:
    with artifacts.upload(admin, "folder/a") as upload:
        upload.write(b"x" * (20 << 20))
    assert artifacts.entries("default") == []
    with pytest.raises(NotFound):
        artifacts.stat("default", "folder/a")
    assert journal(database) == []
    assert [path for path in leftovers(tmp_path) if "bailiwick.db" not in path.name] == []
    if layout == "objects":
        assert s3.unfinished_uploads(artifacts._store.url) == 0


def test_a_file_that_is_deleted_is_gone_and_deleting_again_is_no_error(
    artifacts: ArtifactService, admin: Actor
) -> None:
    for path in ("r/a", "r/sub/b", "r/sub/c", "r/sub2/d"):
        artifacts.put(admin, path, [b"1"])
    assert artifacts.delete(admin, "r/a") == 1
    assert artifacts.delete(admin, "r/a") == 0
    assert artifacts.delete(admin, "r/sub") == 2
    assert [entry.path for entry in artifacts.entries("default", "r")] == ["sub2"]
    assert artifacts.delete(admin, "r/sub2/d") == 1
    assert artifacts.entries("default") == []
    artifacts.put(admin, "r", [b"a file where a folder was"])
    with pytest.raises(InvalidInput, match="cannot be deleted at once"):
        artifacts.delete(admin, "")


def test_each_write_and_each_removal_is_one_entry_of_the_journal(
    artifacts: ArtifactService, admin: Actor, database: Database
) -> None:
    artifacts.put(admin, "r/a", [b"1"])
    artifacts.put(admin, "r/b", [b"22"])
    artifacts.delete(admin, "r/a")
    artifacts.put(admin, "r/a", [b"1"])
    artifacts.delete(admin, "r")
    artifacts.delete(admin, "r")
    tree = hashlib.sha256(
        json.dumps([["r/a", sha256(b"1")], ["r/b", sha256(b"22")]], separators=(",", ":")).encode()
    ).hexdigest()
    assert journal(database) == [
        ("artifact.written", "artifact/r/a", {"digest": sha256(b"1"), "size_bytes": 1}),
        ("artifact.written", "artifact/r/b", {"digest": sha256(b"22"), "size_bytes": 2}),
        ("artifact.deleted", "artifact/r/a", {"files": 1, "size_bytes": 1, "digest": sha256(b"1")}),
        ("artifact.written", "artifact/r/a", {"digest": sha256(b"1"), "size_bytes": 1}),
        ("artifact.deleted", "artifact/r", {"files": 2, "size_bytes": 3, "digest": tree}),
    ]


def test_a_path_too_long_for_a_resource_is_told_in_the_detail(
    content: ArtifactService, admin: Actor, database: Database
) -> None:
    path = "/".join(["x" * 250] * 4)
    content.put(admin, path, [b"1"])
    _, resource, detail = journal(database)[0]
    assert len(resource) < 600
    assert detail["path"] == path


def test_workspaces_do_not_see_each_others_files(artifacts: ArtifactService, admin: Actor, stranger: Actor) -> None:
    artifacts.put(admin, "r/a", [b"ours"])
    artifacts.put(stranger, "r/a", [b"theirs"])
    assert read(artifacts, "r/a") == b"ours"
    assert read(artifacts, "r/a", "elsewhere") == b"theirs"
    assert read(artifacts, "workspaces/elsewhere/r/a", "elsewhere") == b"theirs"
    for workspace, path in (("default", "workspaces/elsewhere/r/a"), ("elsewhere", "workspaces/default/r/a")):
        with pytest.raises(InvalidInput, match="belongs to workspace"):
            artifacts.open(workspace, path)
    assert [entry.path for entry in artifacts.entries("default")] == ["r"]
    artifacts.delete(admin, "r")
    assert read(artifacts, "r/a", "elsewhere") == b"theirs"


def test_only_those_who_may_write_can_write(artifacts: ArtifactService, viewer: Actor, admin: Actor) -> None:
    artifacts.put(admin, "a", [b"1"])
    for deed in (
        lambda: artifacts.upload(viewer, "a"),
        lambda: artifacts.delete(viewer, "a"),
        lambda: artifacts.upload_url(viewer, "a", seconds=1),
        lambda: artifacts.collect_garbage(viewer),
    ):
        with pytest.raises(NotAllowed, match=r"tracking\.write"):
            deed()
    assert read(artifacts, "a") == b"1"


@pytest.mark.parametrize("path", ["", "../a", "/a", "a//b", "a\\b", "a%2f..%2fb", "a#b", "a\x00"])
def test_hostile_paths_reach_no_layout(artifacts: ArtifactService, admin: Actor, path: str) -> None:
    for deed in (
        lambda: artifacts.put(admin, path, []),
        lambda: artifacts.delete(admin, path),
        lambda: artifacts.open("default", path),
        lambda: artifacts.stat("default", path),
        lambda: artifacts.locate("default", "mlflow-artifacts:/0", path or ".."),
    ):
        with pytest.raises(InvalidInput):
            deed()


def test_a_folder_cannot_be_read_and_an_absent_file_is_not_found(artifacts: ArtifactService, admin: Actor) -> None:
    artifacts.put(admin, "r/a", [b"1"])
    for verb in (artifacts.open, artifacts.stat):
        with pytest.raises(Conflict, match="'r' is a folder"):
            verb("default", "r")
        with pytest.raises(NotFound, match="'r/b' does not exist"):
            verb("default", "r/b")
        with pytest.raises(NotFound):
            verb("default", "r/a/b")


def test_an_upload_has_a_limit_if_it_is_given_one(artifacts: ArtifactService, admin: Actor) -> None:
    with artifacts.upload(admin, "a", max_bytes=10) as upload:
        upload.write(b"x" * 10)
        with pytest.raises(LimitExceeded, match="at most 10 bytes"):
            upload.write(b"x")
    assert artifacts.entries("default") == []


def test_a_reader_sees_what_was_there_when_it_began(artifacts: ArtifactService, layout: str, admin: Actor) -> None:
    artifacts.put(admin, "a", [b"before" * 300_000])
    reading = artifacts.open("default", "a")
    artifacts.put(admin, "a", [b"after" * 400_000])
    artifacts.collect_garbage(admin, grace_ms=-system_clock())
    if layout == "objects":
        with pytest.raises(Unavailable, match="was overwritten or deleted while it was read"):
            list(reading.chunks(0, reading.artifact.size_bytes))
    elif layout == "content":
        assert b"".join(reading.chunks(0, reading.artifact.size_bytes)) == b"before" * 300_000
    reading.close()
    assert read(artifacts, "a") == b"after" * 400_000


def test_many_writers_of_one_path_leave_one_whole_file(artifacts: ArtifactService, admin: Actor) -> None:
    contents = [bytes([65 + number]) * 300_000 for number in range(8)]
    errors: list[Exception] = []

    def write(data: bytes) -> None:
        try:
            artifacts.put(admin, "r/a", [data[:100_000], data[100_000:]])
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read(artifacts, "r/a") in contents
    assert artifacts.files("default", "r")[0].digest == sha256(read(artifacts, "r/a"))


def test_downloads_are_signed_where_the_store_can(artifacts: ArtifactService, layout: str, admin: Actor) -> None:
    artifacts.put(admin, "r/größe a.txt", [b"signed"])
    if "objects" not in layout and layout != "azure":
        assert not artifacts.signs
        with pytest.raises(Conflict, match="sign"):
            artifacts.download_url("default", "r/größe a.txt", seconds=60)
        return
    signed = artifacts.download_url("default", "r/größe a.txt", seconds=60)
    assert signed.size_bytes == 6
    with urlopen(signed.url) as answer:
        assert answer.read() == b"signed"
    with pytest.raises(InvalidInput, match="604800"):
        artifacts.download_url("default", "r/größe a.txt", seconds=604_801)
    with pytest.raises(NotFound):
        artifacts.download_url("default", "r/absent", seconds=60)


def test_uploads_are_signed_where_paths_are_kept_in_a_store(
    artifacts: ArtifactService, layout: str, admin: Actor, database: Database
) -> None:
    if layout not in {"objects", "azure"}:
        assert not artifacts.takes_signed_uploads("r/a")
        with pytest.raises(Conflict):
            artifacts.upload_url(admin, "r/a", seconds=60)
        return
    signed = artifacts.upload_url(admin, "r/a", seconds=60)
    headers = {"Content-Type": "text/plain", **signed.headers}
    outside = Request(signed.url, b"from outside", headers, method="PUT")
    with urlopen(outside):
        assert read(artifacts, "r/a") == b"from outside"
    assert journal(database)[-1] == ("artifact.upload_signed", "artifact/r/a", {"seconds": 60})
    found = artifacts.files("default", "r")
    assert [(file.digest, file.created_by) for file in found] == [(sha256(b"from outside"), "")]


PATHS = st.sampled_from(["a", "b", "f/a", "f/b", "f/g/a", "f-/a", "h/i/j", "ü/ö"])
STEPS = st.one_of(
    st.tuples(st.just("put"), PATHS, st.binary(max_size=20)),
    st.tuples(st.just("delete"), st.one_of(PATHS, st.sampled_from(["f", "f/g", "h", "f-"])), st.just(b"")),
)


@given(steps=st.lists(STEPS, max_size=25))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_any_puts_and_deletes_leave_what_a_dictionary_would_hold(
    artifacts: ArtifactService, layout: str, admin: Actor, steps: list[tuple[str, str, bytes]]
) -> None:
    for entry in artifacts.entries("default"):
        artifacts.delete(admin, entry.path)
    expected: dict[str, bytes] = {}
    for verb, path, data in steps:
        if verb == "put":
            artifacts.put(admin, path, [data])
            expected[path] = data
        else:
            gone = [each for each in expected if each == path or each.startswith(f"{path}/")]
            assert artifacts.delete(admin, path) == len(gone)
            for each in gone:
                del expected[each]
    found = artifacts.files("default", "")
    assert {file.path: file.digest for file in found} == {path: sha256(data) for path, data in expected.items()}
    assert {file.path: read(artifacts, file.path) for file in found} == expected
    for folder in ("", "f", "f/g", "h"):
        assert {(entry.path, entry.is_folder) for entry in artifacts.entries("default", folder)} == _one_level(
            expected, folder
        )


def _one_level(files: dict[str, bytes], folder: str) -> set[tuple[str, bool]]:
    prefix = f"{folder}/" if folder else ""
    rests = [path[len(prefix) :] for path in files if path.startswith(prefix)]
    return {(rest.partition("/")[0], "/" in rest) for rest in rests}


# -- by digest -------------------------------------------------------------------------------------------------------


def test_the_same_bytes_are_stored_once(
    content: ArtifactService, admin: Actor, stranger: Actor, tmp_path: Path
) -> None:
    for actor, path in ((admin, "a"), (admin, "b/c"), (stranger, "a")):
        content.put(actor, path, [b"the same"])
    assert len(leftovers(tmp_path / "blobs")) == 1


def test_changed_bytes_are_noticed_before_the_last_of_them_is_given(
    content: ArtifactService, admin: Actor, tmp_path: Path
) -> None:
    content.put(admin, "a", [b"x" * 2_500_000])
    blob = leftovers(tmp_path / "blobs")[0]
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    reading = content.open("default", "a")
    given: list[bytes] = []
    with pytest.raises(Corrupted, match="does not match its digest"):
        given.extend(reading.chunks(0, len(data)))
    assert len(b"".join(given)) < len(data)
    reading.close()


def test_a_lost_blob_is_corruption_and_not_an_absent_file(
    content: ArtifactService, admin: Actor, tmp_path: Path
) -> None:
    content.put(admin, "a", [b"x"])
    leftovers(tmp_path / "blobs")[0].unlink()
    with pytest.raises(Corrupted, match="are gone"):
        content.open("default", "a")


def test_a_file_and_a_folder_cannot_share_a_path(
    content: ArtifactService, folder: ArtifactService, admin: Actor
) -> None:
    for service in (content, folder):
        service.put(admin, "r/a/b", [b"1"])
        with pytest.raises(Conflict, match="is a folder"):
            service.put(admin, "r/a", [b"2"])
        with pytest.raises(Conflict, match="a file"):
            service.put(admin, "r/a/b/c/d", [b"3"])
        assert [(file.path, file.digest) for file in service.files("default", "")] == [("r/a/b", sha256(b"1"))]


def test_garbage_is_what_no_artifact_refers_to(
    content: ArtifactService, admin: Actor, stranger: Actor, tmp_path: Path, database: Database
) -> None:
    records = Records(database, system_clock)
    service = ArtifactService(records, BlobStore((tmp_path / "blobs").as_uri()))
    service.put(admin, "kept", [b"kept"])
    service.put(admin, "shared", [b"shared"])
    service.put(stranger, "shared", [b"shared"])
    service.put(admin, "overwritten", [b"old"])
    service.put(admin, "overwritten", [b"new"])
    service.put(admin, "deleted", [b"deleted"])
    service.delete(admin, "deleted")
    service.delete(admin, "shared")
    abandoned = service.upload(admin, "unfinished")
    abandoned.write(b"half")
    young = service.collect_garbage(admin)
    assert (young.blobs, young.uploads) == (0, 0)
    collected = service.collect_garbage(admin, grace_ms=-1000)
    assert (collected.blobs, collected.size_bytes, collected.uploads) == (2, 10, 0)
    assert journal(database)[-1][0] == "artifacts.collected"
    assert {path.read_bytes() for path in leftovers(tmp_path / "blobs" / "sha256")} == {b"kept", b"shared", b"new"}
    assert read(service, "shared", "elsewhere") == b"shared"
    assert service.collect_garbage(admin, grace_ms=-1000).blobs == 0
    abandoned.finish()
    abandoned.discard()
    assert read(service, "unfinished") == b"half"


def test_what_is_collected_before_it_has_its_path_must_be_sent_again(
    content: ArtifactService, admin: Actor, database: Database, tmp_path: Path
) -> None:
    records = Records(database, system_clock)
    service = ArtifactService(records, BlobStore((tmp_path / "blobs").as_uri()))
    with service.upload(admin, "a") as upload:
        upload.write(b"data")
        upload._staged.seal()
        assert service.collect_garbage(admin, grace_ms=-1000).blobs == 1
        assert leftovers(tmp_path / "blobs" / "sha256") == []
        with (
            pytest.raises(Unavailable, match="Send it again"),
            records.change(admin, Permission.TRACKING_WRITE) as change,
        ):
            upload._staged.publish(change)
    assert service.entries("default") == []
    service.put(admin, "a", [b"data"])
    assert read(service, "a") == b"data"


def test_collecting_while_others_write_loses_nothing(
    content: ArtifactService, admin: Actor, database: Database, tmp_path: Path
) -> None:
    service = ArtifactService(Records(database, system_clock), BlobStore((tmp_path / "blobs").as_uri()))
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(_churn, service, admin, str(number)) for number in range(3)]
        while not all(writer.done() for writer in writers):
            service.collect_garbage(admin, grace_ms=-1000)
    for writer in writers:
        for path, data in writer.result().items():
            assert read(service, path) == data


def _churn(service: ArtifactService, actor: Actor, name: str) -> dict[str, bytes]:
    """Files that share few contents come and go; returns those that stayed."""
    kept = {}
    for turn in range(12):
        path, data = f"{name}/{turn}", f"{turn % 3}".encode()
        try:
            service.put(actor, path, [data])
        except Unavailable:
            continue
        if turn % 2:
            service.delete(actor, path)
        else:
            kept[path] = data
    return kept


# -- plain files -----------------------------------------------------------------------------------------------------


def test_plain_files_lie_under_their_paths(folder: ArtifactService, kept: Path, admin: Actor, stranger: Actor) -> None:
    folder.put(admin, "0/r/artifacts/a.txt", [b"1"])
    folder.put(stranger, "0/r/artifacts/a.txt", [b"2"])
    assert (kept / "0/r/artifacts/a.txt").read_bytes() == b"1"
    assert (kept / "workspaces/elsewhere/0/r/artifacts/a.txt").read_bytes() == b"2"
    assert (kept / "0/r/artifacts/a.txt").stat().st_mode & 0o444 == 0o444


def test_what_others_put_there_is_seen_too(folder: ArtifactService, kept: Path, admin: Actor) -> None:
    folder.put(admin, "ours", [b"1"])
    (kept / "sub").mkdir()
    (kept / "sub" / "theirs").write_bytes(b"22")
    (kept / "a#b").write_bytes(b"no path of ours")
    os.mkfifo(kept / "pipe")
    assert [entry.path for entry in folder.entries("default")] == ["ours", "sub"]
    assert read(folder, "sub/theirs") == b"22"
    assert [(file.path, file.digest) for file in folder.files("default", "")] == [
        ("ours", sha256(b"1")),
        ("sub/theirs", sha256(b"22")),
    ]
    (kept / "ours").write_bytes(b"changed by others")
    assert folder.files("default", "")[0].digest == sha256(b"changed by others")
    assert folder.stat("default", "ours").digest == ""
    with pytest.raises(NotFound):
        folder.open("default", "pipe")


def test_links_lead_nowhere_outside(folder: ArtifactService, kept: Path, admin: Actor, tmp_path: Path) -> None:
    folder.put(admin, "a", [b"1"])
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    (kept / "out").symlink_to(tmp_path / "secret")
    (kept / "key").symlink_to(tmp_path / "secret" / "key")
    (kept / "in").symlink_to(kept / "a")
    for path in ("out/key", "key"):
        with pytest.raises(NotFound):
            folder.open("default", path)
        with pytest.raises(Conflict, match="a link out of"):
            folder.put(admin, path, [b"overwritten"])
    assert folder.entries("default", "out") == []
    assert read(folder, "in") == b"1"
    assert [file.path for file in folder.files("default", "")] == ["a", "in"]
    assert (tmp_path / "secret" / "key").read_bytes() == b"secret"


def test_a_change_that_fails_puts_back_what_was_there(
    folder: ArtifactService, kept: Path, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put(admin, "r/a", [b"before"])

    def refuse(*_: object, **__: object) -> None:
        raise Unavailable("The journal is full.")

    monkeypatch.setattr("bailiwick.store.records.append_entries", refuse)
    for deed in (
        lambda: folder.put(admin, "r/a", [b"after"]),
        lambda: folder.put(admin, "new/b", [b"after"]),
        lambda: folder.delete(admin, "r"),
    ):
        with pytest.raises(Unavailable, match="journal is full"):
            deed()
    assert [(file.path, file.digest) for file in folder.files("default", "")] == [("r/a", sha256(b"before"))]
    assert sorted(path.name for path in kept.iterdir()) == [".bailiwick-incoming", "r"]
    assert leftovers(kept / ".bailiwick-incoming") == []


# -- where URIs lead -------------------------------------------------------------------------------------------------


def test_uris_of_runs_lead_to_locations(records: Records, blobs: BlobStore, tmp_path: Path) -> None:
    service = ArtifactService(
        records, blobs, destination=str(tmp_path / "kept"), direct=(tmp_path / "direct root").as_uri()
    )
    kept, direct = (tmp_path / "kept").as_uri(), (tmp_path / "direct root").as_uri()
    assert service.locate("default", "mlflow-artifacts:/0/r/artifacts", "a/b") == Location("0/r/artifacts/a/b")
    assert service.locate("default", f"{kept}/0/r", "a") == Location("0/r/a")
    assert service.locate("default", str(tmp_path / "kept" / "0")) == Location("0")
    assert service.locate("default", kept) == Location("")
    assert service.locate("default", f"{direct}/0/r", "a") == Location("0/r/a", "direct")
    assert service.locate("team", f"{kept}/workspaces/team/0", "a") == Location("0/a")
    assert service.locate("team", "mlflow-artifacts:/workspaces/team/0") == Location("0")
    for workspace, uri in (
        ("team", f"{kept}/0"),
        ("team", f"{kept}/workspaces/other/0"),
        ("default", "file:///etc"),
        ("default", f"{kept}-other/0"),
        ("default", f"{kept}/../x"),
        ("default", "s3://bucket/x"),
        ("default", "relative/x"),
        ("default", "http://host/elsewhere"),
        ("default", "runs:/x/y"),
        ("default", ""),
    ):
        with pytest.raises(Conflict, match=r"out of this server's reach|do not lie in"):
            service.locate(workspace, uri)
    with pytest.raises(InvalidInput):
        service.locate("default", "mlflow-artifacts:/0", "../1")


def test_a_root_that_clients_use_themselves_is_read_and_written_too(
    records: Records, blobs: BlobStore, tmp_path: Path, admin: Actor
) -> None:
    service = ArtifactService(records, blobs, direct=str(tmp_path / "direct"))
    (tmp_path / "direct" / "0").mkdir(parents=True)
    (tmp_path / "direct" / "0" / "a").write_bytes(b"by a client")
    location = service.locate("default", (tmp_path / "direct" / "0").as_uri(), "a")
    assert read(service, location) == b"by a client"
    service.put(admin, service.locate("default", str(tmp_path / "direct" / "0"), "b"), [b"2"])
    assert (tmp_path / "direct" / "0" / "b").read_bytes() == b"2"
    assert service.entries("default") == []


def test_a_root_that_only_clients_can_use_is_no_error_until_it_is_asked_for(records: Records, blobs: BlobStore) -> None:
    for root in ("hdfs://cluster/x", "mlflow-artifacts:/", "http://127.0.0.1:1/api/2.0/mlflow-artifacts/artifacts"):
        service = ArtifactService(records, blobs, direct=root)
        assert service.locate("default", "mlflow-artifacts:/0") == Location("0")
        with pytest.raises(Conflict, match="out of this server's reach"):
            service.locate("default", "hdfs://cluster/x/0")


@pytest.mark.parametrize("destination", ["hdfs://cluster/x", "file://host/x", "http://host/x"])
def test_a_destination_that_cannot_be_used_is_refused_at_once(
    records: Records, blobs: BlobStore, destination: str
) -> None:
    with pytest.raises(InvalidInput, match=r"choose one of: .*file"):
        ArtifactService(records, blobs, destination=destination)
