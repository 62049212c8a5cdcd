"""Deploying, splitting traffic, and the route table a data plane follows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, NotAllowed, NotFound
from bailiwick.endpoints.model import (
    BreakerRule,
    Endpoint,
    Fallback,
    OutputValue,
    Policy,
    Quota,
    RouteTable,
    Shadow,
    Variant,
)
from bailiwick.endpoints.recording import Recording
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


class Marked:
    """Version 2 has learnt from personal data."""

    def of_version(self, workspace: str, model: str, version: int) -> frozenset[str]:
        return frozenset({"name"}) if (workspace, model, version) == ("default", "late", 2) else frozenset()


def test_what_is_recorded_is_set_with_a_reason_and_routed_without_an_epoch(
    service: EndpointService, admin: Actor, records: Records
) -> None:
    made = deploy(service, admin)
    wanted = Recording(share=1_000, omitted=("iban", "iban"), when_full="drop")
    changed = service.set_recording(admin, "late", wanted, reason="less is enough")
    assert changed.recording == Recording(share=1_000, omitted=("iban",), when_full="drop")
    assert changed.epoch == made.epoch
    assert service.route_table("default").endpoints == (changed,)
    assert service.revision("default") == 2
    assert service.set_recording(admin, "late", wanted) == changed
    assert service.revision("default") == 2
    with records.read() as connection:
        row = connection.execute(select(entries).where(entries.c.action == "endpoint.recording_set")).one()
    assert "less is enough" in row.detail
    assert service.deploy(admin, "late", model="late", version=2, package=B).recording == changed.recording


def test_columns_that_a_schema_marks_stay_marked_whoever_is_deployed_next(records: Records, admin: Actor) -> None:
    service = EndpointService(records, Marked())
    assert deploy(service, admin).recording.personal == ()
    assert service.set_variants(admin, "late", split(100), reason="canary").recording.treatment("name") == "hash"
    assert deploy(service, admin).recording.personal == ("name",)
    said = service.set_recording(admin, "late", Recording(personal_rule="omit"))
    assert (said.recording.personal, said.recording.treatment("name")) == (("name",), "omit")


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        (Recording(share=10_001), "basis points"),
        (Recording(omitted=("a",), hashed=("a",)), "'a' cannot be left out"),
        (Recording(columns=("",)), "1 to 500 characters"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(
    service: EndpointService, admin: Actor, recording: Recording, said: str
) -> None:
    deploy(service, admin)
    with pytest.raises(InvalidInput, match=said):
        service.set_recording(admin, "late", recording)


def test_only_who_may_deploy_sets_what_is_recorded(service: EndpointService, admin: Actor, viewer: Actor) -> None:
    deploy(service, admin)
    with pytest.raises(NotAllowed):
        service.set_recording(viewer, "late", Recording(share=0))


def policy(**parts: Any) -> Policy:
    return Policy(**parts)


def test_a_policy_is_kept_whole_in_the_route_table_and_no_epoch_begins(
    service: EndpointService, admin: Actor, records: Records
) -> None:
    made = deploy(service, admin)
    wanted = policy(
        override_header="x-bailiwick-variant",
        shadows=(Shadow(Variant("v3", "late", 3, "c" * 64, 0), 2_500),),
        fallbacks=(Fallback(previous=True), Fallback(answer=(OutputValue("probability", 0.1),))),
        quota=Quota(10, 20, "header:x-client"),
    )
    changed = service.set_policy(admin, "late", wanted, reason="try 3")
    assert (changed.policy, changed.epoch, changed.variants) == (wanted, made.epoch, made.variants)
    assert service.set_policy(admin, "late", wanted, reason="again") == changed
    table = service.route_table("default")
    assert (table.revision, table.endpoints) == (2, (changed,))
    assert msgspec.json.decode(msgspec.json.encode(table), type=RouteTable) == table
    assert changed.packages == {A, "c" * 64}
    with records.read() as connection:
        found = connection.execute(select(entries).order_by(entries.c.number)).all()
    assert [row.action for row in found] == ["endpoint.deployed", "endpoint.policy_set"]


def test_a_policy_outlives_deployments_and_its_previous_version_follows_them(
    service: EndpointService, admin: Actor
) -> None:
    deploy(service, admin, 1)
    service.set_policy(admin, "late", policy(fallbacks=(Fallback(previous=True),)), reason="careful")

    def previous() -> int:
        (found,) = service.endpoint("default", "late").policy.fallbacks
        return found.variant.version if found.variant else 0

    assert previous() == 0
    deploy(service, admin, 2)
    assert previous() == 1
    service.set_variants(admin, "late", [Variant("v3", "late", 3, "c" * 64, 100), split(9_900)[0]], reason="canary")
    assert previous() == 2
    service.deploy(admin, "late", model="late", version=3, package="c" * 64)
    assert previous() == 2
    service.roll_back(admin, "late", Variant("v2", "late", 2, B, 0), reason="bad")
    assert previous() == 1
    (fallback,) = service.endpoint("default", "late").policy.fallbacks
    assert fallback.variant == Variant("v1", "late", 1, A, 0)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"override_header": "X-Upper"}, "lower case"),
        ({"override_header": "authorization"}, "says nothing else"),
        ({"priority_header": "a b"}, "priority_header"),
        ({"shadows": (Shadow(Variant("v3", "late", 3, A, 0), 0),)}, "share 0"),
        ({"shadows": (Shadow(Variant("v3", "late", 3, A, 0), 1),) * 2}, "once"),
        ({"shadows": (Shadow(Variant("v3", "late", 3, A, 0), 1),) * 5}, "at most 4"),
        ({"fallbacks": (Fallback(),)}, "exactly one"),
        ({"fallbacks": (Fallback(previous=True, answer=(OutputValue("y", 1),)),)}, "exactly one"),
        ({"breaker": BreakerRule(percent=101)}, "breaker.percent"),
        ({"breaker": BreakerRule(probes=0)}, "breaker.probes"),
        ({"slow_ms": -1}, "slow_ms"),
        ({"quota": Quota(0, 1)}, "a second"),
        ({"quota": Quota(1, 1, "colour")}, "'address'"),
        ({"quota": Quota(1, 1, "header:")}, "'header:NAME'"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    service: EndpointService, admin: Actor, parts: dict[str, Any], said: str
) -> None:
    deploy(service, admin)
    with pytest.raises(InvalidInput, match=said):
        service.set_policy(admin, "late", policy(**parts), reason="x")


def test_setting_a_policy_needs_permission(service: EndpointService, admin: Actor, viewer: Actor) -> None:
    deploy(service, admin)
    for wanted in (policy(), policy(slow_ms=5)):
        with pytest.raises(NotAllowed):
            service.set_policy(viewer, "late", wanted, reason="x")


def test_route_tables_from_before_policies_are_read() -> None:
    old = (
        b'{"format":1,"revision":3,"endpoints":[{"name":"late","salt":"s","epoch":2,"variants":[],"key":"","time":""}]}'
    )
    table = msgspec.json.decode(old, type=RouteTable)
    assert table.endpoints[0].policy == Policy()
