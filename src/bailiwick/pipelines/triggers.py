"""Triggers: why a run starts by itself, once.

A firing is a row with a unique (trigger, key), written in the run's transaction: whatever happens at the same moment, or
again after a crash, one cause starts one run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import NotFound
from bailiwick.pipelines.cron import parse_cron
from bailiwick.pipelines.model import JSON, Pipeline, PipelineRun
from bailiwick.pipelines.rows import mapping
from bailiwick.pipelines.service import PipelineService, insert_run
from bailiwick.pipelines.tables import firings, schedules
from bailiwick.store import faults
from bailiwick.store.records import Change, Records


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron expression (UTC) that submits a pipeline; `next_fire` in UTC milliseconds."""

    workspace: str
    name: str
    cron: str
    pipeline: str
    params: Mapping[str, JSON]
    enabled: bool
    next_fire: int
    created: int


class TriggerService:
    """Firing triggers exactly once, and keeping schedules, whose trigger is called `schedule:<name>`."""

    def __init__(self, records: Records, pipelines: PipelineService) -> None:
        self._records = records
        self._pipelines = pipelines

    def fire(
        self, actor: Actor, trigger: str, key: str, pipeline: Pipeline, params: Mapping[str, JSON]
    ) -> PipelineRun | None:
        """Submit a run for this cause; None when (trigger, key) has fired before. `key` names the cause: an alarm's id, a time."""
        try:
            with self._records.change(actor, Permission.PIPELINES_RUN) as change:
                run_id = _fire(change, trigger, key, pipeline, params)
                faults.reach("pipelines.trigger.firing")
        except IntegrityError:
            if self.fired(actor.workspace, trigger, key) is None:
                raise
            return None
        faults.reach("pipelines.trigger.fired")
        return self._pipelines.run(actor.workspace, run_id)

    def fired(self, workspace: str, trigger: str, key: str) -> str | None:
        """Id of the run that this cause started, or None."""
        same = (firings.c.workspace == workspace, firings.c.trigger == trigger, firings.c.key == key)
        with self._records.read() as connection:
            return connection.scalar(select(firings.c.run_id).where(*same))

    def last_fired(self, workspace: str, trigger: str) -> int | None:
        """When the trigger last fired, for cooldowns; in UTC milliseconds, None if never."""
        wanted = select(func.max(firings.c.time)).where(firings.c.workspace == workspace, firings.c.trigger == trigger)
        with self._records.read() as connection:
            time: int | None = connection.scalar(wanted)
        return time

    def schedule(
        self, actor: Actor, name: str, *, cron: str, pipeline: str, params: Mapping[str, JSON], enabled: bool = True
    ) -> Schedule:
        """Create the schedule, or change what differs; another `cron` counts from now on. Raises InvalidInput."""
        actor.require(Permission.PIPELINES_RUN)
        parsed = parse_cron(cron)
        wanted: dict[str, object] = {"cron": cron, "pipeline": pipeline, "params": _encoded(params), "enabled": enabled}
        known = self._named(actor.workspace, name)
        if known is not None and wanted == _declared(known):
            return known
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            if known is None or known.cron != cron:
                wanted["next_fire"] = parsed.next_after(change.time)
            same = (schedules.c.workspace == actor.workspace, schedules.c.name == name)
            if not change.execute(update(schedules).where(*same).values(wanted)).rowcount:
                row = {**wanted, "workspace": actor.workspace, "name": name, "created": change.time}
                change.execute(insert(schedules).values(row))
            change.record("schedule.set", f"schedule/{name}", cron=cron, pipeline=pipeline, enabled=enabled)
        return self.schedule_named(actor.workspace, name)

    def unschedule(self, actor: Actor, name: str) -> None:
        """Remove the schedule; what it has started goes on. Raises NotFound."""
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            same = (schedules.c.workspace == actor.workspace, schedules.c.name == name)
            if not change.execute(delete(schedules).where(*same)).rowcount:
                raise NotFound.of("Schedule", name)
            change.record("schedule.removed", f"schedule/{name}")

    def schedules(self, workspace: str) -> list[Schedule]:
        """All schedules by name."""
        wanted = select(schedules).where(schedules.c.workspace == workspace).order_by(schedules.c.name)
        with self._records.read() as connection:
            return [_schedule_of(row) for row in connection.execute(wanted).mappings()]

    def schedule_named(self, workspace: str, name: str) -> Schedule:
        """One schedule. Raises NotFound."""
        known = self._named(workspace, name)
        if known is None:
            raise NotFound.of("Schedule", name, [schedule.name for schedule in self.schedules(workspace)])
        return known

    def due(self, actor: Actor, now: int | None = None) -> list[Schedule]:
        """Schedules whose time has come by `now` (UTC milliseconds; the clock's when left out), for `fire_schedule`."""
        actor.require(Permission.PIPELINES_RUN)
        moment = self._records.clock() if now is None else now
        return [item for item in self.schedules(actor.workspace) if item.enabled and item.next_fire <= moment]

    def fire_schedule(
        self, actor: Actor, schedule: Schedule, pipeline: Pipeline, now: int | None = None
    ) -> PipelineRun | None:
        """Submit a run for a due schedule and move it on to its first time after `now`, in one commit.

        None when another process has done so since `due` was asked. Times missed while nobody asked are made up for by
        one run, not by one each.
        """
        moment = self._records.clock() if now is None else now
        try:
            with self._records.change(actor, Permission.PIPELINES_RUN) as change:
                _advance(change, schedule, parse_cron(schedule.cron).next_after(max(moment, schedule.next_fire)))
                trigger = f"schedule:{schedule.name}"
                run_id = _fire(change, trigger, str(schedule.next_fire), pipeline, schedule.params)
                faults.reach("pipelines.schedule.firing")
        except _Overtaken:
            return None
        return self._pipelines.run(actor.workspace, run_id)

    def _named(self, workspace: str, name: str) -> Schedule | None:
        wanted = select(schedules).where(schedules.c.workspace == workspace, schedules.c.name == name)
        with self._records.read() as connection:
            row = connection.execute(wanted).mappings().first()
        return None if row is None else _schedule_of(row)


