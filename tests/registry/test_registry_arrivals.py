"""Versions that arrive from another registry keep the numbers they had there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.registry.arrivals import ArrivedVersion
from bailiwick.registry.ports import NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.store.records import Records

ORIGIN = "http://there:5000"
THIRD = ArrivedVersion(3, "s3://b/3", "s3://b/3", description="third", created=70, updated=80, tags={"k": "v"})


@pytest.fixture
def registry(records: Records) -> RegistryService:
    return RegistryService(records, NoGate())


def test_numbers_are_kept_and_counting_goes_on_after_the_highest(registry: RegistryService, admin: Actor) -> None:
    registry.import_model(admin, "m", origin=ORIGIN, description="d", tags={"a": "b"}, created=60)
    assert registry.import_versions(admin, "m", [THIRD, replace(THIRD, number=1)], origin=ORIGIN) == [3, 1]
    model, third = registry.model("default", "m"), registry.version("default", "m", 3)
    assert (model.description, model.tags, model.created, model.newest) == ("d", {"a": "b"}, 60, 3)
    assert (third.source, third.description, third.created, third.tags) == ("s3://b/3", "third", 70, {"k": "v"})
    assert third.created_by == admin.identity
    assert registry.create_version(admin, "m", source="s3://b/4").number == 4
    with pytest.raises(NotFound, match="has no version 2"):
        registry.version("default", "m", 2)


def test_what_arrives_again_is_brought_up_to_date(registry: RegistryService, admin: Actor) -> None:
    registry.import_model(admin, "m", origin=ORIGIN)
    registry.import_versions(admin, "m", [THIRD], origin=ORIGIN)
    later = replace(THIRD, description="changed", tags={"k": "w"})
    assert registry.import_versions(admin, "m", [later], origin=ORIGIN) == []
    registry.import_model(admin, "m", origin=ORIGIN, description="new")
    found = registry.version("default", "m", 3)
    assert (found.description, found.tags, found.created) == ("changed", {"k": "w"}, 70)
    assert registry.model("default", "m").description == "new"
    assert registry.model("default", "m").newest == 3


def test_a_version_that_was_deleted_here_stays_deleted(registry: RegistryService, admin: Actor) -> None:
    registry.import_model(admin, "m", origin=ORIGIN)
    registry.import_versions(admin, "m", [THIRD], origin=ORIGIN)
    registry.delete_version(admin, "m", 3)
    assert registry.import_versions(admin, "m", [replace(THIRD, description="x")], origin=ORIGIN) == []
    assert registry.version("default", "m", 3, deleted=True).description == "third"


def test_a_number_that_other_content_has_is_refused_with_all_that_came_along(
    registry: RegistryService, admin: Actor
) -> None:
    registry.create_model(admin, "m")
    registry.create_version(admin, "m", source="s3://b/own")
    arriving = [replace(THIRD, number=7), replace(THIRD, number=1)]
    with pytest.raises(Conflict, match=r"Version 1 of model 'm' is here already, from s3://b/own"):
        registry.import_versions(admin, "m", arriving, origin=ORIGIN)
    assert [each.number for each in registry.versions("default", "m")] == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": 0},
        {"number": 2**31},
        {"source": ""},
        {"source": "file://other/x"},
        {"status": "DONE"},
        {"tags": {"../x": "y"}},
        {"description": "nul\x00"},
    ],
)
def test_what_cannot_be_kept_is_refused(registry: RegistryService, admin: Actor, wrong: dict[str, object]) -> None:
    registry.import_model(admin, "m", origin=ORIGIN)
    with pytest.raises(InvalidInput):
        registry.import_versions(admin, "m", [THIRD, replace(THIRD, **wrong)], origin=ORIGIN)  # type: ignore[arg-type]
    assert registry.versions("default", "m") == []


def test_an_unknown_model_gets_no_versions(registry: RegistryService, admin: Actor, viewer: Actor) -> None:
    with pytest.raises(NotFound):
        registry.import_versions(admin, "nothing", [THIRD], origin=ORIGIN)
    with pytest.raises(NotAllowed):
        registry.import_model(viewer, "m", origin=ORIGIN)
