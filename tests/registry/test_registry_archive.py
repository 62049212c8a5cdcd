"""An archive is what its manifest says, or it is refused before anything comes of it."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import BailiwickError, InvalidInput
from bailiwick.registry.archive import member_bytes, read_archive, write_archive
from bailiwick.registry.comparison import VersionFacts, compare
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.blobs import BlobStore
from bailiwick.store.records import Records

RECORD = {"metrics": {"auc": 0.7}, "description": "d", "model": "late", "number": 3, "tags": {"team": "core"}}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_archive(
        tmp_path / "a.zip", model="late", number=3, record=RECORD, files=[("package.onnx", [b"on", b"nx"]), ("c/d", [])]
    )
    return tmp_path / "a.zip"


def test_what_is_written_is_read(archive: Path, tmp_path: Path) -> None:
    read = read_archive(archive)
    assert (read.model, read.number, read.record) == ("late", 3, RECORD)
    assert [(each.path, each.size_bytes) for each in read.members] == [("package.onnx", 4), ("c/d", 0)]
    member = read.member("package.onnx")
    assert member is not None
    assert b"".join(member_bytes(archive, member)) == b"onnx"
    assert read.sha256 == sha256_hex(archive.read_bytes())
    write_archive(
        tmp_path / "b.zip", model="late", number=3, record=RECORD, files=[("package.onnx", [b"onnx"]), ("c/d", [b""])]
    )
    assert (tmp_path / "b.zip").read_bytes() == archive.read_bytes()


def _rewritten(archive: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None], **entry: Any) -> Path:
    """The archive with its members and manifest changed by hand."""
    with zipfile.ZipFile(archive) as bundle:
        members = {info.filename: bundle.read(info) for info in bundle.infolist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    target = archive.with_name("hostile.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = entry.get("mode", 0) << 16
            bundle.writestr(info, data)
        bundle.writestr("manifest.json", json.dumps(manifest))
    return target


def _slip(path: str) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members[f"files/{path}"] = b"x"
        manifest["members"].append({"path": path, "sha256": sha256_hex(b"x"), "size_bytes": 1})

    return change


@pytest.mark.parametrize("path", ["../../etc/x", "/etc/x", "a/../b", "a//b", ".", "", "a\\b", "a\nb", "./a"])
def test_a_path_that_leads_out_is_refused(archive: Path, path: str) -> None:
    with pytest.raises(InvalidInput, match="no path inside"):
        read_archive(_rewritten(archive, _slip(path)))


def test_other_files_than_those_listed_are_refused(archive: Path) -> None:
    with pytest.raises(InvalidInput, match="other files"):
        read_archive(_rewritten(archive, lambda members, _: members.update({"files/extra": b"x"})))
    with pytest.raises(InvalidInput, match="other files"):
        read_archive(_rewritten(archive, lambda _, manifest: _slip("lost")({}, manifest)))
    with pytest.raises(InvalidInput, match="other files"):
        read_archive(_rewritten(archive, lambda members, _: members.update({"outside": b"x"})))


def test_a_changed_byte_is_noticed(archive: Path) -> None:
    changed = _rewritten(archive, lambda members, _: members.update({"files/package.onnx": b"ONNX"}))
    member = read_archive(changed).member("package.onnx")
    assert member is not None
    with pytest.raises(InvalidInput, match="is not what the manifest says"):
        list(member_bytes(changed, member))
    with pytest.raises(InvalidInput, match="record is not what the manifest says"):
        read_archive(_rewritten(archive, lambda members, _: members.update({"version.json": b"{}"})))


def test_a_file_that_unpacks_to_more_than_it_says_is_refused(archive: Path) -> None:
    bomb = _rewritten(archive, lambda members, _: members.update({"files/package.onnx": b"0" * 50_000_000}))
    with pytest.raises(InvalidInput, match="has 50000000 bytes; the manifest says 4"):
        read_archive(bomb)


def test_links_and_doubles_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no plain file"):
        read_archive(_rewritten(archive, lambda *_: None, mode=stat.S_IFLNK | 0o777))
    double = tmp_path / "double.zip"
    double.write_bytes(archive.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(double, "a") as bundle:
        bundle.writestr("files/package.onnx", b"other")
    with pytest.raises(InvalidInput, match="one twice"):
        read_archive(double)


@pytest.mark.parametrize(
    "change",
    [
        lambda _, manifest: manifest.update(format=2),
        lambda _, manifest: manifest.pop("members"),
        lambda _, manifest: manifest.update(members=[1]),
        lambda _, manifest: manifest.update(members=[{"path": "a", "sha256": "b", "size_bytes": -1}]),
        lambda members, _: members.pop("version.json"),
        lambda _, manifest: manifest.update(number="x"),
    ],
)
def test_a_manifest_that_is_not_whole_is_refused(archive: Path, change: Any) -> None:
    with pytest.raises(InvalidInput):
        read_archive(_rewritten(archive, change))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_read_as_it_was_or_refused(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        write_archive(path, model="late", number=3, record=RECORD, files=[("package.onnx", [b"onnx" * 20])])
        raw = bytearray(path.read_bytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw)
        try:
            read = read_archive(path)
            found = [b"".join(member_bytes(path, member)) for member in read.members]
        except BailiwickError:
            return
        assert (read.record, found) == (RECORD, [b"onnx" * 20])


def test_a_record_from_elsewhere_becomes_the_next_version_once(
    records: Records, blobs: BlobStore, admin: Actor
) -> None:
    registry = RegistryService(records, NoGate(), blobs)
    package = blobs.put(b"onnx")
    made = registry.register_archive(admin, "late", record=RECORD, origin="archive:x", package=package)
    assert (made.number, made.package, made.metrics, made.description) == (1, package, {"auc": 0.7}, "d")
    assert made.tags == {"origin.model": "late", "origin.number": "3", "team": "core"}
    assert registry.register_archive(admin, "late", record=RECORD, origin="archive:x", package=package) == made
    for bad in ({"metrics": 5}, {"description": "x" * 5_001}, {"tags": {"": "x"}}, {"parameters": {"a": "\ud800"}}):
        with pytest.raises(BailiwickError):
            registry.register_archive(admin, "late", record=bad, origin="archive:y", package=package)
    assert len(registry.versions("default", "late")) == 1


def test_a_comparison_names_each_difference(records: Records, admin: Actor) -> None:
    registry = RegistryService(records, NoGate())
    facts: dict[str, Any] = {
        "package": "a" * 64, "run_id": "", "snapshot": "s", "parity": {}, "environment": {}, "code_version": "c",
    }  # fmt: skip
    signature = {"inputs": [{"name": "hour", "datatype": "FP32", "shape": [-1, 1]}]}
    slices = {"slices": [{"column": "origin", "value": "JFK", "rows": 9, "metrics": {"auc": 0.6}}]}
    first = registry.register(
        admin, "late", **facts, signature=signature, metrics={"auc": 0.7, "n": float("nan")}, slices=slices,
        parameters={"depth": 6},
    )  # fmt: skip
    other = {"inputs": [{"name": "hour", "datatype": "FP64", "shape": [-1, 1]}]}
    second = registry.register(
        admin, "late", **facts, signature=other, metrics={"auc": 0.75, "n": float("nan"), "new": 1.0}, slices=slices,
        parameters={"depth": 8, "rate": 0.1},
    )  # fmt: skip
    found = compare(
        VersionFacts(first, first.parameters, first.metrics, {"rows": 10}),
        VersionFacts(second, second.parameters, second.metrics, {"rows": 12}),
    )
    assert [(each.name, each.left, each.right, each.same) for each in found.parameters] == [
        ("depth", 6, 8, False),
        ("rate", None, 0.1, False),
    ]
    assert [(each.name, each.same) for each in found.metrics] == [("auc", False), ("n", True), ("new", False)]
    assert found.metrics[0].change == pytest.approx(0.05)
    assert [(each.name, each.left, each.right) for each in found.signature] == [
        ("input hour", "FP32 [-1, 1]", "FP64 [-1, 1]")
    ]
    assert ("origin / JFK / metrics / auc", True) in [(each.name, each.same) for each in found.slices]
    assert (found.data[0].change, found.same_content) == (2.0, True)
