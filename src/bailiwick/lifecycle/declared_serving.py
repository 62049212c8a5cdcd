"""Story: what the project file says of its endpoint beyond the split holds: at its first release, and whenever the file is applied.

In between, what people set by other ways stays: a retraining by night does not undo what somebody did about an incident.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotFound
from bailiwick.endpoints.model import BreakerRule, Policy, Quota
from bailiwick.endpoints.recording import Recording
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.policies import FallbackStated, PolicyStated, ShadowStated, resolved, set_policy, stated
from bailiwick.monitoring.objectives.model import Objectives
from bailiwick.pipelines.project import Project
from bailiwick.pipelines.serving_sections import Breaker, DeclaredFallback, DeclaredQuota, ServingPolicy

REASON = "the project file says so"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a new endpoint begins with; None where the project file does not say."""

    policy: Policy | None
    recording: Recording | None


def beginning(platform: Platform, actor: Actor, project: Project) -> Beginning:
    """Of the project's endpoint, before its first release. Raises NotFound, NotAllowed, Conflict."""
    declared, recording = project.deploy.policy, project.deploy.recording
    policy = None
    if declared is not None:
        policy = resolved(platform, actor, policy_stated(declared), models=(project.name,))
    return Beginning(policy, recording.recording() if recording else None)


def keep_serving(platform: Platform, actor: Actor, project: Project) -> None:
    """Have the endpoint as the file says, where it is there; what is so already takes no permission and no journal entry.

    Raises NotAllowed, NotFound, Conflict.
    """
    name = project.deploy.endpoint
    try:
        present = platform.endpoints.endpoint(actor.workspace, name)
    except NotFound:
        return
    declared, recording = project.deploy.policy, project.deploy.recording
    if declared is not None and policy_stated(declared) != stated(present.policy):
        set_policy(platform, actor, name, policy_stated(declared), reason=REASON)
    if recording is not None:
        wanted = recording.recording()
        if msgspec.structs.replace(wanted, personal=present.recording.personal) != present.recording:
            platform.endpoints.set_recording(actor, name, wanted, reason=REASON)
    keep_promises(platform, actor, project)


def keep_promises(platform: Platform, actor: Actor, project: Project) -> None:
    """Promise of the endpoint what the file does; the same again takes no permission. Raises NotAllowed."""
    declared, name = project.deploy.promises, project.deploy.endpoint
    if declared is None:
        return
    wanted = Objectives(declared.availability, (declared.latency_ms or 0) * 1000, declared.latency_share)
    if platform.serving_watch.objectives(actor.workspace).get(name) != wanted:
        platform.serving_watch.promise(actor, name, wanted)


def policy_stated(declared: ServingPolicy) -> PolicyStated:
    """The section in the words that `set_policy` takes."""
    return PolicyStated(
        override_header=declared.override.header,
        override_parameter=declared.override.parameter,
        shadows=tuple(
            ShadowStated(each.model, each.version, max(1, round(each.share * 10_000))) for each in declared.shadows
        ),
        fallbacks=tuple(_fallback(each) for each in declared.fallbacks),
        breaker=_breaker(declared.breaker) if declared.breaker else None,
        slow_ms=declared.slow_ms or 0,
        queue=declared.queue,
        deadline_ms=declared.deadline_ms or 0,
        quota=_quota(declared.quota) if declared.quota else None,
        priority_header=declared.priority_header,
    )


def _fallback(declared: DeclaredFallback) -> FallbackStated:
    return FallbackStated(declared.model, declared.version or 0, declared.previous, declared.answer)


def _breaker(declared: Breaker) -> BreakerRule:
    return BreakerRule(
        declared.percent, declared.least, declared.window_ms // 1000, declared.open_ms // 1000, declared.probes
    )


def _quota(declared: DeclaredQuota) -> Quota:
    burst = declared.burst if declared.burst is not None else max(1, round(declared.per_second))
    return Quota(declared.per_second, burst, declared.by)
