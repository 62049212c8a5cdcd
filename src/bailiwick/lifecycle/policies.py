"""Story: an endpoint's policy, stated with models and versions, becomes one with packages, past the gate where it answers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict
from bailiwick.endpoints.model import BreakerRule, Endpoint, Fallback, OutputValue, Policy, Quota, Shadow, Variant
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.release import releasable


class ShadowStated(Struct, frozen=True, forbid_unknown_fields=True):
    """A version that gets copies; `share` in basis points of the units."""

    model: str
    version: int
    share: int = 10_000


class FallbackStated(Struct, frozen=True, forbid_unknown_fields=True):
    """One of: a version of a model, the `previous` version, or an `answer` with a value for each output."""

    model: str = ""
    version: int = 0
    previous: bool = False
    answer: dict[str, bool | int | float | str] | None = None


class PolicyStated(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy in the words of people. See `Policy` for what each part does."""

    override_header: str = ""
    override_parameter: str = ""
    shadows: tuple[ShadowStated, ...] = ()
    fallbacks: tuple[FallbackStated, ...] = ()
    breaker: BreakerRule | None = None
    slow_ms: int = 0
    queue: int = 0
    deadline_ms: int = 0
    quota: Quota | None = None
    priority_header: str = ""


def set_policy(platform: Platform, actor: Actor, name: str, stated: PolicyStated, *, reason: str) -> Endpoint:
    """Have the policy in force. A shadow needs a package; a version that may answer passes the gate of its deployment,
    unless it has answered here before. Raises NotFound, NotAllowed, Conflict, InvalidInput.
    """
    endpoint = platform.endpoints.endpoint(actor.workspace, name)
    policy = Policy(
        override_header=stated.override_header,
        override_parameter=stated.override_parameter,
        shadows=tuple(_shadow(platform, actor, endpoint, each) for each in stated.shadows),
        fallbacks=tuple(_fallback(platform, actor, endpoint, each) for each in stated.fallbacks),
        breaker=stated.breaker,
        slow_ms=stated.slow_ms,
        queue=stated.queue,
        deadline_ms=stated.deadline_ms,
        quota=stated.quota,
        priority_header=stated.priority_header,
    )
    return platform.endpoints.set_policy(actor, name, policy, reason=reason)


def stated(policy: Policy) -> PolicyStated:
    """The policy as somebody would state it who wants just that."""
    return PolicyStated(
        override_header=policy.override_header,
        override_parameter=policy.override_parameter,
        shadows=tuple(ShadowStated(each.variant.model, each.variant.version, each.share) for each in policy.shadows),
        fallbacks=tuple(_fallback_stated(each) for each in policy.fallbacks),
        breaker=policy.breaker,
        slow_ms=policy.slow_ms,
        queue=policy.queue,
        deadline_ms=policy.deadline_ms,
        quota=policy.quota,
        priority_header=policy.priority_header,
    )


def _fallback_stated(fallback: Fallback) -> FallbackStated:
    if fallback.previous:
        return FallbackStated(previous=True)
    if fallback.variant is not None:
        return FallbackStated(fallback.variant.model, fallback.variant.version)
    return FallbackStated(answer={each.output: each.value for each in fallback.answer})


def _shadow(platform: Platform, actor: Actor, endpoint: Endpoint, wanted: ShadowStated) -> Shadow:
    version = platform.registry.version(actor.workspace, wanted.model, wanted.version)
    if not version.package:
        raise Conflict(
            f"Version {wanted.version} of model {wanted.model!r} has no package, so it cannot be run.",
            hint=f"`bailiwick models package {wanted.model} {wanted.version}` makes one.",
        )
    return Shadow(_variant(endpoint, wanted.model, wanted.version, version.package), wanted.share)


def _fallback(platform: Platform, actor: Actor, endpoint: Endpoint, wanted: FallbackStated) -> Fallback:
    answer = _values(wanted.answer or {})
    if not wanted.model:
        return Fallback(previous=wanted.previous, answer=answer)
    history = platform.endpoints.history(actor.workspace, endpoint.name)
    served = [
        each
        for change in history
        for each in change.variants
        if each.weight and (each.model, each.version) == (wanted.model, wanted.version)
    ]
    if served:
        platform.registry.version(actor.workspace, wanted.model, wanted.version)
        package = served[-1].package
    else:
        package = releasable(platform, actor, wanted.model, wanted.version).package
    variant = _variant(endpoint, wanted.model, wanted.version, package)
    return Fallback(variant, wanted.previous, answer)


def _values(answer: Mapping[str, bool | float | str]) -> tuple[OutputValue, ...]:
    return tuple(OutputValue(output, value) for output, value in answer.items())


def _variant(endpoint: Endpoint, model: str, version: int, package: str) -> Variant:
    """Named as rollouts name variants: by the number alone where the endpoint serves the same model."""
    ours = {each.model for each in endpoint.variants}
    name = f"v{version}" if model in ours else f"{model}-v{version}"
    return Variant(name, model, version, package, 0)
