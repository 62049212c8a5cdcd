"""A refused move leaves a request behind, whoever asked; once people have agreed, the same move goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import CheckFailed, Conflict, NotAllowed
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.promotion import promote, promote_to_stage, request_approval
from bailiwick.testing.clock import FakeClock

EDITOR = Actor("u-eve", "eve", "default", frozenset({Permission.READ, Permission.MODELS_WRITE}))
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
    assert "Request approval of late version 1" in refusal.hint
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
    assert "cannot be requested yet: evidence 'gates' is missing; evidence 'parity' is False" in refusal.message
    assert "http://127.0.0.1:8600/models/late/versions/1" in refusal.message
    with pytest.raises(CheckFailed):
        request_approval(platform, EDITOR, "late", 1, "champion")


def test_evidence_put_forward_before_counts_again(platform: Platform) -> None:
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


def test_a_model_under_policy_keeps_its_name(platform: Platform) -> None:
    platform.governance.set_policy(APPROVER, "late", "champion")
    with pytest.raises(Conflict, match="the policy for 'champion' goes by the name 'late'"):
        platform.registry.rename_model(EDITOR, "late", "free")
