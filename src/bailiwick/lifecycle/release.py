"""Story: a proposed version that may go out goes out: at once where the endpoint is new, by canary where it serves.

A version is proposed by the alias `candidate`. It may go out when the promotion gate lets the alias `production` point
to it. Nothing else is remembered: what has been released is read from the endpoint's own history, so a pass that is
killed half-way is simply made again.
"""

from __future__ import annotations

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotAllowed, NotFound
from bailiwick.lifecycle.configuration import canary_config, expected_loss, monitor_config
from bailiwick.lifecycle.declared_serving import beginning, keep_promises
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.releasable import PRODUCTION
from bailiwick.monitoring.model import WATCHED, AlarmStatus
from bailiwick.pipelines.project import Project
from bailiwick.registry.model import ModelVersion
from bailiwick.rollout.model import Rollout, Status

CANDIDATE = "candidate"


def release_proposed(platform: Platform, actor: Actor) -> list[str]:
    """Release every proposed version that may go out now; returns one sentence for each."""
    done = []
    for project in platform.projects.projects(actor.workspace):
        version = _proposed(platform, actor, project)
        if version is not None and _may_go_out(platform, actor, project, version):
            done.append(_release(platform, actor, project, version))
    return done


def _proposed(platform: Platform, actor: Actor, project: Project) -> ModelVersion | None:
    try:
        return platform.registry.alias(actor.workspace, project.name, CANDIDATE)
    except NotFound:
        return None


def _may_go_out(platform: Platform, actor: Actor, project: Project, version: ModelVersion) -> bool:
    endpoint = project.deploy.endpoint
    if not version.package or version.number <= _last_released(platform, actor.workspace, endpoint):
        return False
    if platform.rollouts.active(actor.workspace, endpoint) is not None:
        return False
    try:
        platform.governance.check(actor, version.model, version.number, PRODUCTION, version.created_by)
    except NotAllowed:
        return False
    return True


def _last_released(platform: Platform, workspace: str, endpoint: str) -> int:
    """The highest version that ever received traffic at the endpoint; 0 where there is none."""
    try:
        changes = platform.endpoints.history(workspace, endpoint)
    except NotFound:
        return 0
    return max((variant.version for change in changes for variant in change.variants), default=0)


def _release(platform: Platform, actor: Actor, project: Project, version: ModelVersion) -> str:
    endpoint = project.deploy.endpoint
    watch(platform, actor, project, version)
    try:
        platform.endpoints.endpoint(actor.workspace, endpoint)
    except NotFound:
        return _first_release(platform, actor, project, version)
    platform.rollouts.start(
        actor,
        endpoint,
        model=version.model,
        version=version.number,
        package=version.package,
        config=canary_config(project),
    )
    return f"{version.model} version {version.number} started a canary on endpoint {endpoint}"


def _first_release(platform: Platform, actor: Actor, project: Project, version: ModelVersion) -> str:
    begun = beginning(platform, actor, project)
    keep_promises(platform, actor, project)
    platform.registry.set_alias(actor, version.model, PRODUCTION, version.number, reason="first deployment")
    platform.endpoints.deploy(
        actor,
        project.deploy.endpoint,
        model=version.model,
        version=version.number,
        package=version.package,
        key=project.data.key,
        time=project.data.time,
        policy=begun.policy,
        recording=begun.recording,
    )
    return f"{version.model} version {version.number} serves endpoint {project.deploy.endpoint}"


def watch(platform: Platform, actor: Actor, project: Project, version: ModelVersion) -> None:
    """Have the monitor know the version before its first prediction: its reference profile and expected loss."""
    platform.monitors.configure(actor, project.deploy.endpoint, monitor_config(project))
    if version.reference_profile:
        platform.monitors.set_reference(
            actor,
            project.deploy.endpoint,
            model=version.model,
            version=version.number,
            profile=platform.blobs.get(version.reference_profile).decode(),
            expected_loss=expected_loss(project, version.metrics),
        )


def settle_promotions(platform: Platform, actor: Actor) -> list[str]:
    """Let the alias `production` follow each endpoint's newest rollout that ended in promotion; one sentence a move."""
    done = []
    for project in platform.projects.projects(actor.workspace):
        newest = next(iter(platform.rollouts.rollouts(actor.workspace, endpoint=project.deploy.endpoint)), None)
        if newest is None or newest.status is not Status.PROMOTED:
            continue
        model, number = newest.candidate.model, newest.candidate.version
        if not _was_settled(platform, actor.workspace, newest):
            platform.registry.set_alias(actor, model, PRODUCTION, number, reason=f"rollout {newest.id} promoted it")
            done.append(f"{model} version {number} is in production")
        done += _answer_alarms(platform, actor, newest.endpoint, model, number)
    return done


def _was_settled(platform: Platform, workspace: str, rollout: Rollout) -> bool:
    """Whether the alias was at the candidate once its rollout had ended: what somebody did with it since is theirs to do."""
    model, number = rollout.candidate.model, rollout.candidate.version
    if platform.registry.aliases(workspace, model).get(PRODUCTION) == number:
        return True
    moved = platform.registry.alias_history(workspace, model, PRODUCTION)
    return any(number in {each.number, each.previous} and each.time >= (rollout.ended or 0) for each in moved)


def _answer_alarms(platform: Platform, actor: Actor, endpoint: str, model: str, number: int) -> list[str]:
    """What was said of an earlier version is dealt with once another serves in its place, and only while it does."""
    done: list[str] = []
    serving = platform.endpoints.endpoint(actor.workspace, endpoint).variants
    if any((each.model, each.version) != (model, number) for each in serving):
        return done
    for alarm in platform.monitors.alarms(actor.workspace, endpoint=endpoint, status=AlarmStatus.OPEN):
        if alarm.kind in WATCHED and (alarm.model, alarm.version) != (model, number):
            platform.monitors.resolve(actor, alarm.id, f"{model} version {number} serves instead")
            done.append(f"alarm {alarm.id} about version {alarm.version} is resolved")
    return done
