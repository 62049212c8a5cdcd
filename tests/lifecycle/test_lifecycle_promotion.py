"""A refused move leaves a request behind, whoever asked; once people have agreed, the same move goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput, NotAllowed
from bailiwick.core.settings import Settings
from bailiwick.governance.cards.fields import REQUIRED
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.promotion import close_expired, promote, promote_to_stage, request_approval
from bailiwick.testing.clock import FakeClock

EDITOR = Actor("u-eve", "eve", "default", frozenset({Permission.READ, Permission.MODELS_WRITE}))
DEPLOYER = Actor("u-dee", "dee", "default", frozenset({Permission.READ, Permission.ENDPOINTS_DEPLOY}))
APPROVER = Actor("u-ann", "ann", "default", frozenset({Permission.READ, Permission.MODELS_APPROVE}))


@pytest.fixture
def platform(tmp_path: Path, clock: FakeClock) -> Iterator[Platform]:
    opened = open_platform(Settings(home=tmp_path), clock)
    opened.registry.create_model(EDITOR, "late")
    opened.registry.create_version(EDITOR, "late", source="s3://bucket/model")
    yield opened
    opened.close()


def _refused(platform: Platform, target: str, *, actor: Actor = EDITOR) -> NotAllowed:
    move: Callable[..., object] = promote_to_stage if target == "Production" else promote
    with pytest.raises(NotAllowed) as refused:
        move(platform, actor, "late", 1, target)
    return refused.value


@pytest.mark.parametrize("target", ["champion", "Production"])
def test_a_refusal_says_what_is_missing_and_where_it_is_decided(platform: Platform, target: str) -> None:
    platform.governance.set_policy(APPROVER, "late", target, approvers=1)
    refusal = _refused(platform, target)
    (request,) = platform.governance.requests("default")
    assert (request.target, request.author, request.requested_by) == (target, EDITOR.identity, EDITOR.identity)
    assert f"late version 1 may not become {target!r}: nobody has requested approval." in refusal.message
    assert f"approve request {request.id} at http://127.0.0.1:8600/approvals#request-{request.id}" in refusal.message
    assert "must approve it: `bailiwick models approve REQUEST`" in refusal.hint
    again = _refused(platform, target)
    assert [each.id for each in platform.governance.requests("default")] == [request.id]
    assert f"request {request.id} has 0 of 1 approvals" in again.message


@pytest.mark.parametrize("target", ["champion", "Production"])
def test_what_is_approved_goes_through(platform: Platform, target: str) -> None:
    platform.governance.set_policy(APPROVER, "*", target, approvers=1)
    _refused(platform, target)
    (request,) = platform.governance.requests("default")
    with pytest.raises(NotAllowed, match=r"models\.approve"):
        platform.governance.approve(EDITOR, request.id)
    assert platform.governance.approve(APPROVER, request.id, "fine").status == "APPROVED"
    if target == "champion":
        assert promote(platform, EDITOR, "late", 1, target).number == 1
    else:
        assert promote_to_stage(platform, EDITOR, "late", 1, target).stage == target
    assert [each.number for each in platform.registry.pointing_at("default", "late", target)] == [1]


def test_a_stage_waits_for_the_policy_of_its_alias_too(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "production")
    platform.governance.set_policy(APPROVER, "late", "Production")
    _refused(platform, "Production")
    waiting = platform.governance.requests("default")
    assert {each.target for each in waiting} == {"production", "Production"}
    platform.governance.approve(APPROVER, waiting[0].id)
    _refused(platform, "Production")
    platform.governance.approve(APPROVER, waiting[1].id)
    assert promote_to_stage(platform, EDITOR, "late", 1, "production").stage == "Production"


def test_missing_evidence_is_named_and_nothing_is_requested(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion", evidence=["gates", "card", "parity"])
    refusal = _refused(platform, "champion")
    assert platform.governance.requests("default") == []
    assert "cannot be requested yet: evidence 'gates' is missing; evidence 'card' is False" in refusal.message
    assert "not stated: intended_use" in refusal.message
    assert "evidence 'parity' is False" in refusal.message
    assert "http://127.0.0.1:8600/models/late/versions/1" in refusal.message
    with pytest.raises(CheckFailed):
        request_approval(platform, EDITOR, "late", 1, "champion")


def test_evidence_put_forward_before_counts_again(platform: Platform) -> None:
    for field in REQUIRED:
        platform.statements.state(EDITOR, "late", None, field, "said")
    platform.governance.request(
        EDITOR, "late", 1, "candidate", author=EDITOR.identity, evidence={"gates": True, "card": False}
    )
    platform.governance.set_policy(APPROVER, "late", "champion", evidence=["gates", "card"])
    _refused(platform, "champion")
    newest = platform.governance.requests("default")[0]
    assert (newest.target, newest.evidence) == ("champion", {"gates": True, "card": True, "parity": False})


def test_after_a_rejection_nobody_is_asked_again_by_mere_repetition(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion")
    _refused(platform, "champion")
    (request,) = platform.governance.requests("default")
    platform.governance.reject(APPROVER, request.id, "leaks the label")
    refusal = _refused(platform, "champion")
    assert "was rejected by ann: leaks the label" in refusal.message
    assert "`bailiwick models request late 1 --target champion`" in refusal.message
    assert len(platform.governance.requests("default")) == 1
    assert request_approval(platform, EDITOR, "late", 1, "champion").status == "PENDING"


@pytest.mark.parametrize("target", ["champion", "Production"])
def test_an_expired_approval_is_asked_for_anew(platform: Platform, clock: FakeClock, target: str) -> None:
    platform.governance.set_policy(APPROVER, "late", target, expires_ms=1_000)
    _refused(platform, target)
    (request,) = platform.governance.requests("default")
    platform.governance.approve(APPROVER, request.id)
    clock.advance(1_000)
    assert "has expired" in _refused(platform, target).message
    assert [each.status for each in platform.governance.requests("default")] == ["PENDING", "EXPIRED"]


def test_whoever_may_not_write_models_asks_nobody(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion")
    assert "models.write" in _refused(platform, "champion", actor=APPROVER).message
    assert platform.governance.requests("default") == []


BOTH = Actor("u-bo", "bo", "default", frozenset({Permission.READ, Permission.MODELS_WRITE, Permission.MODELS_APPROVE}))


def test_policies_requests_and_statements_follow_a_model_to_its_new_name(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion")
    platform.statements.state(EDITOR, "late", None, "contact", "late@example.com")
    platform.statements.state(EDITOR, "late", 1, "limitations", "few rows")
    _refused(platform, "champion")
    (request,) = platform.governance.requests("default")
    platform.governance.approve(APPROVER, request.id)
    with pytest.raises(NotAllowed, match=r"models\.approve"):
        platform.registry.rename_model(EDITOR, "late", "tardy")
    assert platform.registry.model("default", "late").versions == 1
    platform.registry.rename_model(BOTH, "late", "tardy")
    assert [(each.model, each.target) for each in platform.governance.policies("default")] == [("tardy", "champion")]
    assert platform.governance.request_by_id("default", request.id).model == "tardy"
    said = platform.statements.statements("default", "tardy", 1)
    assert {name: each.text for name, each in said.items()} == {
        "contact": "late@example.com",
        "limitations": "few rows",
    }
    assert platform.statements.statements("default", "late") == {}
    assert promote(platform, EDITOR, "tardy", 1, "champion").number == 1
    platform.registry.create_model(EDITOR, "late")
    platform.registry.create_version(EDITOR, "late", source="s3://bucket/other")
    assert platform.governance.requests("default", model="late") == []


def test_a_model_that_others_know_by_its_name_keeps_it(platform: Platform) -> None:
    platform.endpoints.deploy(DEPLOYER, "late", model="late", version=1, package="")
    platform.endpoints.deploy(DEPLOYER, "late", model="other", version=1, package="")
    with pytest.raises(Conflict, match="endpoint 'late' goes by the name 'late'"):
        platform.registry.rename_model(BOTH, "late", "free")
    platform.registry.create_model(EDITOR, "third")
    platform.governance.set_policy(APPROVER, "reserved", "champion")
    with pytest.raises(Conflict, match="the policy for 'champion' goes by the name 'reserved'"):
        platform.registry.rename_model(BOTH, "third", "reserved")


def test_a_request_that_nobody_answers_is_closed_once_and_told(platform: Platform, clock: FakeClock) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion", expires_ms=1_000)
    _refused(platform, "champion")
    assert close_expired(platform) == []
    clock.advance(1_000)
    (request,) = platform.governance.requests("default")
    assert close_expired(platform) == [f"request {request.id} for late version 1 to become champion has expired"]
    assert close_expired(platform) == []
    (entry,) = platform.journal.entries("default", limit=10, action="approval.expired")
    assert (entry.resource, entry.identity) == ("version/late/1", "system:governance")
    assert {name: entry.detail[name] for name in ("request", "target", "was", "number")} == {
        "request": request.id,
        "target": "champion",
        "was": "PENDING",
        "number": 1,
    }
    with pytest.raises(Conflict, match=f"Request {request.id} expired on 20"):
        platform.governance.approve(APPROVER, request.id)
    _refused(platform, "champion")
    assert [each.status for each in platform.governance.requests("default")] == ["PENDING", "EXPIRED"]


def test_an_approval_that_lapses_is_closed_in_every_workspace(platform: Platform, clock: FakeClock) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion", expires_ms=1_000)
    _refused(platform, "champion")
    (request,) = platform.governance.requests("default")
    platform.governance.approve(APPROVER, request.id)
    away = replace(EDITOR, workspace="away")
    platform.registry.create_model(away, "late")
    platform.governance.set_policy(replace(APPROVER, workspace="away"), "late", "champion", expires_ms=500)
    platform.registry.create_version(away, "late", source="s3://bucket/model")
    request_approval(platform, away, "late", 1, "champion")
    clock.advance(1_000)
    assert len(close_expired(platform)) == 2
    (lapsed,) = platform.journal.entries("default", limit=10, action="approval.expired")
    assert lapsed.detail["was"] == "APPROVED"
    (waited,) = platform.journal.entries("away", limit=10, action="approval.expired")
    assert waited.detail["was"] == "PENDING"
    assert "has expired" in _refused(platform, "champion").message


def test_asking_anew_closes_what_has_expired_before_the_duty_comes_by(platform: Platform, clock: FakeClock) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion", expires_ms=1_000)
    _refused(platform, "champion")
    clock.advance(1_000)
    _refused(platform, "champion")
    assert len(platform.journal.entries("default", limit=10, action="approval.expired")) == 1
    assert close_expired(platform) == []


def test_only_those_whom_a_policy_names_approve(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="must name as many"):
        platform.governance.set_policy(APPROVER, "late", "champion", approvers=2, who=["ann"])
    platform.governance.set_policy(APPROVER, "late", "champion", who=["ann"])
    _refused(platform, "champion")
    (request,) = platform.governance.requests("default")
    with pytest.raises(NotAllowed, match="bo is not among those who may approve late for 'champion': ann"):
        platform.governance.approve(BOTH, request.id)
    assert platform.governance.approve(APPROVER, request.id).status == "APPROVED"


def test_a_card_without_the_required_words_is_no_evidence_on_any_door(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion", evidence=["card"])
    assert "not stated: " in _refused(platform, "champion").message
    assert platform.governance.requests("default") == []
