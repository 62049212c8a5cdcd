"""The transaction of a mutating verb: authorised, all or nothing, never silent."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import NotAllowed
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records


def _count(records: Records) -> int:
    with records.read() as connection:
        return connection.scalar(select(func.count()).select_from(entries)) or 0


def test_a_change_writes_its_entry_in_the_same_transaction(records: Records, admin: Actor) -> None:
    with records.change(admin, Permission.DATA_WRITE) as change:
        change.record("thing.made", "thing/a", size=3)
    assert _count(records) == 1


def test_a_change_that_fails_leaves_nothing(records: Records, admin: Actor) -> None:
    def fail_after_recording() -> None:
        with records.change(admin, Permission.DATA_WRITE) as change:
            change.record("thing.made", "thing/a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_recording()
    assert _count(records) == 0


def test_a_change_without_an_entry_is_refused(records: Records, admin: Actor) -> None:
    with pytest.raises(AssertionError, match="journalled"), records.change(admin, Permission.DATA_WRITE):
        pass


def test_an_actor_without_the_permission_changes_nothing(records: Records, viewer: Actor) -> None:
    with pytest.raises(NotAllowed, match=r"data\.write"), records.change(viewer, Permission.DATA_WRITE) as change:
        change.record("thing.made", "thing/a")
    assert _count(records) == 0


def test_changes_made_together_are_each_authorised_and_journalled(
    records: Records, admin: Actor, viewer: Actor
) -> None:
    with records.together() as joint:
        joint.by(admin, Permission.DATA_WRITE).record("thing.made", "thing/a")
        with pytest.raises(NotAllowed):
            joint.by(viewer, Permission.DATA_WRITE)
        second = joint.by(admin, Permission.TRACKING_WRITE)
        second.record("thing.made", "thing/b")
        second.record("thing.moved", "thing/b")
    with records.read() as connection:
        resources = list(connection.scalars(select(entries.c.resource).order_by(entries.c.number)))
    assert resources == ["thing/a", "thing/b", "thing/b"]


def test_one_silent_change_undoes_those_made_together_with_it(records: Records, admin: Actor) -> None:
    def keep_silent_once() -> None:
        with records.together() as joint:
            joint.by(admin, Permission.DATA_WRITE).record("thing.made", "thing/a")
            joint.by(admin, Permission.DATA_WRITE)

    with pytest.raises(AssertionError, match="journalled"):
        keep_silent_once()
    assert _count(records) == 0


def test_nothing_done_together_is_nothing(records: Records) -> None:
    with records.together():
        pass
    assert _count(records) == 0


def test_a_change_that_found_nothing_to_change_says_so(records: Records, admin: Actor) -> None:
    with records.change(admin, Permission.DATA_WRITE) as change:
        change.nothing()
    assert _count(records) == 0
