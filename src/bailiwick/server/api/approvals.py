"""Approval requests, and the two answers to one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.governance.model import ApprovalRequest, Status
from bailiwick.server.api.route import Call, Nothing


class ApprovalsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests in one state, of one model, or all."""

    status: Status | None = None
    model: str | None = None


class Approvals(Struct, frozen=True):
    """Requests, newest first."""

    items: list[ApprovalRequest]


class Approve(Struct, frozen=True, forbid_unknown_fields=True):
    """A comment is kept with the decision."""

    comment: Annotated[str, Meta(max_length=2000)] = ""


class Reject(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the author reads it."""

    comment: Annotated[str, Meta(min_length=1, max_length=2000)]


def approvals(call: Call[ApprovalsQuery, Nothing]) -> Approvals:
    """Requests, filtered."""
    asked = call.query
    return Approvals(call.platform.governance.requests(call.workspace, status=asked.status, model=asked.model))


def approval(call: Call[Nothing, Nothing]) -> ApprovalRequest:
    """One request with its evidence and decisions."""
    return call.platform.governance.request_by_id(call.workspace, call.path["request"])


def approve(call: Call[Nothing, Approve]) -> ApprovalRequest:
    """Approve; the policy says how many must, and whether the author may."""
    return call.platform.governance.approve(call.actor, call.path["request"], call.body.comment)


def reject(call: Call[Nothing, Reject]) -> ApprovalRequest:
    """Reject; the version needs a new request."""
    return call.platform.governance.reject(call.actor, call.path["request"], call.body.comment)
