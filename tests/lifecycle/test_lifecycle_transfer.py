"""A version leaves one server as a file and arrives at another whole, or not at all."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import BailiwickError, CheckFailed, Conflict, InvalidInput
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.transfer import export_version, import_version
from bailiwick.registry.model import ModelVersion
from bailiwick.testing.clock import FakeClock

MLMODEL = b"""\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.9}
  sklearn: {sklearn_version: 1.5.0, pickled_model: model.pkl}
mlflow_version: 3.17.2
model_id: m-0123456789abcdef0123456789abcdef
signature:
  inputs: '[{"type": "double", "name": "hour", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
  params: null
"""
FILES = {"MLmodel": MLMODEL, "model.pkl": b"pickle" * 100, "requirements.txt": b"scikit-learn==1.5.0\nnumpy\n"}
KNOWN = ("digest", "size_bytes", "signature", "content", "environment", "description", "content_state")


@pytest.fixture
def elsewhere(tmp_path: Path, sqlite_template: Path, clock: FakeClock) -> Iterator[Platform]:
    """Another server."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / "bailiwick.db").write_bytes(sqlite_template.read_bytes())
    opened = open_platform(Settings(home=home), clock)
    yield opened
    opened.close()


def register(platform: Platform, admin: Actor) -> ModelVersion:
    """A version as MLflow's client makes it."""
    run = platform.tracking.start_run(admin, "e", name="r")
    platform.tracking.log(admin, run.id, params={"C": "0.5"}, metrics={"auc": 0.75})
    for path, data in FILES.items():
        where = platform.artifacts.locate("default", run.artifact_uri, f"model/{path}")
        platform.artifacts.put(admin, where, [data])
    platform.registry.create_model(admin, "late")
    return platform.registry.create_version(
        admin, "late", source=f"runs:/{run.id}/model", run_id=run.id, description="first", tags={"team": "core"}
    )


def artifacts(platform: Platform) -> list[str]:
    return [each.path for each in platform.artifacts.files("default", "registry")] if platform else []


def test_files_tags_facts_and_origin_arrive(
    platform: Platform, elsewhere: Platform, admin: Actor, tmp_path: Path
) -> None:
    made = register(platform, admin)
    archive = export_version(platform, "default", "late", 1, tmp_path / "late.zip")
    assert {each.path for each in archive.members} >= {f"artifacts/{path}" for path in FILES} | {
        "card.json",
        "lineage.json",
    }
    arrived = import_version(elsewhere, admin, tmp_path / "late.zip")
    assert {name: getattr(arrived, name) for name in KNOWN} == {name: getattr(made, name) for name in KNOWN}
    assert (arrived.flavors, arrived.native) == (made.flavors, False)
    assert (arrived.metrics, arrived.parameters) == ({"auc": 0.75}, {"C": "0.5"})
    assert arrived.tags["team"] == "core"
    assert {arrived.tags[f"origin.{name}"] for name in ("model", "number", "run_id", "digest")} == {
        "late",
        "1",
        made.run_id,
        made.digest,
    }
    assert {path: b"".join(data) for path, data in elsewhere.registry.content(arrived)} == FILES
    elsewhere.registry.check_content(arrived)
    kept = artifacts(elsewhere)
    assert [path for path in kept if path.endswith(("card.json", "lineage.json"))]
    assert elsewhere.registry.version("default", "late", 1) == arrived