class _Overtaken(Exception):
    pass


def _advance(change: Change, schedule: Schedule, next_fire: int) -> None:
    unmoved = (
        schedules.c.workspace == schedule.workspace,
        schedules.c.name == schedule.name,
        schedules.c.next_fire == schedule.next_fire,
    )
    if not change.execute(update(schedules).where(*unmoved).values(next_fire=next_fire)).rowcount:
        raise _Overtaken


def _fire(change: Change, trigger: str, key: str, pipeline: Pipeline, params: Mapping[str, JSON]) -> str:
    run_id = insert_run(change, pipeline, params, trigger=trigger, key=None)
    change.execute(
        insert(firings).values(workspace=change.workspace, trigger=trigger, key=key, run_id=run_id, time=change.time)
    )
    change.record("trigger.fired", f"trigger/{trigger}", key=key, run=run_id)
    return run_id


def _encoded(params: Mapping[str, JSON]) -> str:
    return canonical_json(dict(params)).decode()


def _declared(schedule: Schedule) -> dict[str, object]:
    return {
        "cron": schedule.cron,
        "pipeline": schedule.pipeline,
        "params": _encoded(schedule.params),
        "enabled": schedule.enabled,
    }


def _schedule_of(row: RowMapping) -> Schedule:
    return Schedule(
        workspace=row["workspace"],
        name=row["name"],
        cron=row["cron"],
        pipeline=row["pipeline"],
        params=mapping(row["params"]),
        enabled=row["enabled"],
        next_fire=row["next_fire"],
        created=row["created"],
    )
