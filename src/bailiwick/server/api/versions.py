"""What is done with versions: stages, roll-backs, comparison, deletion; and what pointed where, when."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.governance.model import ApprovalRequest
from bailiwick.lifecycle.comparing import compare_versions
from bailiwick.lifecycle.promotion import promote_to_stage, request_approval
from bailiwick.registry.comparison import VersionComparison
from bailiwick.registry.model import AliasChange, ModelVersion, StageChange
from bailiwick.registry.pointers import Pointing
from bailiwick.server.api.route import Call, Nothing

Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Reason = Annotated[str, Meta(max_length=2000)]
Word = Annotated[str, Meta(min_length=1, max_length=255)]


class PointingQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """An alias or a stage, or all; at a time in UTC milliseconds, or now."""

    name: Annotated[str, Meta(max_length=255)] = ""
    time: Time | None = None


class Pointings(Struct, frozen=True):
    """What meant which version, since when, set by whom, why."""

    items: list[Pointing]


class StageHistory(Struct, frozen=True):
    """Every change of stage of a model's versions, oldest first."""

    items: list[StageChange]


class CompareQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Two versions."""

    left: Number
    right: Number


class SetStage(Struct, frozen=True, forbid_unknown_fields=True):
    """The stage, whether others there are to be archived, and why."""

    stage: Word
    archive_existing: bool = False
    reason: Reason = ""


class Because(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the journal keeps it."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


class PackageVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to install what the model was logged with, and to take a graph that differs only where a value is null."""

    build_environment: bool = False
    refuse_nulls: bool = False


class AskApproval(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version is to become which alias or stage."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    version: Number
    target: Word


def pointing(call: Call[PointingQuery, Nothing]) -> Pointings:
    """What was champion, or in Production, when."""
    found = call.platform.registry.pointing_at(call.workspace, call.path["model"], call.query.name, call.query.time)
    return Pointings(found)


def stage_history(call: Call[Nothing, Nothing]) -> StageHistory:
    """Who moved which version to which stage, when and why. Raises NotFound for an unknown model."""
    call.platform.registry.model(call.workspace, call.path["model"])
    return StageHistory(call.platform.registry.stage_history(call.workspace, call.path["model"]))


def compared_versions(call: Call[CompareQuery, Nothing]) -> VersionComparison:
    """Two versions side by side."""
    return compare_versions(call.platform, call.workspace, call.path["model"], call.query.left, call.query.right)


def set_stage(call: Call[Nothing, SetStage]) -> ModelVersion:
    """Put a version at a stage, if the promotion gate lets it."""
    wanted = call.body
    return promote_to_stage(
        call.platform,
        call.actor,
        call.path["model"],
        call.number("number"),
        wanted.stage,
        archive_existing=wanted.archive_existing,
        reason=wanted.reason,
    )


def roll_back_alias(call: Call[Nothing, Because]) -> AliasChange:
    """Point an alias at the version before."""
    return call.platform.registry.rollback_alias(call.actor, call.path["model"], call.path["alias"], call.body.reason)


def roll_back_stage(call: Call[Nothing, Because]) -> ModelVersion:
    """Have the version before at a stage again."""
    return call.platform.registry.rollback_stage(call.actor, call.path["model"], call.path["stage"], call.body.reason)


def package_version(call: Call[Nothing, PackageVersion]) -> ModelVersion:
    """Give a version that MLflow logged its package."""
    # Imported here: it needs ONNX, which this process does without until somebody asks.
    from bailiwick.lifecycle.packaging import story

    model, number = call.path["model"], call.number("number")
    wanted = call.body
    return story.package_version(
        call.platform,
        call.actor,
        model,
        number,
        build_environment=wanted.build_environment,
        refuse_nulls=wanted.refuse_nulls,
    )


def delete_version(call: Call[Nothing, Because]) -> ModelVersion:
    """Hide a version."""
    model, number = call.path["model"], call.number("number")
    return call.platform.registry.delete_version(call.actor, model, number, reason=call.body.reason)


def restore_version(call: Call[Nothing, Nothing]) -> ModelVersion:
    """Show a deleted version again."""
    return call.platform.registry.restore_version(call.actor, call.path["model"], call.number("number"))


def purge_version(call: Call[Nothing, Because]) -> ModelVersion:
    """Destroy a deleted version's content."""
    model, number = call.path["model"], call.number("number")
    return call.platform.registry.purge_version(call.actor, model, number, reason=call.body.reason)


def ask_approval(call: Call[Nothing, AskApproval]) -> ApprovalRequest:
    """Request an approval; a pending request for the same is returned instead."""
    asked = call.body
    return request_approval(call.platform, call.actor, asked.model, asked.version, asked.target)
