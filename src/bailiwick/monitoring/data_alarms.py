"""Alarms about snapshots: raised once for what was found, standing in the way of training until somebody accepts."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from msgspec import json
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.monitoring.model import Alarm, AlarmStatus, Kind
from bailiwick.monitoring.service import alarm_of
from bailiwick.monitoring.tables import alarms
from bailiwick.store.records import Change, Records

_SUMMARY = 2_000


@dataclass(frozen=True, slots=True)
class DataFinding:
    """One thing that an inspection found wrong: `name` is the same whenever it is found again; neither text holds values."""

    kind: Kind
    name: str
    severity: str
    message: str
    fix: str = ""


class DataAlarms:
    """Alarms of every workspace that are about data. They are listed, acknowledged and resolved as all alarms are."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def raise_alarms(
        self, actor: Actor, dataset: str, snapshot: str, findings: Sequence[DataFinding], *, told: Sequence[str] = ()
    ) -> list[Alarm]:
        """One alarm a kind for what no alarm about the snapshot has told of yet; returns those raised now.

        `told` are the stakeholders' names; `snapshot` is "" where none could be made. What was found and accepted once is
        not raised again.
        """
        actor.require(Permission.MONITORS_WRITE)
        known = {
            (alarm.kind, found["name"])
            for alarm in self.about(actor.workspace, snapshot)
            for found in alarm.evidence["findings"]
            if alarm.dataset == dataset
        }
        new = [found for found in findings if (found.kind, found.name) not in known]
        if not new:
            return []
        ids = []
        try:
            with self._records.change(actor, Permission.MONITORS_WRITE) as change:
                for kind in dict.fromkeys(found.kind for found in new):
                    mine = [found for found in new if found.kind is kind]
                    ids.append(_raise(change, dataset, snapshot, kind, mine, told))
        except IntegrityError:  # another process raises the same at this moment
            return []
        return [alarm for alarm in self.about(actor.workspace, snapshot) if alarm.id in ids]

    def about(self, workspace: str, snapshot: str) -> list[Alarm]:
        """Every alarm about a snapshot, newest first."""
        return self._found(workspace, [snapshot], open_only=False)

    def standing(self, workspace: str, snapshots: Collection[str]) -> dict[str, list[Alarm]]:
        """The open alarms of severity ERROR, by snapshot: what keeps these from training."""
        found: dict[str, list[Alarm]] = {}
        for alarm in self._found(workspace, snapshots, open_only=True):
            if alarm.severity == "ERROR":
                found.setdefault(alarm.snapshot, []).append(alarm)
        return found

    def accept(self, actor: Actor, dataset: str, snapshot: str, reason: str) -> list[Alarm]:
        """Let a snapshot be used as it is: acknowledges its open alarms with the reason, and returns them.

        Repeated, it changes nothing. Raises NotAllowed without `monitors.write`, InvalidInput without a reason.
        """
        actor.require(Permission.MONITORS_WRITE)
        if not reason.strip():
            raise InvalidInput("A snapshot is accepted for a reason; say it.", hint="--reason 'what was found out'")
        opened = [alarm for alarm in self.about(actor.workspace, snapshot) if alarm.status is AlarmStatus.OPEN]
        if not opened:
            return []
        with self._records.change(actor, Permission.MONITORS_WRITE) as change:
            ids = [alarm.id for alarm in opened]
            mine = (alarms.c.workspace == change.workspace) & alarms.c.id.in_(ids)
            values = {"status": AlarmStatus.ACKNOWLEDGED.value, "closed": change.time}
            change.execute(
                update(alarms).where(mine).values(**values, closed_by=actor.name, note=reason.strip()[:_SUMMARY])
            )
            for alarm in opened:
                change.record("alarm.acknowledged", f"alarm/{alarm.id}", endpoint="", note=reason.strip()[:_SUMMARY])
            change.record(
                "snapshot.accepted",
                f"dataset/{dataset}",
                snapshot=snapshot,
                reason=reason.strip()[:_SUMMARY],
                alarms=ids,
                kinds=sorted({alarm.kind.value for alarm in opened}),
            )
        return [alarm for alarm in self.about(actor.workspace, snapshot) if alarm.id in ids]

    def _found(self, workspace: str, snapshots: Collection[str], *, open_only: bool) -> list[Alarm]:
        if not snapshots:
            return []
        kinds = [kind.value for kind in Kind if kind.of_data]
        query = select(alarms).where(alarms.c.workspace == workspace, alarms.c.endpoint == "")
        query = query.where(alarms.c.kind.in_(kinds), alarms.c.window.in_(list(snapshots)))
        if open_only:
            query = query.where(alarms.c.status == AlarmStatus.OPEN.value)
        with self._records.read() as connection:
            rows = connection.execute(query.order_by(alarms.c.raised.desc(), alarms.c.id.desc())).all()
        return [alarm_of(row) for row in rows]


def _raise(
    change: Change, dataset: str, snapshot: str, kind: Kind, found: Sequence[DataFinding], told: Sequence[str]
) -> str:
    """Its id follows from what it tells of, so that two processes cannot both raise it."""
    names = sorted(each.name for each in found)
    identity = json.encode([change.workspace, dataset, snapshot, kind.value, names])
    alarm_id = hashlib.sha256(b"data alarm " + identity).hexdigest()[:32]
    severity = "ERROR" if any(each.severity == "ERROR" for each in found) else "WARNING"
    said = " ".join(" ".join(filter(None, (each.message, each.fix))) for each in found)
    subject = f"Snapshot {snapshot} of {dataset}" if snapshot else f"Dataset {dataset}"
    message = f"{subject}: {said}"[:_SUMMARY]
    evidence: dict[str, Any] = {
        "severity": severity,
        "findings": [{**asdict(each), "kind": each.kind.value} for each in found],
        "told": list(told),
    }
    entry = change.record(
        "alarm.raised",
        f"alarm/{alarm_id}",
        endpoint="",
        dataset=dataset,
        snapshot=snapshot,
        kind=kind.value,
        severity=severity,
        message=message,
    )
    evidence["entry"] = entry
    change.execute(
        insert(alarms).values(
            id=alarm_id,
            workspace=change.workspace,
            endpoint="",
            kind=kind.value,
            model=dataset,
            version=0,
            window=snapshot,
            message=message,
            evidence=json.encode(evidence).decode(),
            status=AlarmStatus.OPEN.value,
            raised=change.time,
            closed=None,
            closed_by="",
            note="",
        )
    )
    return alarm_id
