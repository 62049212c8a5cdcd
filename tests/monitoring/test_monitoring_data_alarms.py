"""Alarms about snapshots on both databases: raised once, standing by severity, accepted with a reason."""

from __future__ import annotations

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotAllowed
from bailiwick.monitoring.data_alarms import DataAlarms, DataFinding
from bailiwick.monitoring.model import Kind
from bailiwick.store.records import Records

GONE = DataFinding(Kind.DATA_SCHEMA, "schema", "ERROR", "Column x is gone.", "Bring it back.")
KEYS = DataFinding(Kind.DATA_CHECK, "unique id", "ERROR", "2 rows share id.")
OLD = DataFinding(Kind.DATA_CHECK, "freshness of at", "WARNING", "It is old.")


@pytest.fixture
def alarms(records: Records) -> DataAlarms:
    return DataAlarms(records)


def test_one_alarm_a_kind_is_raised_and_never_twice(alarms: DataAlarms, admin: Actor) -> None:
    raised = alarms.raise_alarms(admin, "sales", "s1", [GONE, KEYS, OLD], told=["Ada <ada@example.com>"])
    assert {(each.kind, each.severity, len(each.evidence["findings"])) for each in raised} == {
        (Kind.DATA_SCHEMA, "ERROR", 1),
        (Kind.DATA_CHECK, "ERROR", 2),
    }
    assert {each.message for each in raised if each.kind is Kind.DATA_SCHEMA} == {
        "Snapshot s1 of sales: Column x is gone. Bring it back."
    }
    assert raised[0].evidence["told"] == ["Ada <ada@example.com>"]
    assert alarms.raise_alarms(admin, "sales", "s1", [KEYS, GONE]) == []
    other = DataFinding(Kind.DATA_CHECK, "volume", "WARNING", "Few rows.")
    [more] = alarms.raise_alarms(admin, "sales", "s1", [KEYS, other])
    assert (more.severity, [each["name"] for each in more.evidence["findings"]]) == ("WARNING", ["volume"])
    assert len(alarms.about(admin.workspace, "s1")) == 3


def test_only_open_errors_stand(alarms: DataAlarms, admin: Actor) -> None:
    alarms.raise_alarms(admin, "sales", "s1", [OLD])
    alarms.raise_alarms(admin, "sales", "s2", [GONE])
    assert alarms.standing(admin.workspace, []) == {}
    standing = alarms.standing(admin.workspace, ["s1", "s2", "s3"])
    assert list(standing) == ["s2"]
    assert alarms.standing("elsewhere", ["s2"]) == {}
    assert len(alarms.accept(admin, "sales", "s2", "known")) == 1
    assert alarms.standing(admin.workspace, ["s2"]) == {}


def test_two_who_raise_the_same_at_once_raise_it_once(
    alarms: DataAlarms, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms.raise_alarms(admin, "sales", "s1", [GONE])
    with monkeypatch.context() as patched:  # the other process has not committed when this one looks
        patched.setattr(alarms, "about", lambda *_: [])
        assert alarms.raise_alarms(admin, "sales", "s1", [GONE]) == []
    assert len(alarms.about(admin.workspace, "s1")) == 1


def test_who_may_only_read_raises_and_accepts_nothing(alarms: DataAlarms, admin: Actor, viewer: Actor) -> None:
    alarms.raise_alarms(admin, "sales", "s1", [GONE])
    with pytest.raises(NotAllowed):
        alarms.raise_alarms(viewer, "sales", "s2", [GONE])
    with pytest.raises(NotAllowed):
        alarms.accept(viewer, "sales", "s1", "because")
    assert list(alarms.standing(admin.workspace, ["s1", "s2"])) == ["s1"]
