"""The verbs of monitors: what is watched, judging windows as they become complete, and answering alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import json
from sqlalchemy import Row, insert, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.data.profile import from_json
from bailiwick.endpoints.log import PredictionLogs
from bailiwick.monitoring.detector import DetectorState
from bailiwick.monitoring.judgement import Judgement, Standard, judge
from bailiwick.monitoring.model import (
    WATCHED,
    Alarm,
    AlarmStatus,
    Drift,
    Kind,
    MonitorConfig,
    MonitorSummary,
    Reference,
    Window,
    WindowStatus,
)
from bailiwick.monitoring.raising import raise_once
from bailiwick.monitoring.tables import alarms, monitors, references, windows
from bailiwick.monitoring.windows import Rows, due_starts, read_rows
from bailiwick.store.records import Change, Records


class MonitorService:
    """Monitors of every workspace, one an endpoint."""

    def __init__(self, records: Records, logs: PredictionLogs) -> None:
        self._records = records
        self._logs = logs

    def configure(self, actor: Actor, endpoint: str, config: MonitorConfig) -> MonitorConfig:
        """Watch the endpoint by this rule from the next window on; repeating it changes nothing."""
        actor.require(Permission.MONITORS_WRITE)
        known = self._monitor(actor.workspace, endpoint)
        if known is not None and known.config == config:
            return config
        with self._records.change(actor, Permission.MONITORS_WRITE) as change:
            mine = (monitors.c.workspace == change.workspace) & (monitors.c.endpoint == endpoint)
            values: dict[str, Any] = {"config": _encode(config), "revision": monitors.c.revision + 1}
            if not change.execute(update(monitors).where(mine).values(**values)).rowcount:
                values |= {"workspace": change.workspace, "endpoint": endpoint, "next_start": None, "revision": 0}
                change.execute(insert(monitors).values(**values))
            change.record("monitor.configured", f"monitor/{endpoint}", config=json.decode(_encode(config)))
        return config

    def set_reference(
        self,
        actor: Actor,
        endpoint: str,
        *,
        model: str,
        version: int,
        profile: str,
        expected_loss: float | None = None,
    ) -> Reference:
        """Compare this version's windows with `profile` (JSON of a `data` profile) and its loss with `expected_loss`.

        Features have the names of the model's inputs; `out_probability`, where the profile has it, is the reference of
        the predictions. `expected_loss` is the mean of the monitor's performance metric. Repeating it changes nothing;
        another profile or loss for the same version starts its detector afresh.
        """
        actor.require(Permission.MONITORS_WRITE)
        from_json(profile)
        if expected_loss is not None and not expected_loss >= 0:
            raise InvalidInput(f"expected_loss {expected_loss} must be a mean loss: 0 or more.")
        known = self._reference(actor.workspace, endpoint, model, version)
        if known is not None and (known.profile, known.expected_loss) == (profile, expected_loss):
            return known
        with self._records.change(actor, Permission.MONITORS_WRITE) as change:
            key = {"workspace": change.workspace, "endpoint": endpoint, "model": model, "version": version}
            values = {"profile": profile, "expected_loss": expected_loss, "detector": _encode(DetectorState())}
            values["since"] = change.time
            mine = [references.c[name] == value for name, value in key.items()]
            if not change.execute(update(references).where(*mine).values(**values)).rowcount:
                change.execute(insert(references).values(**key, **values))
            resource = f"monitor/{endpoint}"
            change.record("monitor.reference_set", resource, model=model, version=version, expected_loss=expected_loss)
        return Reference(model, version, profile, expected_loss, change.time)

    def evaluate_due(self, actor: Actor, endpoint: str) -> list[Window]:
        """Judge every complete window that has not been judged, in order, each exactly once; returns those judged here."""
        actor.require(Permission.MONITORS_WRITE)
        monitor = self._monitor(actor.workspace, endpoint)
        if monitor is None:
            return []
        config = monitor.config
        starts = due_starts(
            self._logs.of(actor.workspace),
            endpoint,
            since=monitor.next_start,
            window_ms=config.window_ms,
            delay_ms=config.outcome_delay_ms,
        )
        done = []
        for start in starts:
            window = self._evaluate(actor, monitor, start)
            if window is None:
                break
            done.append(window)
            monitor = replace(monitor, next_start=window.end, revision=monitor.revision + 1)
        return done

    def windows(self, workspace: str, endpoint: str, *, limit: int = 1000) -> list[Window]:
        """The newest windows, oldest of them first."""
        chosen = (windows.c.workspace == workspace) & (windows.c.endpoint == endpoint)
        with self._records.read() as connection:
            rows = connection.execute(select(windows).where(chosen).order_by(windows.c.start.desc()).limit(limit)).all()
        return [_window(row) for row in reversed(rows)]

    def window(self, workspace: str, window_id: str) -> Window:
        """One window. Raises NotFound."""
        chosen = (windows.c.workspace == workspace) & (windows.c.id == window_id)
        with self._records.read() as connection:
            row = connection.execute(select(windows).where(chosen)).first()
        if row is None:
            raise NotFound.of("Window", window_id)
        return _window(row)

    def alarms(self, workspace: str, endpoint: str | None = None, status: str | None = None) -> list[Alarm]:
        """Alarms, newest first; `status` is OPEN, ACKNOWLEDGED or RESOLVED."""
        if status is not None and status not in AlarmStatus.__members__:
            raise InvalidInput.choice("Alarm status", status, AlarmStatus.__members__)
        query = select(alarms).where(alarms.c.workspace == workspace)
        query = query if endpoint is None else query.where(alarms.c.endpoint == endpoint)
        query = query if status is None else query.where(alarms.c.status == status)
        with self._records.read() as connection:
            rows = connection.execute(query.order_by(alarms.c.raised.desc(), alarms.c.id.desc())).all()
        return [alarm_of(row) for row in rows]

    def alarm(self, workspace: str, alarm_id: str) -> Alarm:
        """One alarm. Raises NotFound."""
        chosen = (alarms.c.workspace == workspace) & (alarms.c.id == alarm_id)
        with self._records.read() as connection:
            row = connection.execute(select(alarms).where(chosen)).first()
        if row is None:
            raise NotFound.of("Alarm", alarm_id)
        return alarm_of(row)

    def acknowledge(self, actor: Actor, alarm_id: str, note: str = "") -> Alarm:
        """Somebody has seen it: the next of its kind is raised again. Repeating it changes nothing."""
        return self._answer(actor, alarm_id, AlarmStatus.ACKNOWLEDGED, note)

    def resolve(self, actor: Actor, alarm_id: str, note: str = "") -> Alarm:
        """Its cause is dealt with. Repeating it changes nothing."""
        return self._answer(actor, alarm_id, AlarmStatus.RESOLVED, note)

    def references(self, workspace: str, endpoint: str) -> list[Reference]:
        """What each version is compared with, newest first."""
        chosen = (references.c.workspace == workspace) & (references.c.endpoint == endpoint)
        with self._records.read() as connection:
            rows = connection.execute(select(references).where(chosen).order_by(references.c.since.desc())).all()
        return [_reference(row) for row in rows]

    def summary(self, workspace: str, endpoint: str, *, limit: int = 200) -> MonitorSummary:
        """The rule, the newest windows, open alarms, and alarms promised against alarms raised."""
        monitor = self._monitor(workspace, endpoint)
        chosen = (windows.c.workspace == workspace) & (windows.c.endpoint == endpoint)
        with self._records.read() as connection:
            spent = [
                json.decode(text, type=dict[str, float])
                for text in connection.scalars(select(windows.c.spent).where(chosen))
            ]
        raised = self.alarms(workspace, endpoint)
        return MonitorSummary(
            endpoint=endpoint,
            config=monitor.config if monitor else None,
            windows=tuple(self.windows(workspace, endpoint, limit=limit)),
            open_alarms=tuple(alarm for alarm in raised if alarm.status is AlarmStatus.OPEN),
            judged=sum(bool(each) for each in spent),
            promised={kind.value: sum(each.get(kind.value, 0.0) for each in spent) for kind in WATCHED},
            raised={kind.value: sum(alarm.kind is kind for alarm in raised) for kind in WATCHED},
        )

    def _evaluate(self, actor: Actor, monitor: _Monitor, start: int) -> Window | None:
        """Judge and store one window; None when another process has done so since `monitor` was read."""
        end = start + monitor.config.window_ms
        rows = read_rows(self._logs.of(actor.workspace), monitor.endpoint, start, end)
        standard = self._standard(actor.workspace, monitor.endpoint, rows)
        thin = rows.inputs.num_rows < monitor.config.min_rows
        if thin or standard is None:
            judgement = Judgement()
            status = WindowStatus.THIN if thin else WindowStatus.NO_REFERENCE
        else:
            judgement = judge(monitor.config, standard, rows, start=start, end=end)
            status = WindowStatus.ALARM if judgement.findings else WindowStatus.OK
        return self._store(actor, monitor, _Outcome(start, end, rows, judgement, status))

    def _store(self, actor: Actor, monitor: _Monitor, outcome: _Outcome) -> Window | None:
        try:
            with self._records.change(actor, Permission.MONITORS_WRITE) as change:
                _take(change, monitor, outcome.end)
                window = _insert_window(change, monitor.endpoint, outcome)
                if outcome.status in {WindowStatus.OK, WindowStatus.ALARM}:
                    _keep_detector(change, monitor.endpoint, window, outcome.judgement.state)
                raised = _raise_alarms(change, window, outcome.judgement)
                change.record(
                    "monitor.window_evaluated",
                    f"monitor/{monitor.endpoint}",
                    window=window.id,
                    start=window.start,
                    end=window.end,
                    status=window.status.value,
                    alarms=raised,
                )
        except _OvertakenError:
            return None
        return window

    def _answer(self, actor: Actor, alarm_id: str, status: AlarmStatus, note: str) -> Alarm:
        actor.require(Permission.MONITORS_WRITE)
        found = self.alarm(actor.workspace, alarm_id)
        if found.status is status:
            return found
        if found.status is AlarmStatus.RESOLVED:
            raise Conflict(f"Alarm {alarm_id} is resolved already.")
        if found.kind.of_data and not note.strip():
            raise InvalidInput(
                f"Alarm {alarm_id} keeps snapshot {found.snapshot} from training; say why it may be used after all.",
                hint="Give a note.",
            )
        with self._records.change(actor, Permission.MONITORS_WRITE) as change:
            mine = (alarms.c.workspace == change.workspace) & (alarms.c.id == alarm_id)
            values = {"status": status.value, "closed": change.time, "closed_by": actor.name, "note": note}
            change.execute(update(alarms).where(mine).values(**values))
            change.record(f"alarm.{status.value.lower()}", f"alarm/{alarm_id}", endpoint=found.endpoint, note=note)
        return self.alarm(actor.workspace, alarm_id)

    def _standard(self, workspace: str, endpoint: str, rows: Rows) -> Standard | None:
        chosen = _key(workspace, endpoint, rows.model, rows.version)
        with self._records.read() as connection:
            row = connection.execute(select(references).where(*chosen)).first()
        if row is None:
            return None
        return Standard(from_json(row.profile), row.expected_loss, json.decode(row.detector, type=DetectorState))

    def _reference(self, workspace: str, endpoint: str, model: str, version: int) -> Reference | None:
        with self._records.read() as connection:
            row = connection.execute(select(references).where(*_key(workspace, endpoint, model, version))).first()
        return _reference(row) if row else None

    def _monitor(self, workspace: str, endpoint: str) -> _Monitor | None:
        chosen = (monitors.c.workspace == workspace) & (monitors.c.endpoint == endpoint)
        with self._records.read() as connection:
            row = connection.execute(select(monitors).where(chosen)).first()
        if row is None:
            return None
        return _Monitor(endpoint, json.decode(row.config, type=MonitorConfig), row.next_start, row.revision)


@dataclass(frozen=True, slots=True)
class _Monitor:
    endpoint: str
    config: MonitorConfig
    next_start: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    start: int
    end: int
    rows: Rows
    judgement: Judgement
    status: WindowStatus


class _OvertakenError(Exception):
    """Another process has judged the window since; nothing of this transaction may stay."""


def _take(change: Change, monitor: _Monitor, end: int) -> None:
    unchanged = (
        (monitors.c.workspace == change.workspace)
        & (monitors.c.endpoint == monitor.endpoint)
        & (monitors.c.revision == monitor.revision)
    )
    taken = change.execute(update(monitors).where(unchanged).values(next_start=end, revision=monitor.revision + 1))
    if not taken.rowcount:
        raise _OvertakenError


def _insert_window(change: Change, endpoint: str, outcome: _Outcome) -> Window:
    judged = outcome.judgement
    window = Window(
        id=new_id(),
        workspace=change.workspace,
        endpoint=endpoint,
        start=outcome.start,
        end=outcome.end,
        model=outcome.rows.model,
        version=outcome.rows.version,
        predictions=outcome.rows.inputs.num_rows,
        outcomes=int(outcome.rows.outcomes.size),
        drift=judged.drift,
        prediction_drift=judged.prediction_drift,
        skipped=judged.skipped,
        performance=judged.performance,
        status=outcome.status,
        spent={kind.value: share for kind, share in judged.spent.items()},
        evaluated=change.time,
    )
    encoded = {name: _encode(getattr(window, name)) for name in _WINDOW_JSON}
    plain = {name: getattr(window, name) for name in Window.__dataclass_fields__ if name not in _WINDOW_JSON}
    change.execute(insert(windows).values(**plain, **encoded))
    return window


def _keep_detector(change: Change, endpoint: str, window: Window, state: DetectorState) -> None:
    mine = _key(change.workspace, endpoint, window.model, window.version)
    change.execute(update(references).where(*mine).values(detector=_encode(state)))


def _raise_alarms(change: Change, window: Window, judgement: Judgement) -> list[str]:
    """One alarm for each finding of which none of the same kind and version is open; returns their kinds."""
    about: dict[str, Any] = {"model": window.model, "version": window.version, "window": window.id}
    return [
        finding.kind.value
        for finding in judgement.findings
        if raise_once(
            change, window.endpoint, finding.kind, message=finding.message, evidence=finding.evidence, **about
        )
    ]


def _key(workspace: str, endpoint: str, model: str, version: int) -> Sequence[Any]:
    return (
        references.c.workspace == workspace,
        references.c.endpoint == endpoint,
        references.c.model == model,
        references.c.version == version,
    )


_WINDOW_JSON: dict[str, Any] = {
    "drift": tuple[Drift, ...],
    "prediction_drift": Drift | None,
    "skipped": tuple[str, ...],
    "performance": dict[str, float],
    "spent": dict[str, float],
}


def _window(row: Row[Any]) -> Window:
    values = dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's documented way to a row's dict
    decoded = {name: json.decode(values[name], type=kind) for name, kind in _WINDOW_JSON.items()}
    return Window(**{**values, **decoded, "status": WindowStatus(row.status)})


def alarm_of(row: Row[Any]) -> Alarm:
    """An alarm of its row."""
    values = dict(row._mapping)  # noqa: SLF001
    decoded = {"evidence": json.decode(row.evidence), "kind": Kind(row.kind), "status": AlarmStatus(row.status)}
    return Alarm(**{**values, **decoded})


def _reference(row: Row[Any]) -> Reference:
    return Reference(row.model, row.version, row.profile, row.expected_loss, row.since)


def _encode(value: Any) -> str:
    return json.encode(value).decode()
