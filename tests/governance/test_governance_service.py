"""A version is promoted when the policy's people have agreed on the policy's evidence, and not before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission, system_actor
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import (
    BailiwickError,
    CheckFailed,
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotAllowed,
    NotFound,
)
from bailiwick.governance.model import ApprovalRequest
from bailiwick.governance.service import GovernanceService
from bailiwick.registry.service import RegistryService
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

PROOF = {"gates": True, "card": True}
PRODUCTION = "production"


@pytest.fixture
def governance(records: Records) -> GovernanceService:
    return GovernanceService(records)


def approver(name: str) -> Actor:
    return Actor(f"u-{name}", name, "default", frozenset(Permission))


def ask(governance: GovernanceService, actor: Actor, number: int = 1, author: str = "u-author") -> ApprovalRequest:
    return governance.request(actor, "late", number, PRODUCTION, author=author, evidence=PROOF)


def allowed(governance: GovernanceService, actor: Actor, number: int = 1, author: str = "u-author") -> bool:
    try:
        governance.check(actor, "late", number, PRODUCTION, author)
    except NotAllowed:
        return False
    return True


def _journal(records: Records) -> list[str]:
    with records.read() as connection:
        return list(connection.scalars(select(entries.c.action).order_by(entries.c.number)))


def test_without_a_policy_everything_is_allowed(governance: GovernanceService, admin: Actor) -> None:
    governance.check(admin, "late", 1, PRODUCTION, "u-author")


def test_one_approval_opens_the_gate_for_that_version_and_target_alone(
    records: Records, governance: GovernanceService, admin: Actor, second: Actor
) -> None:
    governance.set_policy(admin, "late", PRODUCTION, evidence=["gates", "card"])
    request = ask(governance, admin)
    assert request.status == "PENDING"
    assert not allowed(governance, admin)
    done = governance.approve(second, request.id, "looks right")
    assert (done.status, done.needed, done.approvals()) == ("APPROVED", 1, 1)
    assert [(each.actor, each.verdict, each.comment) for each in done.decisions] == [
        ("second", "approve", "looks right")
    ]
    assert allowed(governance, admin)
    assert not allowed(governance, admin, number=2)
    governance.check(admin, "other", 1, PRODUCTION, "u-author")
    assert _journal(records) == ["policy.set", "approval.requested", "approval.approved"]


def test_the_refusal_says_what_is_missing_and_how_to_get_it(
    governance: GovernanceService, admin: Actor, second: Actor
) -> None:
    governance.set_policy(admin, "late", PRODUCTION, approvers=2, evidence=["gates", "card"])
    with pytest.raises(NotAllowed) as nobody:
        governance.check(admin, "late", 3, PRODUCTION, "u-author")
    assert nobody.value.message == "late version 3 may not become 'production': nobody has requested approval."
    assert nobody.value.hint == (
        "Request approval of late version 3 for 'production' with the evidence gates, card; then 2 identities other "
        "than its author with the permission 'models.approve' must approve it."
    )
    request = ask(governance, admin, 3)
    governance.approve(second, request.id)
    with pytest.raises(NotAllowed, match=f"request {request.id} has 1 of 2 approvals"):
        governance.check(admin, "late", 3, PRODUCTION, "u-author")
    governance.set_policy(admin, "late", PRODUCTION, approvers=2, evidence=["gates", "card", "privacy"])
    with pytest.raises(NotAllowed, match="1 of 2 approvals and evidence 'privacy' is missing"):
        governance.check(admin, "late", 3, PRODUCTION, "u-author")
    governance.reject(approver("third"), request.id, "drifts in winter")
    with pytest.raises(NotAllowed, match=r"was rejected by third: drifts in winter\."):
        governance.check(admin, "late", 3, PRODUCTION, "u-author")


def test_evidence_must_be_there_and_true(governance: GovernanceService, admin: Actor) -> None:
    governance.set_policy(admin, "*", PRODUCTION, evidence=["gates", "card"])
    with pytest.raises(CheckFailed) as failed:
        governance.request(admin, "late", 1, PRODUCTION, author="u-author", evidence={"gates": "yes"})
    assert failed.value.findings == ("evidence 'gates' is 'yes', and must be true", "evidence 'card' is missing")
    assert governance.requests("default") == []


def test_evidence_asked_for_later_keeps_a_pending_request_from_approval(
    governance: GovernanceService, admin: Actor, second: Actor
) -> None:
    request = ask(governance, admin)
    governance.set_policy(admin, "late", PRODUCTION, evidence=["privacy"])
    with pytest.raises(CheckFailed, match="evidence 'privacy' is missing"):
        governance.approve(second, request.id)
    assert governance.request_by_id("default", request.id) == request


def test_the_author_may_not_approve_but_may_withdraw(governance: GovernanceService, admin: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION)
    request = ask(governance, admin, author=admin.identity)
    with pytest.raises(NotAllowed, match="admin registered late version 1 and may not approve it"):
        governance.approve(admin, request.id)
    assert governance.reject(admin, request.id, "found a leak").status == "REJECTED"


def test_naming_another_author_does_not_help(governance: GovernanceService, admin: Actor, second: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION)
    request = ask(governance, admin, author="u-someone-else")
    assert governance.approve(admin, request.id).status == "APPROVED"
    with pytest.raises(NotAllowed, match="lacks an approval by someone other than the author"):
        governance.check(admin, "late", 1, PRODUCTION, admin.identity)


def test_the_author_may_approve_where_the_policy_says_so(governance: GovernanceService, admin: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION, not_author=False)
    governance.approve(admin, ask(governance, admin, author=admin.identity).id)
    assert allowed(governance, admin, author=admin.identity)


def test_an_identity_votes_once(records: Records, governance: GovernanceService, admin: Actor, second: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION, approvers=2)
    request = ask(governance, admin)
    first = governance.approve(second, request.id)
    assert governance.approve(second, request.id, "again") == first
    renamed = replace(second, name="another name")
    assert governance.approve(renamed, request.id) == first
    with pytest.raises(Conflict, match="votes once"):
        governance.reject(second, request.id, "changed my mind")
    assert not allowed(governance, admin)
    assert _journal(records) == ["policy.set", "approval.requested", "approval.approved"]


def test_a_rejection_is_final_for_the_request_and_a_new_one_may_follow(
    governance: GovernanceService, admin: Actor, second: Actor
) -> None:
    governance.set_policy(admin, "late", PRODUCTION)
    request = ask(governance, admin)
    with pytest.raises(InvalidInput, match="needs a comment"):
        governance.reject(second, request.id, " ")
    governance.reject(second, request.id, "no")
    with pytest.raises(Conflict, match="is REJECTED and takes no more votes"):
        governance.approve(approver("third"), request.id)
    again = ask(governance, admin)
    assert again.id != request.id
    governance.approve(second, again.id)
    assert allowed(governance, admin)
    assert governance.request_by_id("default", request.id).status == "REJECTED"


def test_asking_twice_while_pending_is_asking_once(governance: GovernanceService, admin: Actor) -> None:
    assert ask(governance, admin) == ask(governance, admin)
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda _: ask(governance, admin, 2).id, range(8)))
    assert len(set(asked)) == 1


def test_eight_approvers_at_once_are_each_counted_once(governance: GovernanceService, admin: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION, approvers=8)
    request = ask(governance, admin)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: governance.approve(approver(f"a{n}"), request.id), range(8)))
    done = governance.request_by_id("default", request.id)
    assert (done.status, done.approvals()) == ("APPROVED", 8)


def test_an_approval_outlives_a_stricter_policy(governance: GovernanceService, admin: Actor, second: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION, not_author=False)
    governance.approve(second, ask(governance, admin).id)
    governance.approve(admin, ask(governance, admin, 2, admin.identity).id)
    governance.set_policy(admin, "late", PRODUCTION, approvers=3, evidence=["privacy"])
    assert allowed(governance, admin)
    assert allowed(governance, admin, 2, admin.identity)


def test_the_policy_in_force_at_the_vote_counts(governance: GovernanceService, admin: Actor, second: Actor) -> None:
    governance.set_policy(admin, "late", PRODUCTION)
    request = ask(governance, admin)
    governance.set_policy(admin, "late", PRODUCTION, approvers=2)
    assert governance.approve(second, request.id).status == "PENDING"
    assert governance.approve(approver("third"), request.id).status == "APPROVED"


def test_requests_and_approvals_lapse_when_the_policy_says_so(
    governance: GovernanceService, admin: Actor, second: Actor, clock: FakeClock
) -> None:
    governance.set_policy(admin, "late", PRODUCTION, expires_ms=1_000)
    late = ask(governance, admin)
    clock.advance(1_000)
    assert governance.request_by_id("default", late.id).status == "EXPIRED"
    with pytest.raises(Conflict, match=r"expired on .* and takes no more votes"):
        governance.approve(second, late.id)
    fresh = ask(governance, admin)
    assert fresh.id != late.id
    clock.advance(999)
    governance.approve(second, fresh.id)
    clock.advance(999)
    assert allowed(governance, admin)
    clock.advance(1)
    with pytest.raises(NotAllowed, match=f"request {fresh.id} has expired"):
        governance.check(admin, "late", 1, PRODUCTION, "u-author")
    assert [each.id for each in governance.requests("default", status="EXPIRED")] == [fresh.id, late.id]
    assert governance.requests("default", status="PENDING") == governance.requests("default", status="APPROVED") == []


def test_a_models_own_policy_goes_before_the_one_for_all(governance: GovernanceService, admin: Actor) -> None:
    governance.set_policy(admin, "*", PRODUCTION, approvers=2)
    own = governance.set_policy(admin, "late", PRODUCTION, approvers=1)
    assert governance.policy("default", "late", PRODUCTION) == own
    every = governance.policy("default", "other", PRODUCTION)
    assert every is not None
    assert (every.model, every.approvers) == ("*", 2)
    assert governance.policy("default", "late", "staging") is None
    assert len(governance.policies("default")) == 2
    governance.remove_policy(admin, "late", PRODUCTION)
    assert governance.policy("default", "late", PRODUCTION) == every
    with pytest.raises(NotFound):
        governance.remove_policy(admin, "late", PRODUCTION)


def test_setting_the_same_policy_again_changes_nothing(
    records: Records, governance: GovernanceService, admin: Actor
) -> None:
    first = governance.set_policy(admin, "late", PRODUCTION, evidence=["gates", "gates"])
    assert first.evidence == ("gates",)
    assert governance.set_policy(admin, "late", PRODUCTION, evidence=["gates"]) == first
    assert _journal(records) == ["policy.set"]


@pytest.mark.parametrize(
    ("model", "target", "rules"),
    [
        ("late", "", {}),
        ("", PRODUCTION, {}),
        ("late", PRODUCTION, {"approvers": 0}),
        ("late", PRODUCTION, {"approvers": 101}),
        ("late", PRODUCTION, {"evidence": [" "]}),
        ("late", PRODUCTION, {"expires_ms": 0}),
    ],
)
def test_policies_nobody_could_mean_are_refused(
    governance: GovernanceService, admin: Actor, model: str, target: str, rules: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput):
        governance.set_policy(admin, model, target, **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"number": 0}, InvalidInput),
        ({"number": 2**40}, InvalidInput),
        ({"author": "a\x00"}, InvalidInput),
        ({"model": "m" * 300}, LimitExceeded),
        ({"evidence": {"x": float("nan")}}, InvalidInput),
        ({"evidence": {"x": "y" * 40_000}}, InvalidInput),
    ],
)
def test_requests_that_cannot_be_kept_are_refused(
    governance: GovernanceService, admin: Actor, changes: dict[str, object], error: type[BailiwickError]
) -> None:
    asked: dict[str, object] = {
        "model": "late",
        "number": 1,
        "target": PRODUCTION,
        "author": "u",
        "evidence": {},
        **changes,
    }
    with pytest.raises(error):
        governance.request(admin, **asked)  # type: ignore[arg-type]


def test_voting_and_policies_take_the_right_to_approve(
    governance: GovernanceService, admin: Actor, viewer: Actor, stranger: Actor
) -> None:
    request = ask(governance, admin)
    for powerless in (viewer, system_actor("default", "rollout")):
        with pytest.raises(NotAllowed, match=r"models\.approve"):
            governance.approve(powerless, request.id)
        with pytest.raises(NotAllowed, match=r"models\.approve"):
            governance.reject(powerless, request.id, "no")
        with pytest.raises(NotAllowed, match=r"models\.approve"):
            governance.set_policy(powerless, "late", PRODUCTION)
        with pytest.raises(NotAllowed, match=r"models\.approve"):
            governance.remove_policy(powerless, "late", PRODUCTION)
    with pytest.raises(NotAllowed, match=r"models\.write"):
        ask(governance, viewer)
    with pytest.raises(NotFound):
        governance.approve(stranger, request.id)
    with pytest.raises(NotFound):
        governance.request_by_id("elsewhere", request.id)
    with pytest.raises(InvalidInput, match="Did you mean 'PENDING'"):
        governance.requests("default", status="PENDIN")
    assert governance.requests("elsewhere") == []
    assert governance.requests("default", status="PENDING", model="late") == [request]
    assert governance.requests("default", model="other") == []


def test_the_registry_promotes_what_was_approved_and_journals_what_was_not(
    records: Records, governance: GovernanceService, admin: Actor, second: Actor
) -> None:
    registry = RegistryService(records, governance)
    governance.set_policy(admin, "late", PRODUCTION, evidence=["gates", "card"])
    for run in ("r1", "r2"):
        registry.register(
            admin,
            "late",
            package=sha256_hex(b"package"),
            run_id=run,
            snapshot="s",
            signature={},
            metrics={},
            slices={},
            parity={},
            environment={},
            code_version="",
            parameters={},
        )
    with pytest.raises(NotAllowed, match="nobody has requested approval"):
        registry.set_alias(admin, "late", PRODUCTION, 1)
    for number in (1, 2):
        governance.approve(second, ask(governance, admin, number, admin.identity).id)
        registry.set_alias(admin, "late", PRODUCTION, number)
    assert registry.rollback_alias(admin, "late", PRODUCTION, "alarm").number == 1
    assert [action for action in _journal(records) if action.startswith("alias.")] == [
        "alias.denied",
        "alias.set",
        "alias.set",
        "alias.rolled_back",
    ]
