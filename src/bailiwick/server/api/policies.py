"""Policies: what a version needs to become an alias or reach a stage."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.governance.model import MAX_APPROVERS, MAX_NAME_LENGTH, Policy
from bailiwick.server.api.route import Call, Nothing

Word = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]


class Policies(Struct, frozen=True):
    """By model and target; model `*` is every model without a policy of its own."""

    items: list[Policy]


class SetPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """How many must approve, whose approval counts (everyone's who may approve where nobody is named), whether the author's
    does, which evidence must be there, and how long a request, and then an approval, holds (milliseconds; null is for ever).
    """

    approvers: Annotated[int, Meta(ge=1, le=MAX_APPROVERS)] = 1
    who: Annotated[list[Word], Meta(max_length=MAX_APPROVERS)] = []
    not_author: bool = True
    evidence: Annotated[list[Word], Meta(max_length=100)] = []
    expires_ms: Annotated[int, Meta(ge=1, le=2**53 - 1)] | None = None


def policies(call: Call[Nothing, Nothing]) -> Policies:
    """Every policy of the workspace."""
    return Policies(call.platform.governance.policies(call.workspace))


def set_policy(call: Call[Nothing, SetPolicy]) -> Policy:
    """Make or replace a policy; a project's next run sets those that its file declares anew."""
    wanted = call.body
    return call.platform.governance.set_policy(
        call.actor,
        call.path["model"],
        call.path["target"],
        approvers=wanted.approvers,
        who=wanted.who,
        not_author=wanted.not_author,
        evidence=wanted.evidence,
        expires_ms=wanted.expires_ms,
    )


def remove_policy(call: Call[Nothing, Nothing]) -> Policies:
    """Ask for nothing any more; what is left is returned."""
    call.platform.governance.remove_policy(call.actor, call.path["model"], call.path["target"])
    return Policies(call.platform.governance.policies(call.workspace))
