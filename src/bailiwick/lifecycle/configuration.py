"""From the words of the project file to those of each domain, in one place."""

from __future__ import annotations

from collections.abc import Mapping

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.declared_models import keep_models
from bailiwick.lifecycle.declared_serving import keep_serving
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.stakeholders import keep_stakeholders
from bailiwick.lifecycle.training.pipeline import pipeline_name
from bailiwick.monitoring.model import LOSSES, MonitorConfig
from bailiwick.pipelines.model import JSON
from bailiwick.pipelines.project import Project
from bailiwick.rollout.canary import CanaryConfig


def apply_project(platform: Platform, actor: Actor, project: Project) -> Project:
    """Let the platform act by this project file from now on: its rules of approval, and those of its endpoint, hold at once."""
    applied = platform.projects.apply(actor, project)
    for target, rule in applied.govern.approvals.items():
        platform.governance.set_policy(
            actor,
            applied.name,
            target,
            approvers=rule.approvers,
            not_author=rule.not_author,
            evidence=rule.evidence,
            expires_ms=rule.expires_ms,
            who=rule.who,
        )
    for policy in platform.governance.policies(actor.workspace):
        if policy.model == applied.name and policy.target not in applied.govern.approvals:
            platform.governance.remove_policy(actor, applied.name, policy.target)
    _keep_schedules(platform, actor, applied)
    keep_stakeholders(platform, actor, applied)
    keep_models(platform, actor, project)
    keep_serving(platform, actor, project)  # last, for a policy may name models of the file
    return applied


def _keep_schedules(platform: Platform, actor: Actor, project: Project) -> None:
    """One schedule for each cron line of `retrain.on`, and none that is not there any more."""
    prefix = f"retrain-{project.name} "
    wanted = {prefix + cron: cron for cron in (project.retrain.crons if project.retrain else ())}
    known = {schedule.name for schedule in platform.triggers.schedules(actor.workspace)}
    for name in known:
        if name.startswith(prefix) and name not in wanted:
            platform.triggers.unschedule(actor, name)
    for name, cron in wanted.items():
        if name not in known:
            params: dict[str, JSON] = {
                "project": project.name,
                "start": None,
                "end": None,
                "reason": f"schedule {cron}",
                "retrain": True,
            }
            platform.triggers.schedule(actor, name, cron=cron, pipeline=pipeline_name(project.name), params=params)


def canary_config(project: Project) -> CanaryConfig:
    """The canary rule of `deploy.strategy.canary`; the defaults where the project declares none."""
    declared = project.deploy.strategy.canary
    delay = project.monitor.performance.outcome_delay_ms
    if declared is None:
        return CanaryConfig(outcome_delay_ms=delay)
    return CanaryConfig(
        ramp=tuple(share for share in declared.ramp if share < 100),
        rollback_alpha=declared.rollback_alpha,
        promote_beta=declared.promote_beta,
        margin=declared.margin,
        min_units_per_step=declared.min_units,
        outcome_delay_ms=delay,
    )


def monitor_config(project: Project) -> MonitorConfig:
    """The monitor rule of `monitor`."""
    drift, performance = project.monitor.drift, project.monitor.performance
    return MonitorConfig(
        window_ms=project.monitor.window_ms,
        drift_margin=drift.margin,
        false_alarms=float(drift.false_alarms.count),
        period_ms=drift.false_alarms.per_ms,
        performance_metric=performance.metric if performance.metric in LOSSES else LOSSES[0],
        performance_margin=performance.margin,
        outcome_delay_ms=performance.outcome_delay_ms,
    )


def expected_loss(project: Project, metrics: Mapping[str, float]) -> float | None:
    """What a version lost on its hold-out, in the monitor's metric; None where it was not measured."""
    wanted = monitor_config(project).performance_metric
    if wanted == "misclassification":
        return 1.0 - metrics["accuracy"] if "accuracy" in metrics else None
    return metrics.get(wanted)
