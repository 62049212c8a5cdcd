"""Deploying, splitting traffic, and the route table a data plane follows."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, NotAllowed, NotFound
from bailiwick.endpoints.model import Endpoint, RouteTable, Variant
from bailiwick.endpoints.service import EndpointService
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

A, B = "a" * 64, "b" * 64


@pytest.fixture
def service(records: Records) -> EndpointService:
    return EndpointService(records)


def split(new: int) -> list[Variant]:
    return [Variant("v2", "late", 2, B, new), Variant("v1", "late", 1, A, 10_000 - new)]


def deploy(service: EndpointService, actor: Actor, version: int = 1) -> Endpoint:
    return service.deploy(
        actor, "late", model="late", version=version, package=A if version == 1 else B, key="tail", time="at"
    )


def test_a_deployed_version_gets_all_traffic(service: EndpointService, admin: Actor) -> None:
    made = deploy(service, admin)
    assert made.variants == (Variant("v1", "late", 1, A, 10_000),)
    assert (made.epoch, made.key, made.time) == (1, "tail", "at")
    assert service.endpoint("default", "late") == made
    table = service.route_table("default")
    assert table == RouteTable(format=1, revision=1, endpoints=(made,))
    assert msgspec.json.decode(msgspec.json.encode(table), type=RouteTable) == table


def test_deploying_again_changes_nothing(service: EndpointService, admin: Actor) -> None:
    made = deploy(service, admin)
    assert deploy(service, admin) == made
    assert service.deploy(admin, "late", model="late", version=1, package=A) == made
    assert service.revision("default") == 1


def test_a_new_version_keeps_salt_and_context_and_opens_an_epoch(service: EndpointService, admin: Actor) -> None:
    made = deploy(service, admin)
    changed = service.deploy(admin, "late", model="late", version=2, package=B)
    assert (changed.salt, changed.key, changed.time, changed.epoch) == (made.salt, "tail", "at", 2)
    assert service.revision("default") == 2


def test_traffic_is_split_once_for_each_epoch(service: EndpointService, admin: Actor, clock: FakeClock) -> None:
    deploy(service, admin)
    clock.advance(60_000)
    changed = service.set_variants(admin, "late", split(100), reason="canary 1 %")
    assert changed.epoch == 2
    assert service.set_variants(admin, "late", split(100), reason="again") == changed
    history = service.history("default", "late")
    assert [(entry.epoch, entry.actor, entry.reason) for entry in history] == [
        (1, "admin", "deploy late version 1"),
        (2, "admin", "canary 1 %"),
    ]
    assert history[1].time - history[0].time == 60_000
    assert history[1].variants == tuple(split(100))


def test_every_change_is_journalled(service: EndpointService, records: Records, admin: Actor) -> None:
    deploy(service, admin)
    service.set_variants(admin, "late", split(100), reason="canary")
    with records.read() as connection:
        actions = connection.scalars(select(entries.c.action).order_by(entries.c.number)).all()
    assert actions == ["endpoint.deployed", "endpoint.traffic_set"]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([], "1 to 16 variants"),
        ([Variant("v1", "m", 1, A, 9_999)], "sum to 9999"),
        ([Variant("v1", "m", 1, A, 11_000), Variant("v2", "m", 2, B, -1_000)], "basis points from 0"),
        ([Variant("v1", "m", 1, A, 5_000), Variant("v1", "m", 2, B, 5_000)], "must differ"),
    ],
)
def test_a_split_that_cannot_be_is_refused(
    service: EndpointService, admin: Actor, variants: list[Variant], message: str
) -> None:
    deploy(service, admin)
    with pytest.raises(InvalidInput, match=message):
        service.set_variants(admin, "late", variants, reason="x")
    assert service.revision("default") == 1


@pytest.mark.parametrize("name", ["", "Late", "a/b", "../a", "-a", "a" * 101])
def test_a_name_that_cannot_be_in_a_url_is_refused(service: EndpointService, admin: Actor, name: str) -> None:
    with pytest.raises(InvalidInput, match="Endpoint name"):
        service.deploy(admin, name, model="late", version=1, package=A)


def test_other_workspaces_do_not_see_it(service: EndpointService, admin: Actor, stranger: Actor) -> None:
    deploy(service, admin)
    with pytest.raises(NotFound):
        service.endpoint("elsewhere", "late")
    with pytest.raises(NotFound):
        service.set_variants(stranger, "late", split(1), reason="x")
    assert service.revision("elsewhere") == 0
    assert service.route_table("elsewhere").endpoints == ()
    assert deploy(service, stranger).salt != service.endpoint("default", "late").salt


def test_a_reader_may_not_deploy(service: EndpointService, admin: Actor, viewer: Actor) -> None:
    with pytest.raises(NotAllowed):
        deploy(service, viewer)
    deploy(service, admin)
    with pytest.raises(NotAllowed):
        deploy(service, viewer)
    with pytest.raises(NotAllowed):
        service.set_variants(viewer, "late", split(1), reason="x")


def test_an_unknown_endpoint_names_those_that_exist(service: EndpointService, admin: Actor) -> None:
    deploy(service, admin)
    with pytest.raises(NotFound, match="Did you mean 'late'"):
        service.endpoint("default", "lat")


def test_appearances_are_the_changes_that_gave_a_version_traffic(
    records: Records, admin: Actor, stranger: Actor
) -> None:
    service = EndpointService(records)
    odd = 'odd "%_\\ name'
    service.deploy(admin, "late", model=odd, version=1, package="a" * 64)
    service.deploy(admin, "late", model=odd, version=11, package="b" * 64)
    service.deploy(admin, "other", model=odd, version=1, package="a" * 64)
    service.deploy(admin, "third", model=odd.upper(), version=1, package="a" * 64)
    service.deploy(stranger, "late", model=odd, version=1, package="a" * 64)
    found = service.appearances("default", odd, 1)
    assert sorted(endpoint for endpoint, _ in found) == ["late", "other"]
    assert all(any(each.version == 1 for each in change.variants) for _, change in found)
    assert [endpoint for endpoint, _ in service.appearances("default", odd, 11)] == ["late"]
    assert service.appearances("default", "odd", 1) == []
    assert len(service.appearances("default", odd, 1, limit=1)) == 1