def test_the_same_file_again_is_the_same_version(
    platform: Platform, elsewhere: Platform, admin: Actor, tmp_path: Path
) -> None:
    register(platform, admin)
    export_version(platform, "default", "late", 1, tmp_path / "a.zip")
    export_version(platform, "default", "late", 1, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    first = import_version(elsewhere, admin, tmp_path / "a.zip")
    assert import_version(elsewhere, admin, tmp_path / "b.zip") == first
    other = import_version(elsewhere, admin, tmp_path / "a.zip", model="tardy")
    assert (other.model, other.number, other.digest) == ("tardy", 1, first.digest)


def test_an_arrived_version_is_exported_again_and_purged_with_all_that_came(
    platform: Platform, elsewhere: Platform, admin: Actor, tmp_path: Path
) -> None:
    register(platform, admin)
    export_version(platform, "default", "late", 1, tmp_path / "a.zip")
    import_version(elsewhere, admin, tmp_path / "a.zip")
    import_version(elsewhere, admin, tmp_path / "a.zip", model="tardy")
    again = export_version(elsewhere, "default", "late", 1, tmp_path / "again.zip")
    assert {each.path for each in again.members} >= {f"artifacts/{path}" for path in FILES}
    elsewhere.registry.delete_version(admin, "late", 1)
    elsewhere.registry.purge_version(admin, "late", 1, reason="erased")
    assert artifacts(elsewhere), "another version has the same files"
    elsewhere.registry.delete_version(admin, "tardy", 1)
    elsewhere.registry.purge_version(admin, "tardy", 1, reason="erased")
    assert artifacts(elsewhere) == []


def test_files_that_are_out_of_reach_or_changed_are_not_exported(
    platform: Platform, admin: Actor, tmp_path: Path
) -> None:
    made = register(platform, admin)
    run = platform.tracking.run("default", made.run_id)
    platform.artifacts.put(admin, platform.artifacts.locate("default", run.artifact_uri, "model/model.pkl"), [b"other"])
    with pytest.raises(CheckFailed, match="not those that were registered"):
        export_version(platform, "default", "late", 1, tmp_path / "a.zip")
    platform.registry.create_version(admin, "late", source="s3://bucket/model")
    with pytest.raises(Conflict, match="out of this server's reach"):
        export_version(platform, "default", "late", 2, tmp_path / "a.zip")
    assert list(tmp_path.glob("*.zip*")) == list(tmp_path.glob(".*.part")) == []


def _rewritten(source: Path, change: Callable[[dict[str, bytes], dict[str, object]], None]) -> Path:
    with zipfile.ZipFile(source) as bundle:
        members = {info.filename: bundle.read(info) for info in bundle.infolist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    target = source.with_name("hostile.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            bundle.writestr(zipfile.ZipInfo(name), data)
    return target


def _add(path: str, data: bytes = b"x") -> Callable[[dict[str, bytes], dict[str, object]], None]:
    def change(members: dict[str, bytes], manifest: dict[str, object]) -> None:
        members[f"files/{path}"] = data
        listed = manifest["members"]
        assert isinstance(listed, list)
        listed.append({"path": path, "sha256": sha256_hex(data), "size_bytes": len(data)})

    return change


HOSTILE: dict[str, Callable[[dict[str, bytes], dict[str, object]], None]] = {
    "a changed byte": lambda members, _: members.update({"files/artifacts/model.pkl": b"PICKLE" * 100}),
    "another file among the model's": _add("artifacts/backdoor.py"),
    "a path to elsewhere": _add("artifacts/../../x"),
    "an encoded path to elsewhere": _add("artifacts/%2e%2e/x"),
    "a path that no store takes": _add("artifacts/a#b"),
    "a bomb": lambda members, _: members.update({"files/artifacts/model.pkl": bytes(50_000_000)}),
    "a bomb that is announced": _add("artifacts/zeros", bytes(50_000_000)),
    "no files at all": lambda members, manifest: (
        [members.pop(name) for name in list(members) if "artifacts/" in name],
        manifest.update(members=[each for each in manifest["members"] if "artifacts/" not in each["path"]]),  # type: ignore[attr-defined]
    )[1],
}


@pytest.mark.parametrize("deed", HOSTILE)
def test_a_hostile_archive_leaves_nothing(
    platform: Platform, elsewhere: Platform, admin: Actor, tmp_path: Path, deed: str
) -> None:
    register(platform, admin)
    export_version(platform, "default", "late", 1, tmp_path / "a.zip")
    hostile = _rewritten(tmp_path / "a.zip", HOSTILE[deed])
    with pytest.raises(BailiwickError):
        import_version(elsewhere, admin, hostile)
    assert elsewhere.registry.models("default") == []
    assert artifacts(elsewhere) == []
    assert elsewhere.journal.entries("default", limit=10) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(
    platform: Platform, elsewhere: Platform, admin: Actor, tmp_path: Path, share: float
) -> None:
    register(platform, admin)
    export_version(platform, "default", "late", 1, tmp_path / "a.zip")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidInput):
        import_version(elsewhere, admin, tmp_path / "cut.zip")
    assert artifacts(elsewhere) == []


def test_what_was_kept_is_taken_back_when_registering_fails(
    platform: Platform, elsewhere: Platform, admin: Actor, tmp_path: Path
) -> None:
    register(platform, admin)
    export_version(platform, "default", "late", 1, tmp_path / "a.zip")
    wrong = _record(tmp_path / "a.zip", tags={"../x": "1"})
    with pytest.raises(InvalidInput, match="Tag key"):
        import_version(elsewhere, admin, wrong)
    assert artifacts(elsewhere) == []
    shutil.copy(tmp_path / "a.zip", tmp_path / "good.zip")
    assert import_version(elsewhere, admin, tmp_path / "good.zip").number == 1


def _record(source: Path, **changes: object) -> Path:
    """The archive with another record, which its manifest names."""

    def change(members: dict[str, bytes], manifest: dict[str, object]) -> None:
        record = json.dumps({**json.loads(members["version.json"]), **changes}, separators=(",", ":"), sort_keys=True)
        members["version.json"] = record.encode()
        manifest["record_sha256"] = sha256_hex(record.encode())

    return _rewritten(source, change)
