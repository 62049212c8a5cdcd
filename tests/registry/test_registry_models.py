"""Models live without versions; names, once they had versions, keep their numbers; what is purged leaves a tombstone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.blobs import BlobStore
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.testing.registry import FakeReferences

SOURCE = "s3://bucket/model"


@pytest.fixture
def registry(records: Records, blobs: BlobStore) -> RegistryService:
    return RegistryService(records, NoGate(), blobs)


def _package(
    registry: RegistryService, blobs: BlobStore, actor: Actor, data: bytes, model: str = "late"
) -> ModelVersion:
    return registry.register(
        actor,
        model,
        package=blobs.put(data),
        run_id="r1",
        snapshot="s1",
        signature={"inputs": []},
        metrics={"auc": 0.7},
        slices={},
        parity={},
        environment={},
        code_version="c1",
        parameters={"depth": 6},
        reference_profile=blobs.put(b"profile of " + data),
        description="personal words",
    )


def _journal(records: Records) -> list[str]:
    with records.read() as connection:
        return list(connection.scalars(select(entries.c.action).order_by(entries.c.number)))


def test_a_model_needs_no_version(records: Records, registry: RegistryService, admin: Actor) -> None:
    made = registry.create_model(admin, "late", description="Late flights.", tags={"team": "core"})
    assert (made.newest, made.versions, made.tags, made.description) == (0, 0, {"team": "core"}, "Late flights.")
    assert registry.model("default", "late") == made
    with pytest.raises(AlreadyExists, match="'late' exists already"):
        registry.create_model(admin, "late")
    assert _journal(records) == ["model.created"]
    with pytest.raises(NotFound, match="Model 'gone'"):
        registry.create_version(admin, "gone", source=SOURCE)


def test_tags_are_set_replaced_and_removed(registry: RegistryService, admin: Actor) -> None:
    registry.create_model(admin, "late")
    registry.create_version(admin, "late", source=SOURCE, tags={"a": "1"})
    registry.tag_model(admin, "late", "k", "v")
    registry.tag_model(admin, "late", "k", "")
    registry.tag_version(admin, "late", 1, "b", "x" * 100_000)
    assert registry.model("default", "late").tags == {"k": ""}
    assert registry.version("default", "late", 1).tags == {"a": "1", "b": "x" * 100_000}
    assert registry.untag_model(admin, "late", "k")
    assert not registry.untag_model(admin, "late", "k")
    assert registry.untag_version(admin, "late", 1, "b")
    assert not registry.untag_version(admin, "late", 1, "b")
    assert registry.version("default", "late", 1).tags == {"a": "1"}


@pytest.mark.parametrize("key", ["", "a\nb", "../x", "/x", "a//b", "a#", "."])
def test_tag_keys_that_read_as_other_paths_are_refused(registry: RegistryService, admin: Actor, key: str) -> None:
    registry.create_model(admin, "late")
    with pytest.raises(InvalidInput):
        registry.tag_model(admin, "late", key, "v")
    with pytest.raises(LimitExceeded):
        registry.tag_model(admin, "late", "k" * 251, "v")
    with pytest.raises(LimitExceeded):
        registry.tag_model(admin, "late", "k", "v" * 100_001)


def test_a_name_taken_up_anew_goes_on_counting(registry: RegistryService, admin: Actor, clock: FakeClock) -> None:
    registry.create_model(admin, "late", description="old", tags={"a": "1"})
    registry.create_version(admin, "late", source=SOURCE)
    registry.set_alias(admin, "late", "champion", 1)
    assert registry.delete_model(admin, "late", reason="mistake") == 1
    assert registry.models("default") == []
    for gone in (
        lambda: registry.model("default", "late"),
        lambda: registry.delete_model(admin, "late"),
        lambda: registry.describe_model(admin, "late", "x"),
        lambda: registry.set_alias(admin, "late", "champion", 1),
    ):
        with pytest.raises(NotFound):
            gone()
    assert [each.action for each in registry.alias_history("default", "late")] == ["set", "version_deleted"]
    clock.advance(5)
    anew = registry.create_model(admin, "late")
    assert (anew.description, anew.tags, anew.created, anew.versions) == ("", {}, clock(), 0)
    assert registry.create_version(admin, "late", source=SOURCE).number == 2


def test_a_deleted_model_comes_back_with_what_was_deleted_with_it(
    registry: RegistryService, admin: Actor, clock: FakeClock
) -> None:
    registry.create_model(admin, "late", tags={"a": "1"})
    for _ in range(3):
        registry.create_version(admin, "late", source=SOURCE)
    registry.delete_version(admin, "late", 2)
    clock.advance(5)
    registry.delete_model(admin, "late")
    back = registry.restore_model(admin, "late")
    assert (back.versions, back.tags) == (2, {"a": "1"})
    assert [each.number for each in registry.versions("default", "late")] == [3, 1]
    with pytest.raises(Conflict, match="not deleted"):
        registry.restore_model(admin, "late")
    with pytest.raises(NotFound):
        registry.restore_model(admin, "never")


def test_a_renamed_model_keeps_everything(
    records: Records, registry: RegistryService, admin: Actor, clock: FakeClock
) -> None:
    registry.create_model(admin, "late", description="d", tags={"a": "1"})
    created = clock()
    for _ in range(2):
        registry.create_version(admin, "late", source=SOURCE, tags={"b": "2"})
    registry.set_alias(admin, "late", "champion", 2)
    registry.set_stage(admin, "late", 1, "Production")
    clock.advance(5)
    renamed = registry.rename_model(admin, "late", "delayed")
    assert (renamed.tags, renamed.aliases, renamed.newest, renamed.description) == ({"a": "1"}, {"champion": 2}, 2, "d")
    assert (renamed.created, renamed.updated) == (created, clock())
    assert registry.version("default", "delayed", 1).tags == {"b": "2"}
    assert [each.number for each in registry.pointing_at("default", "delayed", "production")] == [1]
    assert len(registry.alias_history("default", "delayed")) == 1
    with pytest.raises(NotFound, match="Model 'late'"):
        registry.model("default", "late")
    assert _journal(records)[-1] == "model.renamed"
    assert registry.rename_model(admin, "delayed", "delayed") == renamed
    anew = registry.create_model(admin, "late")
    assert registry.create_version(admin, anew.name, source=SOURCE).number == 3
    with pytest.raises(AlreadyExists):
        registry.rename_model(admin, "delayed", "late")
    registry.delete_model(admin, "late")
    with pytest.raises(AlreadyExists, match="its versions are kept"):
        registry.rename_model(admin, "delayed", "late")


def test_names_may_go_there_and_back(registry: RegistryService, admin: Actor) -> None:
    registry.create_model(admin, "a")
    registry.create_version(admin, "a", source=SOURCE)
    registry.rename_model(admin, "a", "b")
    registry.create_version(admin, "b", source=SOURCE)
    assert registry.rename_model(admin, "b", "a").newest == 2
    assert [each.number for each in registry.versions("default", "a")] == [2, 1]
    assert registry.create_model(admin, "b").versions == 0
    assert registry.create_version(admin, "b", source=SOURCE).number == 3


def test_a_name_that_others_go_by_stays(records: Records, admin: Actor) -> None:
    references = FakeReferences(models={"late": ["endpoint 'x'"], "guarded": ["the policy for 'production'"]})
    registry = RegistryService(records, NoGate(), references=references)
    registry.create_model(admin, "late")
    registry.create_model(admin, "free")
    with pytest.raises(Conflict, match="endpoint 'x' goes by the name 'late'"):
        registry.rename_model(admin, "late", "delayed")
    with pytest.raises(Conflict, match="the policy for 'production' goes by the name 'guarded'"):
        registry.rename_model(admin, "free", "guarded")


def test_purging_leaves_a_tombstone_and_nothing_of_the_content(
    records: Records, registry: RegistryService, admin: Actor, blobs: BlobStore, clock: FakeClock
) -> None:
    made = _package(registry, blobs, admin, b"onnx")
    registry.tag_version(admin, "late", 1, "k", "v")
    with pytest.raises(Conflict, match="is not deleted"):
        registry.purge_version(admin, "late", 1, reason="erased")
    registry.delete_version(admin, "late", 1)
    with pytest.raises(InvalidInput, match="needs a reason"):
        registry.purge_version(admin, "late", 1, reason=" ")
    clock.advance(5)
    gone = registry.purge_version(admin, "late", 1, reason="erased")
    assert (gone.purged, gone.digest, gone.size_bytes) == (clock(), made.digest, 4)
    assert (gone.run_id, gone.snapshot, gone.created, gone.created_by) == ("r1", "s1", made.created, admin.identity)
    assert (gone.package, gone.description, gone.tags, gone.metrics, gone.parameters) == ("", "", {}, {}, {})
    assert not blobs.exists(made.package)
    assert not blobs.exists(made.reference_profile)
    before = _journal(records)
    assert registry.purge_version(admin, "late", 1, reason="again") == gone
    assert _journal(records) == before
    assert before[-1] == "version.purged"
    with pytest.raises(Conflict, match="was purged"):
        registry.restore_version(admin, "late", 1)
    nodes = {node["id"] for node in registry.lineage("default", "late", 1)["nodes"]}
    assert {"run/r1", "snapshot/s1", "version/late/1", f"package/{made.digest}"} <= nodes
    assert _package(registry, blobs, admin, b"onnx again").number == 2


def test_purging_spares_what_another_version_holds(
    registry: RegistryService, admin: Actor, stranger: Actor, blobs: BlobStore
) -> None:
    made = _package(registry, blobs, admin, b"onnx")
    _package(registry, blobs, stranger, b"onnx")
    registry.delete_version(admin, "late", 1)
    registry.purge_version(admin, "late", 1, reason="erased")
    assert blobs.get(made.package) == b"onnx"
    registry.delete_version(stranger, "late", 1)
    registry.purge_version(stranger, "late", 1, reason="erased")
    assert not blobs.exists(made.package)


def test_what_an_endpoint_serves_is_not_purged(records: Records, admin: Actor, viewer: Actor) -> None:
    registry = RegistryService(records, NoGate(), references=FakeReferences(versions={("late", 1): ["endpoint 'x'"]}))
    registry.create_model(admin, "late")
    registry.create_version(admin, "late", source=SOURCE)
    registry.delete_version(admin, "late", 1)
    with pytest.raises(Conflict, match="in use by endpoint 'x'"):
        registry.purge_version(admin, "late", 1, reason="erased")
    with pytest.raises(NotAllowed, match=r"models\.approve"):
        registry.purge_version(viewer, "late", 1, reason="erased")


def test_a_version_is_packaged_once(
    records: Records, registry: RegistryService, admin: Actor, blobs: BlobStore
) -> None:
    registry.create_model(admin, "late")
    registry.create_version(admin, "late", source=SOURCE)
    digest = blobs.put(b"onnx")
    facts: dict[str, Any] = {"signature": {"inputs": []}, "parity": {"passed": True}}
    packaged = registry.attach_package(admin, "late", 1, package=digest, **facts)
    assert (packaged.package, packaged.digest, packaged.signature) == (digest, "", {"inputs": []})
    before = _journal(records)
    assert registry.attach_package(admin, "late", 1, package=digest, **facts) == packaged
    assert _journal(records) == before
    with pytest.raises(Conflict, match="has a package already"):
        registry.attach_package(admin, "late", 1, package=blobs.put(b"other"), **facts)
    with pytest.raises(NotFound, match="Blob"):
        registry.attach_package(admin, "late", 1, package=sha256_hex(b"nowhere"), **facts)


def test_a_run_that_was_registered_by_uri_may_still_register_its_package(
    registry: RegistryService, admin: Actor, blobs: BlobStore
) -> None:
    registry.create_model(admin, "late")
    registry.create_version(admin, "late", source="runs:/r1/model", run_id="r1")
    assert _package(registry, blobs, admin, b"onnx").number == 2
    assert _package(registry, blobs, admin, b"onnx").number == 2
    assert registry.create_version(admin, "late", source="runs:/r1/model", run_id="r1").number == 3


def test_descriptions_change_and_measurements_do_not(
    registry: RegistryService, admin: Actor, blobs: BlobStore, clock: FakeClock
) -> None:
    made = _package(registry, blobs, admin, b"onnx")
    clock.advance(5)
    told = registry.describe_version(admin, "late", 1, "new words")
    assert (told.description, told.updated, told.metrics) == ("new words", clock(), made.metrics)
    assert registry.model("default", "late").updated == made.created
