"""Rows of governance, read with the clock in hand: an expired request reads EXPIRED from the moment it is."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from bailiwick.governance.model import ANY_MODEL, ApprovalRequest, Decision, Policy, Status
from bailiwick.governance.tables import decisions, policies, requests

AnyRow = Row[*tuple[Any, ...]]
CAN_EXPIRE = (Status.PENDING, Status.APPROVED)


def find_policy(connection: Connection, workspace: str, model: str, target: str) -> Policy | None:
    """The model's own policy for the target, else the one for any model, else None."""
    query = select(policies).where(
        policies.c.workspace == workspace, policies.c.target == target, policies.c.model.in_([model, ANY_MODEL])
    )
    found = {row.model: policy_of(row) for row in connection.execute(query)}
    return found.get(model) or found.get(ANY_MODEL)


def policy_of(row: AnyRow) -> Policy:
    """The record of a row."""
    columns = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
    return Policy(
        **{
            **columns,
            "evidence": tuple(msgspec.json.decode(row.evidence)),
            "who": tuple(msgspec.json.decode(row.who)),
            "not_author": bool(row.not_author),
        }
    )


def load_requests(
    connection: Connection, workspace: str, now: int, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[ApprovalRequest]:
    """Requests that meet the conditions with their decisions, newest first, in two queries."""
    query = select(requests).where(requests.c.workspace == workspace, *conditions)
    rows = connection.execute(query.order_by(requests.c.created.desc(), requests.c.id.desc()).limit(limit)).all()
    votes: dict[str, list[Decision]] = defaultdict(list)
    wanted = decisions.c.request_id.in_([row.id for row in rows])
    for row in connection.execute(
        select(decisions).where(wanted).order_by(decisions.c.request_id, decisions.c.sequence)
    ):
        votes[row.request_id].append(Decision(row.actor, row.identity, row.verdict, row.comment, row.time))
    return [_request_of(row, tuple(votes[row.id]), now) for row in rows]


def _request_of(row: AnyRow, votes: tuple[Decision, ...], now: int) -> ApprovalRequest:
    lapsed = row.status in CAN_EXPIRE and row.expires is not None and row.expires <= now
    columns = dict(row._mapping)  # noqa: SLF001
    columns |= {
        "evidence": msgspec.json.decode(row.evidence),
        "status": str(Status.EXPIRED) if lapsed else row.status,
        "not_author": bool(row.not_author),
    }
    return ApprovalRequest(**columns, decisions=votes)


def has_status(status: str, now: int) -> ColumnElement[bool]:
    """The condition that a request reads as `status` at the time `now`."""
    stored = requests.c.status == status
    if status in CAN_EXPIRE:
        return and_(stored, or_(requests.c.expires.is_(None), requests.c.expires > now))
    if status == Status.EXPIRED:
        return or_(stored, and_(requests.c.status.in_(CAN_EXPIRE), requests.c.expires <= now))
    return stored
