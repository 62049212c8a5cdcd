"""Workspaces: `default` is always there, others are made and, when empty, deleted; only its administrators may."""

from __future__ import annotations

import pytest

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotAllowed,
    NotFound,
    Unauthenticated,
)
from bailiwick.governance.service import GovernanceService
from bailiwick.security.service import IdentityService
from bailiwick.security.workspaces import WorkspaceService
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.records import Records


@pytest.fixture
def workspaces(records: Records) -> WorkspaceService:
    return WorkspaceService(records)


def test_default_is_there_from_the_beginning(workspaces: WorkspaceService, admin: Actor) -> None:
    assert [each.name for each in workspaces.workspaces()] == ["default"]
    with pytest.raises(Conflict, match="cannot be deleted"):
        workspaces.delete(admin, "default")
    with pytest.raises(AlreadyExists):
        workspaces.create(admin, "default")


def test_a_workspace_is_made_changed_and_deleted(workspaces: WorkspaceService, records: Records, admin: Actor) -> None:
    workspaces.create(admin, "team-a", description="d")
    with pytest.raises(AlreadyExists, match="'team-a' already exists"):
        workspaces.create(admin, "team-a")
    changed = workspaces.update(admin, "team-a", artifact_root="s3://bucket/a")
    assert (changed.description, changed.artifact_root) == ("d", "s3://bucket/a")
    assert workspaces.update(admin, "team-a") == changed
    assert [each.name for each in workspaces.workspaces(after="default")] == ["team-a"]
    workspaces.delete(admin, "team-a")
    for gone in (workspaces.workspace, workspaces.require):
        with pytest.raises(NotFound, match="'team-a' does not exist"):
            gone("team-a")
    for refused in (
        lambda: workspaces.delete(admin, "team-a"),
        lambda: workspaces.update(admin, "team-a", description=""),
    ):
        with pytest.raises(NotFound):
            refused()
    actions = [each.action for each in JournalReader(records.database).entries("default")]
    assert actions == ["workspace.deleted", "workspace.updated", "workspace.created"]


def test_a_workspace_with_records_of_any_kind_is_kept(
    workspaces: WorkspaceService, records: Records, admin: Actor
) -> None:
    workspaces.create(admin, "team-a")
    inside = Actor("u-in", "in", "team-a", frozenset(Permission))
    IdentityService(records).create(inside, "grace", roles=["viewer"])
    with pytest.raises(Conflict, match=r"still contains records: identities\.") as refused:
        workspaces.delete(admin, "team-a")
    assert "bailiwick workspaces delete team-a --identities" in str(refused.value)
    assert workspaces.workspace("team-a")


def test_identities_go_with_their_workspace_only_where_that_is_asked_for_and_nothing_else_is_there(
    workspaces: WorkspaceService, records: Records, admin: Actor
) -> None:
    workspaces.create(admin, "team-a")
    identities = IdentityService(records)
    inside = Actor("u-in", "in", "team-a", frozenset(Permission))
    grace = identities.create(inside, "grace", roles=["viewer"])
    secret, _ = identities.issue_token(inside, "grace", lifetime_ms=1_000_000)
    identities.create(admin, "grace", roles=["editor"])
    GovernanceService(records).set_policy(inside, "m", "production", approvers=1)
    with pytest.raises(Conflict, match=r"records: governance_policies\. Delete or move them first"):
        workspaces.delete(admin, "team-a", identities=True)
    assert identities.identities("team-a") == [grace]
    GovernanceService(records).remove_policy(inside, "m", "production")
    without = Actor("u", "u", "default", frozenset(Permission) - {Permission.IDENTITIES_MANAGE})
    with pytest.raises(NotAllowed):
        workspaces.delete(without, "team-a", identities=True)
    workspaces.delete(admin, "team-a", identities=True)
    assert [each.name for each in workspaces.workspaces()] == ["default"]
    assert [each.name for each in identities.identities("default")] == ["grace"]
    with pytest.raises(Unauthenticated):
        identities.authenticate(secret, "team-a")
    deleted, removed = JournalReader(records.database).entries("default", resource="workspace/team-a", limit=2)
    assert (deleted.action, removed.action) == ("workspace.deleted", "identity.removed")
    assert removed.detail == {"identity": "grace", "id": grace.id, "kind": "person", "roles": ["viewer"], "tokens": 1}


@pytest.mark.parametrize("name", ["", "a", "A-team", "-a", "a-", "a_b", "a" * 64, "api", "static-files", "ä1", "a\n"])
def test_a_name_that_cannot_be_one_is_refused(workspaces: WorkspaceService, admin: Actor, name: str) -> None:
    with pytest.raises(InvalidInput, match="2 to 63"):
        workspaces.create(admin, name)


def test_texts_are_bounded(workspaces: WorkspaceService, admin: Actor) -> None:
    with pytest.raises(LimitExceeded):
        workspaces.create(admin, "team-a", description="x" * 5001)
    with pytest.raises(InvalidInput, match="NUL"):
        workspaces.create(admin, "team-a", artifact_root="a\x00")


def test_nobody_manages_workspaces_from_another_one(
    workspaces: WorkspaceService, viewer: Actor, stranger: Actor, admin: Actor
) -> None:
    for actor, said in ((viewer, r"workspaces\.manage"), (stranger, "only an administrator of workspace 'default'")):
        with pytest.raises(NotAllowed, match=said):
            workspaces.create(actor, "team-a")
    workspaces.create(admin, "elsewhere")
    assert [each.name for each in workspaces.visible_to(stranger)] == ["elsewhere"]
    assert workspaces.seen_by(stranger, "elsewhere").name == "elsewhere"
    with pytest.raises(NotFound):
        workspaces.seen_by(stranger, "default")
    local = Actor("local", "local", "elsewhere", frozenset(Permission))
    assert [each.name for each in workspaces.visible_to(local)] == ["default", "elsewhere"]


def test_a_missing_workspace_is_told_with_the_nearest_and_how_to_make_it(
    workspaces: WorkspaceService, admin: Actor
) -> None:
    workspaces.create(admin, "team-a")
    with pytest.raises(NotFound, match=r"Did you mean 'team-a'\?"):
        workspaces.require("tame-a")
    with pytest.raises(NotFound, match="bailiwick --workspace default workspaces create zebra"):
        workspaces.require("zebra")
    assert workspaces.require("team-a") == workspaces.require("team-a") == "team-a"
