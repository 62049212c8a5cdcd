"""Story: an alarm, or a schedule, starts a training run on a recent window, once for each cause."""

from __future__ import annotations

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import pipeline_name, training_pipeline
from bailiwick.monitoring.model import WATCHED, Alarm, AlarmStatus
from bailiwick.pipelines.model import JSON, PipelineRun
from bailiwick.pipelines.project import Project


def retrain_on_alarms(platform: Platform, actor: Actor) -> list[str]:
    """Answer open alarms by a training run; returns one sentence for each run.

    An alarm that is still open a cooldown later, because the run failed its gates or its version was rolled back, is
    answered again, with the data that has come since.
    """
    done = []
    for project in platform.projects.projects(actor.workspace):
        if project.retrain is None or "alarm" not in project.retrain.on or not _is_free(platform, actor, project):
            continue
        opened = platform.monitors.alarms(
            actor.workspace, endpoint=project.deploy.endpoint, status=AlarmStatus.OPEN.value
        )
        decayed = next((alarm for alarm in opened if alarm.kind in WATCHED), None)
        run = _answer(platform, actor, project, decayed) if decayed else None
        if decayed and run is not None:
            done.append(f"alarm {decayed.kind} of endpoint {decayed.endpoint} started training run {run.id}")
    return done


def retrain_on_schedule(platform: Platform, actor: Actor) -> list[str]:
    """Fire the schedules that are due; returns one sentence for each run."""
    done = []
    for schedule in platform.triggers.due(actor):
        project = platform.projects.project(actor.workspace, str(schedule.params["project"]))
        run = platform.triggers.fire_schedule(actor, schedule, training_pipeline(platform, project))
        if run is not None:
            done.append(f"schedule {schedule.name!r} started training run {run.id}")
    return done


def _is_free(platform: Platform, actor: Actor, project: Project) -> bool:
    """Not while a run, a proposal or a rollout is under way: its result will answer the alarm."""
    runs = platform.pipelines.runs(actor.workspace, limit=20, pipeline=pipeline_name(project.name))
    if any(not run.status.is_over for run in runs):
        return False
    if platform.rollouts.active(actor.workspace, project.deploy.endpoint) is not None:
        return False
    return not platform.governance.requests(actor.workspace, status="PENDING", model=project.name)


def _answer(platform: Platform, actor: Actor, project: Project, alarm: Alarm) -> PipelineRun | None:
    """Train on the newest complete data, at most once in each cooldown of event time."""
    assert project.retrain is not None
    newest = platform.monitors.windows(actor.workspace, project.deploy.endpoint, limit=1)[-1]
    trigger = f"retrain:{project.name}"
    ends = [
        end
        for run in platform.pipelines.runs(actor.workspace, limit=20, pipeline=pipeline_name(project.name))
        if run.trigger == trigger and isinstance(end := run.params.get("end"), int)
    ]
    if ends and newest.end < max(ends) + project.retrain.cooldown_ms:
        return None
    length = project.retrain.window_ms
    params: dict[str, JSON] = {
        "project": project.name,
        "start": None if length is None else newest.end - length,
        "end": newest.end,
        "reason": f"alarm: {alarm.message}",
        "retrain": True,
    }
    pipeline = training_pipeline(platform, project)
    return platform.triggers.fire(actor, trigger, f"{alarm.id}:{newest.end}", pipeline, params)
