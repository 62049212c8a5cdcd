"""Story: a version is to become something, an alias or a stage, and where a policy wants people to agree, they are asked.

The registry asks its gate and refuses; the gate changes nothing. Every door through which people and their tools move
aliases and stages comes in here, so that a refusal always leaves a request behind and says where it is to be decided.
"""

from __future__ import annotations

from typing import Any

from bailiwick.core.actor import Actor, Permission, system_actor
from bailiwick.core.errors import CheckFailed, NotAllowed
from bailiwick.governance.model import ApprovalRequest, Policy, Status, who_approves
from bailiwick.lifecycle.evidence import card_evidence
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import AliasChange, ModelVersion, parse_stage
from bailiwick.registry.service import targets_of


def promote(platform: Platform, actor: Actor, model: str, number: int, alias: str, *, reason: str = "") -> AliasChange:
    """Point an alias at a version. Raises NotAllowed, having requested the approval that is missing."""
    try:
        return platform.registry.set_alias(actor, model, alias, number, reason=reason)
    except NotAllowed as refusal:
        raise _answered(platform, actor, refusal, (model, number), [alias]) from refusal


def promote_to_stage(
    platform: Platform,
    actor: Actor,
    model: str,
    number: int,
    stage: str,
    *,
    archive_existing: bool = False,
    reason: str = "",
) -> ModelVersion:
    """Put a version at a stage. Raises NotAllowed, having requested the approvals that are missing."""
    try:
        return platform.registry.set_stage(
            actor, model, number, stage, archive_existing=archive_existing, reason=reason
        )
    except NotAllowed as refusal:
        raise _answered(platform, actor, refusal, (model, number), targets_of(parse_stage(stage))) from refusal


def request_approval(platform: Platform, actor: Actor, model: str, number: int, target: str) -> ApprovalRequest:
    """Ask the approvers of a target, with the evidence that the records hold; a pending request is returned instead.

    Raises CheckFailed naming the evidence that the policy wants and that is missing.
    """
    version = platform.registry.version(actor.workspace, model, number)
    evidence = evidence_for(platform, version)
    return platform.governance.request(actor, model, number, target, author=version.created_by, evidence=evidence)


def close_expired(platform: Platform) -> list[str]:
    """Close requests for approval whose time is over, in every workspace; one sentence for each."""
    return [
        f"request {each.id} for {each.model} version {each.number} to become {each.target} has expired"
        for workspace, overdue in platform.governance.overdue().items()
        for each in platform.governance.expire(system_actor(workspace, "governance"), overdue)
    ]


def evidence_for(platform: Platform, version: ModelVersion) -> dict[str, Any]:
    """What is known in favour of a version: parity and card as its records have them, and what was put forward before.

    Whoever asks through MLflow brings no evidence along; the pipeline that made the version may have.
    """
    workspace, model, number = version.workspace, version.model, version.number
    earlier = [each for each in platform.governance.requests(workspace, model=model) if each.number == number]
    known: dict[str, Any] = {}
    for request in reversed(earlier):  # oldest first, so that the newest counts
        known |= request.evidence
    known.pop("card_missing", None)
    card = card_evidence(platform, workspace, model, number)
    return known | card | {"parity": version.parity.get("passed") is True}


def _answered(
    platform: Platform, actor: Actor, refusal: NotAllowed, version: tuple[str, int], targets: list[str]
) -> NotAllowed:
    """The refusal, with what was done about it. One that no policy gave is left as it is."""
    model, number = version
    policies = [platform.governance.policy(actor.workspace, model, target) for target in targets]
    if Permission.MODELS_WRITE not in actor.permissions or not any(policies):
        return refusal
    found = platform.registry.version(actor.workspace, model, number)
    told = [
        _asked(platform, actor, found, target, policy)
        for target, policy in zip(targets, policies, strict=True)
        if policy is not None and not _allowed(platform, actor, found, target)
    ]
    requested = [
        policy
        for target, policy in zip(targets, policies, strict=True)
        if policy is not None and (newest := _newest(platform, found, target)) and newest.status == Status.PENDING
    ]
    author = platform.identities.name_of(actor.workspace, found.created_by) if requested else ""
    hint = f"{who_approves(requested[0], author)}: `bailiwick models approve REQUEST`." if requested else ""
    return NotAllowed(" ".join([refusal.message, *told]), hint=hint or refusal.hint)


def _allowed(platform: Platform, actor: Actor, version: ModelVersion, target: str) -> bool:
    try:
        platform.governance.check(actor, version.model, version.number, target, version.created_by)
    except NotAllowed:
        return False
    return True


def _asked(platform: Platform, actor: Actor, version: ModelVersion, target: str, policy: Policy) -> str:
    """Request the approval, unless it was refused for good; one sentence about what was done, and where to look."""
    newest = _newest(platform, version, target)
    if newest is not None and newest.status == Status.REJECTED:
        return (
            f"Request {newest.id} was rejected, so none was made anew; `bailiwick models request {version.model} "
            f"{version.number} --target {target}` asks again once its reasons are gone."
        )
    try:
        request = request_approval(platform, actor, version.model, version.number, target)
    except CheckFailed as lacking:
        missing = "; ".join(lacking.findings)
        return f"Approval for {target!r} cannot be requested yet: {missing}. See {_version_page(platform, version)}."
    where = f"{platform.settings.control_address}/approvals#request-{request.id}"
    return (
        f"Approval for {target!r} is requested: it needs {policy.approvers} to approve request {request.id} at {where}."
    )


def _newest(platform: Platform, version: ModelVersion, target: str) -> ApprovalRequest | None:
    requests = platform.governance.requests(version.workspace, model=version.model)
    return next((each for each in requests if (each.number, each.target) == (version.number, target)), None)


def _version_page(platform: Platform, version: ModelVersion) -> str:
    return f"{platform.settings.control_address}/models/{version.model}/versions/{version.number}"
