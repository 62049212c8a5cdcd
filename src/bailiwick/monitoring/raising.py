"""Raising an alarm about an endpoint, in the transaction of what found it."""

from __future__ import annotations

from typing import Any

from msgspec import json
from sqlalchemy import insert, select

from bailiwick.core.ids import new_id
from bailiwick.monitoring.model import AlarmStatus, Kind
from bailiwick.monitoring.tables import alarms
from bailiwick.store.records import Change


def raise_once(
    change: Change,
    endpoint: str,
    kind: Kind,
    *,
    message: str,
    evidence: dict[str, Any],
    model: str = "",
    version: int = 0,
    window: str = "",
) -> str | None:
    """The id of the new alarm; None where one of this endpoint, kind and version is open already."""
    about = {"workspace": change.workspace, "endpoint": endpoint, "kind": kind.value, "model": model}
    about_version: dict[str, Any] = {**about, "version": version, "status": AlarmStatus.OPEN.value}
    same = (alarms.c[name] == value for name, value in about_version.items())
    if change.execute(select(alarms.c.id).where(*same)).first():
        return None
    alarm_id = new_id()
    change.execute(
        insert(alarms).values(
            **about_version,
            id=alarm_id,
            window=window,
            message=message,
            evidence=json.encode(evidence).decode(),
            raised=change.time,
            closed=None,
            closed_by="",
            note="",
        )
    )
    change.record("alarm.raised", f"alarm/{alarm_id}", endpoint=endpoint, kind=kind.value, message=message)
    return alarm_id
