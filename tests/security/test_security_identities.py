"""Identities and tokens: created once, proved by a secret nobody stores, refused with one voice."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, NotAllowed, NotFound, Unauthenticated
from bailiwick.security.roles import ROLES, permissions_of
from bailiwick.security.secret import ALPHABET, base62, is_well_formed, new_secret
from bailiwick.security.service import MAX_LIFETIME_MS, IdentityService
from bailiwick.security.tables import tokens
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock

HOUR = 3_600_000


@pytest.fixture
def identities(records: Records) -> IdentityService:
    return IdentityService(records)


def _actions(records: Records) -> list[str]:
    with records.read() as connection:
        return list(connection.scalars(select(entries.c.action).order_by(entries.c.number)))


def test_the_local_user_may_do_everything_in_the_workspace_asked_for(identities: IdentityService) -> None:
    actor = identities.local_admin("team-a")
    assert (actor.identity, actor.workspace, actor.permissions) == ("local", "team-a", frozenset(Permission))


def test_creating_the_same_identity_again_returns_the_first(
    identities: IdentityService, records: Records, admin: Actor
) -> None:
    first = identities.create(admin, "ada", roles=["editor", "approver"])
    assert identities.create(admin, "ada", roles=["approver", "editor", "editor"]) == first
    assert identities.identity("default", "ada") == first
    assert _actions(records) == ["identity.created"]


def test_a_taken_name_is_not_given_other_roles(identities: IdentityService, admin: Actor) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    with pytest.raises(AlreadyExists, match="viewer"):
        identities.create(admin, "ada", roles=["editor"])
    with pytest.raises(AlreadyExists, match="person"):
        identities.create(admin, "ada", roles=["viewer"], kind="service")


def test_many_processes_may_create_the_same_identity_at_once(identities: IdentityService, admin: Actor) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: identities.create(admin, "ada", roles=["viewer"]), range(8)))
    assert len({identity.id for identity in made}) == 1


@pytest.mark.parametrize("name", ["", "local", "system:rollout", "a b", "é", "-x", "x" * 101, "a\n"])
def test_names_that_could_be_taken_for_another_are_refused(
    identities: IdentityService, admin: Actor, name: str
) -> None:
    with pytest.raises(InvalidInput, match="Identity name"):
        identities.create(admin, name, roles=["viewer"])


def test_unknown_roles_and_kinds_are_named_with_their_choices(identities: IdentityService, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'viewer'"):
        identities.create(admin, "ada", roles=["viewers"])
    with pytest.raises(InvalidInput, match="person, service"):
        identities.create(admin, "ada", roles=["viewer"], kind="robot")
    with pytest.raises(InvalidInput, match="at least one role"):
        identities.create(admin, "ada", roles=[])


def test_identities_of_another_workspace_do_not_exist(
    identities: IdentityService, admin: Actor, stranger: Actor
) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    _, token = identities.issue_token(admin, "ada", lifetime_ms=HOUR)
    with pytest.raises(NotFound):
        identities.identity("elsewhere", "ada")
    with pytest.raises(NotFound):
        identities.issue_token(stranger, "ada", lifetime_ms=HOUR)
    with pytest.raises(NotFound):
        identities.revoke_token(stranger, token.id)
    assert identities.identities("elsewhere") == []
    assert identities.tokens("elsewhere") == []


def test_every_verb_needs_the_permission_to_manage_identities(
    identities: IdentityService, admin: Actor, viewer: Actor
) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    _, token = identities.issue_token(admin, "ada", lifetime_ms=HOUR)
    for verb in (
        lambda: identities.create(viewer, "ada", roles=["viewer"]),
        lambda: identities.issue_token(viewer, "ada", lifetime_ms=HOUR),
        lambda: identities.revoke_token(viewer, token.id),
    ):
        with pytest.raises(NotAllowed, match=r"identities\.manage"):
            verb()


def test_nobody_hands_out_a_permission_without_holding_it(identities: IdentityService, admin: Actor) -> None:
    clerk = Actor("u-clerk", "clerk", "default", frozenset({Permission.READ, Permission.IDENTITIES_MANAGE}))
    identities.create(admin, "root", roles=["admin"])
    with pytest.raises(NotAllowed, match="without holding"):
        identities.create(clerk, "mallory", roles=["admin"])
    with pytest.raises(NotAllowed, match="without holding"):
        identities.issue_token(clerk, "root", lifetime_ms=HOUR)
    assert identities.create(clerk, "guest", roles=["viewer"]).roles == ("viewer",)


def test_a_token_proves_its_identity_with_the_permissions_of_its_roles(
    identities: IdentityService, admin: Actor
) -> None:
    made = identities.create(admin, "scorer", roles=["service", "auditor"], kind="service")
    secret, _ = identities.issue_token(admin, "scorer", lifetime_ms=HOUR)
    actor = identities.authenticate(secret, "default")
    assert (actor.identity, actor.name, actor.workspace) == (made.id, "scorer", "default")
    assert actor.permissions == {
        Permission.READ, Permission.PREDICTIONS_WRITE, Permission.PREDICTIONS_READ, Permission.JOURNAL_READ,
    }  # fmt: skip


def test_the_secret_is_stored_nowhere(identities: IdentityService, records: Records, admin: Actor) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    secret, token = identities.issue_token(admin, "ada", lifetime_ms=HOUR, note="laptop")
    with records.read() as connection:
        row = connection.execute(select(tokens)).one()
        journal = connection.execute(select(entries.c.detail)).scalars().all()
    assert row.digest == sha256_hex(secret.encode())
    assert secret not in repr(row) + repr(token) + repr(journal)
    assert secret.split("_")[1] not in repr(row) + repr(journal)


def test_all_refusals_read_the_same(identities: IdentityService, admin: Actor, clock: FakeClock) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    revoked, handle = identities.issue_token(admin, "ada", lifetime_ms=10 * HOUR)
    identities.revoke_token(admin, handle.id)
    expired, _ = identities.issue_token(admin, "ada", lifetime_ms=HOUR)
    alive, _ = identities.issue_token(admin, "ada", lifetime_ms=10 * HOUR)
    clock.advance(HOUR)
    attempts = [("", "default"), ("bw_x", "default"), (alive[:-1], "default"), (alive + "\n", "default")]
    attempts += [(new_secret(), "default"), (expired, "default"), (revoked, "default"), (alive, "elsewhere")]
    messages = set()
    for text, workspace in attempts:
        with pytest.raises(Unauthenticated) as refused:
            identities.authenticate(text, workspace)
        messages.add(str(refused.value))
    assert len(messages) == 1
    assert identities.authenticate(alive, "default").name == "ada"


def test_a_token_is_valid_until_the_millisecond_before_it_expires(
    identities: IdentityService, admin: Actor, clock: FakeClock
) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    secret, token = identities.issue_token(admin, "ada", lifetime_ms=HOUR)
    clock.advance(HOUR - 1)
    assert identities.authenticate(secret, "default").name == "ada"
    clock.advance(1)
    assert clock.now == token.expires
    with pytest.raises(Unauthenticated):
        identities.authenticate(secret, "default")


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME_MS + 1])
def test_a_token_must_expire_within_a_year(identities: IdentityService, admin: Actor, lifetime: int) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    with pytest.raises(InvalidInput, match="366 days"):
        identities.issue_token(admin, "ada", lifetime_ms=lifetime)


def test_revoking_again_keeps_the_first_time_and_journals_once(
    identities: IdentityService, records: Records, admin: Actor, clock: FakeClock
) -> None:
    identities.create(admin, "ada", roles=["viewer"])
    _, token = identities.issue_token(admin, "ada", lifetime_ms=HOUR)
    first = identities.revoke_token(admin, token.id)
    clock.advance(5)
    assert identities.revoke_token(admin, token.id) == first
    assert identities.tokens("default") == [first]
    assert _actions(records) == ["identity.created", "token.issued", "token.revoked"]


@given(st.binary(min_size=32, max_size=32))
def test_base62_keeps_its_width_and_its_value(data: bytes) -> None:
    text = base62(int.from_bytes(data), 43)
    value = 0
    for character in text:
        value = value * 62 + ALPHABET.index(character)
    assert (len(text), value) == (43, int.from_bytes(data))


@given(st.data())
def test_one_changed_character_breaks_the_checksum(data: st.DataObject) -> None:
    secret = new_secret()
    place = data.draw(st.integers(3, 45))
    other = data.draw(st.sampled_from([letter for letter in ALPHABET if letter != secret[place]]))
    assert is_well_formed(secret)
    assert not is_well_formed(secret[:place] + other + secret[place + 1 :])


def test_only_administrators_manage_identities_and_only_approvers_and_they_approve() -> None:
    def holders(permission: Permission) -> set[str]:
        return {role for role, granted in ROLES.items() if permission in granted}

    assert holders(Permission.IDENTITIES_MANAGE) == {"admin"}
    assert holders(Permission.MODELS_APPROVE) == {"admin", "approver"}
    assert holders(Permission.ENDPOINTS_DEPLOY) == {"admin", "operator"}
    assert holders(Permission.JOURNAL_READ) == {"admin", "auditor"}
    assert holders(Permission.READ) == set(ROLES)
    assert permissions_of(ROLES) == frozenset(Permission)


def test_a_removed_identity_and_its_tokens_prove_nothing_and_its_name_is_another_afterwards(
    identities: IdentityService, records: Records, admin: Actor, viewer: Actor, stranger: Actor
) -> None:
    ada = identities.create(admin, "ada", roles=["editor"])
    secret, _ = identities.issue_token(admin, "ada", lifetime_ms=HOUR)
    with pytest.raises(NotAllowed):
        identities.remove(viewer, "ada")
    with pytest.raises(NotFound):
        identities.remove(stranger, "ada")
    assert identities.remove(admin, "ada", reason="left") == ada
    assert identities.identities("default") == []
    assert identities.tokens("default") == []
    with pytest.raises(Unauthenticated):
        identities.authenticate(secret, "default")
    for verb in (
        lambda: identities.remove(admin, "ada"),
        lambda: identities.issue_token(admin, "ada", lifetime_ms=HOUR),
    ):
        with pytest.raises(NotFound):
            verb()
    with records.read() as connection:
        (row,) = connection.execute(select(entries).where(entries.c.action == "identity.removed"))
    assert (row.resource, row.identity) == ("identity/ada", admin.identity)
    told = {"id": ada.id, "kind": "person", "roles": ["editor"], "tokens": 1, "reason": "left"}
    assert json.loads(row.detail) == told
    again = identities.create(admin, "ada", roles=["viewer"])
    assert (again.id != ada.id, again.roles) == (True, ("viewer",))


def test_nobody_removes_themselves_or_who_may_do_more(identities: IdentityService, admin: Actor) -> None:
    boss = identities.create(admin, "boss", roles=["admin"])
    himself = Actor(boss.id, "boss", "default", boss.permissions)
    with pytest.raises(Conflict, match="boss cannot remove itself"):
        identities.remove(himself, "boss")
    clerk = Actor("u-clerk", "clerk", "default", frozenset({Permission.IDENTITIES_MANAGE}))
    with pytest.raises(NotAllowed, match="clerk may not remove boss, who holds more permissions: "):
        identities.remove(clerk, "boss")
    assert identities.identities("default") == [boss]
