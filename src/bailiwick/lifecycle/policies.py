"""Story: an endpoint's policy, stated with models and versions, becomes one with packages, past the gate where it answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.endpoints.model import BreakerRule, Endpoint, Fallback, OutputValue, Policy, Quota, Shadow, Variant
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.releasable import releasable


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
    history = platform.endpoints.history(actor.workspace, name) if stated.fallbacks else []
    served = [variant for change in history for variant in change.variants if variant.weight]
    policy = resolved(platform, actor, stated, models={each.model for each in endpoint.variants}, served=served)
    new = [each.answer for each in policy.fallbacks if each.answer and each not in endpoint.policy.fallbacks]
    for variant in (each for each in endpoint.variants if new and each.weight):
        of = f"{variant.model} version {variant.version} at endpoint {name}"
        version = platform.registry.version(actor.workspace, variant.model, variant.version)
        check_answers(new, version.signature, of=of)
    return platform.endpoints.set_policy(actor, name, policy, reason=reason)


def resolved(
    platform: Platform, actor: Actor, stated: PolicyStated, *, models: Collection[str], served: Sequence[Variant] = ()
) -> Policy:
    """With the packages of the versions that are named. `models` are the endpoint's own, by which variants get their
    names; what it `served` before may answer again. Raises NotFound, NotAllowed, Conflict.
    """
    return Policy(
        override_header=stated.override_header,
        override_parameter=stated.override_parameter,
        shadows=tuple(_shadow(platform, actor, models, each) for each in stated.shadows),
        fallbacks=tuple(_fallback(platform, actor, models, served, each) for each in stated.fallbacks),
        breaker=stated.breaker,
        slow_ms=stated.slow_ms,
        queue=stated.queue,
        deadline_ms=stated.deadline_ms,
        quota=stated.quota,
        priority_header=stated.priority_header,
    )


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


def check_answers(answers: Iterable[Sequence[OutputValue]], signature: Mapping[str, Any], *, of: str) -> None:
    """Raises InvalidInput for an answer that a version with this signature could not give; an empty one says nothing."""
    if not signature.get("outputs"):
        return
    # Imported here: control shows policies without what computes.
    from bailiwick.serving.constant import answered_values
    from bailiwick.serving.tensors import parse_signature

    outputs = parse_signature(canonical_json(signature).decode()).outputs
    for answer in answers:
        try:
            answered_values(answer, outputs)
        except InvalidInput as error:
            raise InvalidInput(
                f"The fallback answer is none that {of} could give. {error.message}",
                hint="Give each output a value of its datatype; a text that reads as a number takes quotes of its own.",
            ) from None


def _fallback_stated(fallback: Fallback) -> FallbackStated:
    if fallback.previous:
        return FallbackStated(previous=True)
    if fallback.variant is not None:
        return FallbackStated(fallback.variant.model, fallback.variant.version)
    return FallbackStated(answer={each.output: each.value for each in fallback.answer})


def _shadow(platform: Platform, actor: Actor, models: Collection[str], wanted: ShadowStated) -> Shadow:
    version = platform.registry.version(actor.workspace, wanted.model, wanted.version)
    if not version.package:
        raise Conflict(
            f"Version {wanted.version} of model {wanted.model!r} has no package, so it cannot be run.",
            hint=f"`bailiwick models package {wanted.model} {wanted.version}` makes one.",
        )
    return Shadow(_variant(models, wanted.model, wanted.version, version.package), wanted.share)


def _fallback(
    platform: Platform, actor: Actor, models: Collection[str], served: Sequence[Variant], wanted: FallbackStated
) -> Fallback:
    answer = output_values(wanted.answer or {})
    if not wanted.model:
        return Fallback(previous=wanted.previous, answer=answer)
    before = [each for each in served if (each.model, each.version) == (wanted.model, wanted.version)]
    if before:
        platform.registry.version(actor.workspace, wanted.model, wanted.version)
        package = before[-1].package
    else:
        package = releasable(platform, actor, wanted.model, wanted.version).package
    variant = _variant(models, wanted.model, wanted.version, package)
    return Fallback(variant, wanted.previous, answer)


def output_values(answer: Mapping[str, bool | float | str]) -> tuple[OutputValue, ...]:
    """A stated answer, as policies keep it."""
    return tuple(OutputValue(output, value) for output, value in answer.items())


def _variant(models: Collection[str], model: str, version: int, package: str) -> Variant:
    """Named as rollouts name variants: by the number alone where the endpoint serves the same model."""
    name = f"v{version}" if model in models else f"{model}-v{version}"
    return Variant(name, model, version, package, 0)
