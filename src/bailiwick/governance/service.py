"""The verbs of governance, and the gate that the registry asks before it promotes a version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.clock import to_text
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.core.ids import new_id
from bailiwick.governance.model import (
    MAX_NAME_LENGTH,
    ApprovalRequest,
    Policy,
    Status,
    Verdict,
    check_policy,
    check_text,
    how_to_request,
    missing_evidence,
    refusal,
)
from bailiwick.governance.rows import CAN_EXPIRE, find_policy, has_status, load_requests, policy_of
from bailiwick.governance.tables import decisions, policies, requests, statements
from bailiwick.store.records import Change, Records

MAX_EVIDENCE_BYTES = 32_768
MAX_NUMBER = 2**31 - 1


class GovernanceService:
    """Policies and approvals. It satisfies `bailiwick.registry.ports.PromotionGate`; no policy means allowed."""

    def __init__(self, records: Records) -> None:
        self._records = records

    # -- policies ------------------------------------------------------------------------------------------------

    def set_policy(
        self,
        actor: Actor,
        model: str,
        target: str,
        *,
        approvers: int = 1,
        not_author: bool = True,
        evidence: Sequence[str] = (),
        expires_ms: int | None = None,
        who: Sequence[str] = (),
    ) -> Policy:
        """Make or replace the policy for a model (`*`: every model without its own) and a target alias.

        It takes the right to approve, so that nobody who may only register can lower the bar. Setting it to what it
        is changes nothing. What was approved under the old policy stays approved.
        """
        actor.require(Permission.MODELS_APPROVE)
        keys, names = tuple(dict.fromkeys(evidence)), tuple(dict.fromkeys(who))
        wanted = check_policy(Policy(actor.workspace, model, target, approvers, not_author, keys, expires_ms, names))
        before = self._own_policy(wanted)
        if before is not None and _rules(before) == _rules(wanted):
            return before
        with self._records.change(actor, Permission.MODELS_APPROVE) as change:
            _write_policy(change, wanted)
            change.record("policy.set", f"policy/{model}/{target}", **_rules(wanted))
        return self._own_policy(wanted) or wanted

    def policy(self, workspace: str, model: str, target: str) -> Policy | None:
        """The policy that counts for a model and target: its own, else the one for `*`, else None."""
        with self._records.read() as connection:
            return find_policy(connection, workspace, model, target)

    def policies(self, workspace: str) -> list[Policy]:
        """Every policy, by model and target."""
        query = select(policies).where(policies.c.workspace == workspace).order_by(policies.c.model, policies.c.target)
        with self._records.read() as connection:
            return [policy_of(row) for row in connection.execute(query)]

    def remove_policy(self, actor: Actor, model: str, target: str) -> None:
        """Ask for nothing any more. Raises NotFound when there is no such policy."""
        with self._records.change(actor, Permission.MODELS_APPROVE) as change:
            here = (policies.c.workspace == change.workspace, policies.c.model == model, policies.c.target == target)
            if change.execute(policies.delete().where(*here)).rowcount == 0:
                raise NotFound.of("Policy", f"{model}/{target}")
            change.record("policy.removed", f"policy/{model}/{target}")

    def _own_policy(self, policy: Policy) -> Policy | None:
        found = self.policy(policy.workspace, policy.model, policy.target)
        return found if found is not None and found.model == policy.model else None

    # -- requests ------------------------------------------------------------------------------------------------

    def request(
        self, actor: Actor, model: str, number: int, target: str, *, author: str, evidence: Mapping[str, Any]
    ) -> ApprovalRequest:
        """Ask the approvers; while a request for the same version and target is pending, it is returned instead.

        Raises CheckFailed when evidence that the policy requires is missing or not true.
        """
        actor.require(Permission.MODELS_WRITE)
        told = _checked_evidence(evidence)
        for what, text in (("A model", model), ("A target", target), ("An author", author)):
            check_text(what, text, MAX_NAME_LENGTH)
        if not 0 < number <= MAX_NUMBER:
            raise InvalidInput(f"{number} is not the number of a version.")
        question = _question(model, number, target)
        pending = self._newest(actor.workspace, *question, has_status(Status.PENDING, self._records.clock()))
        if pending:
            return pending
        policy = self._policy_or_default(actor.workspace, model, target)
        _require_evidence(policy, evidence, f"{model} version {number} cannot be put forward for {target!r}")
        try:
            with self._records.change(actor, Permission.MODELS_WRITE) as change:
                request_id = _insert_request(change, policy, (model, number, target), author=author, evidence=told)
                detail = {"number": number, "target": target, "request": request_id, "evidence": sorted(evidence)[:100]}
                change.record("approval.requested", f"version/{model}/{number}", **detail)
        except IntegrityError:
            pending = self._newest(actor.workspace, *question)  # another thread asked since we looked
            if pending is None:
                raise
            return pending
        return self.request_by_id(actor.workspace, request_id)

    def approve(self, actor: Actor, request_id: str, comment: str = "") -> ApprovalRequest:
        """Vote for. With enough votes the version is approved for its target. Voting again changes nothing.

        Raises NotAllowed for the author where the policy excludes them, Conflict for a request that is decided.
        """
        return self._decide(actor, request_id, Verdict.APPROVE, comment)

    def reject(self, actor: Actor, request_id: str, comment: str) -> ApprovalRequest:
        """Vote against: one is enough, and it is final for this request. Raises InvalidInput without a comment."""
        if not comment.strip():
            raise InvalidInput(f"Rejecting request {request_id} needs a comment; say what must be better.")
        return self._decide(actor, request_id, Verdict.REJECT, comment)

    def _decide(self, actor: Actor, request_id: str, verdict: Verdict, comment: str) -> ApprovalRequest:
        actor.require(Permission.MODELS_APPROVE)
        check_text("A comment", comment)
        if _vote_of(self.request_by_id(actor.workspace, request_id), actor) == verdict:
            return self.request_by_id(actor.workspace, request_id)
        with self._records.change(actor, Permission.MODELS_APPROVE) as change:
            found = _locked_request(change, request_id)
            policy = find_policy(change.connection, change.workspace, found.model, found.target) or _default(found)
            _require_may_vote(actor, found, policy, verdict)
            _insert_decision(change, found, verdict, comment)
            status = _status_after(found, policy, verdict)
            if status != Status.PENDING:
                _close(change, request_id, policy, status)
            word = "approved" if verdict is Verdict.APPROVE else "rejected"
            detail = {"request": request_id, "target": found.target, "status": status, "comment": comment}
            change.record(f"approval.{word}", f"version/{found.model}/{found.number}", **detail)
        return self.request_by_id(actor.workspace, request_id)

    def overdue(self, *, limit: int = 100) -> dict[str, list[str]]:
        """Ids, by workspace, of requests whose time is over and which nobody has closed; the first to expire first."""
        late = (requests.c.status.in_(CAN_EXPIRE), requests.c.expires <= self._records.clock())
        query = select(requests.c.workspace, requests.c.id).where(*late)
        found: dict[str, list[str]] = {}
        with self._records.read() as connection:
            for row in connection.execute(query.order_by(requests.c.expires, requests.c.id).limit(limit)):
                found.setdefault(row.workspace, []).append(row.id)
        return found

    def expire(self, actor: Actor, request_ids: Sequence[str]) -> list[ApprovalRequest]:
        """Close those of the requests whose time is over, in one change; returns them. Closing again changes nothing.

        They have read EXPIRED since that time, whether or not anybody came by to close them.
        """
        actor.require(Permission.MODELS_WRITE)
        late = (requests.c.id.in_(request_ids), requests.c.status.in_(CAN_EXPIRE))
        with self._records.read() as connection:
            now = self._records.clock()
            overdue = load_requests(connection, actor.workspace, now, *late, requests.c.expires <= now)
        if not overdue:
            return []
        with self._records.change(actor, Permission.MODELS_WRITE) as change:
            closed = _expire(change, overdue)
            if not closed:
                change.record("approval.confirmed", f"version/{overdue[0].model}/{overdue[0].number}")
        return closed

    def request_by_id(self, workspace: str, request_id: str) -> ApprovalRequest:
        """Raises NotFound."""
        found = self._newest(workspace, requests.c.id == request_id)
        if found is None:
            raise NotFound.of("Approval request", request_id)
        return found

    def requests(
        self, workspace: str, *, status: str | None = None, model: str | None = None, limit: int = 1_000
    ) -> list[ApprovalRequest]:
        """Newest first. Raises InvalidInput for an unknown status."""
        if status is not None and status not in set(Status):
            raise InvalidInput.choice("Request status", status, map(str, Status))
        now = self._records.clock()
        conditions = [has_status(status, now)] if status is not None else []
        if model is not None:
            conditions.append(requests.c.model == model)
        with self._records.read() as connection:
            return load_requests(connection, workspace, now, *conditions, limit=limit)

    # -- the gate ------------------------------------------------------------------------------------------------

    def check(self, actor: Actor, model: str, number: int, alias: str, author: str) -> None:
        """Raises NotAllowed unless no policy covers the alias or the version holds an approval for it.

        An approval counts whatever the policy has become since, unless it has lapsed or only the author gave it.
        """
        now = self._records.clock()
        with self._records.read() as connection:
            policy = find_policy(connection, actor.workspace, model, alias)
            if policy is None:
                return
            found = load_requests(connection, actor.workspace, now, *_question(model, number, alias))
        if any(each.holds(author) for each in found):
            return
        raise NotAllowed(
            f"{model} version {number} may not become {alias!r}: {refusal(found, policy, author)}.",
            hint=how_to_request(policy, model, number),
        )

    # -- names ---------------------------------------------------------------------------------------------------

    def rename(self, change: Change, model: str, new_name: str) -> None:
        """Have policies, requests and statements of a model follow it to another name, as part of its renaming.

        A model with policies of its own is renamed by those who may set them: its old name would be free of rules.
        """
        own = (policies.c.workspace == change.workspace, policies.c.model == model)
        if change.execute(select(policies.c.target).where(*own).limit(1)).first() is not None:
            change.actor.require(Permission.MODELS_APPROVE)
        for table in (policies, requests, statements):
            here = (table.c.workspace == change.workspace, table.c.model == model)
            change.execute(update(table).where(*here).values(model=new_name))

    def _newest(self, workspace: str, *conditions: ColumnElement[bool]) -> ApprovalRequest | None:
        with self._records.read() as connection:
            found = load_requests(connection, workspace, self._records.clock(), *conditions, limit=1)
        return found[0] if found else None

    def _policy_or_default(self, workspace: str, model: str, target: str) -> Policy:
        return self.policy(workspace, model, target) or Policy(workspace, model, target)


def _question(model: str, number: int, target: str) -> tuple[ColumnElement[bool], ...]:
    return requests.c.model == model, requests.c.number == number, requests.c.target == target


def _rules(policy: Policy) -> dict[str, Any]:
    return {
        "approvers": policy.approvers,
        "not_author": policy.not_author,
        "evidence": list(policy.evidence),
        "expires_ms": policy.expires_ms,
        **({"who": list(policy.who)} if policy.who else {}),
    }


def _default(request: ApprovalRequest) -> Policy:
    return Policy(request.workspace, request.model, request.target)


def _write_policy(change: Change, policy: Policy) -> None:
    values = {
        "approvers": policy.approvers,
        "not_author": policy.not_author,
        "evidence": msgspec.json.encode(policy.evidence).decode(),
        "expires_ms": policy.expires_ms,
        "who": msgspec.json.encode(policy.who).decode(),
        "updated": change.time,
        "updated_by": change.actor.identity,
    }
    own = (
        policies.c.workspace == change.workspace,
        policies.c.model == policy.model,
        policies.c.target == policy.target,
    )
    replace = update(policies).where(*own).values(values)
    if change.execute(replace).rowcount:
        return
    row = {**values, "workspace": change.workspace, "model": policy.model, "target": policy.target}
    try:
        with change.connection.begin_nested():
            change.execute(insert(policies).values(row))
    except IntegrityError:  # another transaction made it between the update and the insert
        change.execute(replace)


def _checked_evidence(evidence: Mapping[str, Any]) -> str:
    encoded = canonical_json(dict(evidence))
    if len(encoded) > MAX_EVIDENCE_BYTES:
        raise InvalidInput(f"Evidence is at most {MAX_EVIDENCE_BYTES} bytes of JSON; this has {len(encoded)}.")
    return encoded.decode()


def _require_evidence(policy: Policy, evidence: Mapping[str, Any], refused: str) -> None:
    missing = missing_evidence(policy, evidence)
    if missing:
        raise CheckFailed(f"{refused}:", findings=missing, hint="Produce the evidence, then request approval again.")


def _insert_request(
    change: Change, policy: Policy, question: tuple[str, int, str], *, author: str, evidence: str
) -> str:
    model, number, target = question
    _expire(change, load_requests(change.connection, change.workspace, change.time, *_overdue(change, question)))
    request_id = new_id()
    row = {
        "id": request_id,
        "workspace": change.workspace,
        "model": model,
        "number": number,
        "target": target,
        "author": author,
        "evidence": evidence,
        "status": Status.PENDING,
        "needed": policy.approvers,
        "not_author": policy.not_author,
        "requested_by": change.actor.identity,
        "created": change.time,
        "expires": None if policy.expires_ms is None else change.time + policy.expires_ms,
    }
    change.execute(insert(requests).values(row))
    return request_id


def _overdue(change: Change, question: tuple[str, int, str]) -> tuple[ColumnElement[bool], ...]:
    """Conditions for requests of the question that wait although their time is over."""
    over = (requests.c.workspace == change.workspace, requests.c.status == Status.PENDING)
    return *over, requests.c.expires <= change.time, *_question(*question)


def _expire(change: Change, overdue: Iterable[ApprovalRequest]) -> list[ApprovalRequest]:
    """Close each request whose time is over, and say so; those that somebody else has closed are left out."""
    closed = []
    for request in overdue:
        here = (requests.c.id == request.id, requests.c.workspace == change.workspace)
        still = (requests.c.status.in_(CAN_EXPIRE), requests.c.expires <= change.time)
        before = change.execute(select(requests.c.status).where(*here, *still).with_for_update(key_share=True)).scalar()
        if before is None:
            continue
        change.execute(update(requests).where(*here).values(status=Status.EXPIRED))
        told = {"number": request.number, "target": request.target, "request": request.id, "expires": request.expires}
        resource = f"version/{request.model}/{request.number}"
        change.record("approval.expired", resource, **told, was=before, requested_by=request.requested_by)
        closed.append(request)
    return closed


def _locked_request(change: Change, request_id: str) -> ApprovalRequest:
    here = (requests.c.workspace == change.workspace, requests.c.id == request_id)
    change.execute(select(requests.c.id).where(*here).with_for_update(key_share=True))
    found = load_requests(change.connection, change.workspace, change.time, requests.c.id == request_id)
    if not found:
        raise NotFound.of("Approval request", request_id)
    return found[0]


def _vote_of(request: ApprovalRequest, actor: Actor) -> str | None:
    return next((each.verdict for each in request.decisions if each.identity == actor.identity), None)


def _require_may_vote(actor: Actor, request: ApprovalRequest, policy: Policy, verdict: Verdict) -> None:
    if request.status == Status.EXPIRED:
        raise Conflict(
            f"Request {request.id} expired on {to_text(request.expires or 0)} and takes no more votes: {request.model} "
            f"version {request.number} for {request.target!r} was not decided in time, or its approval has lapsed.",
            hint="Request approval anew; what was said of this one stays in the journal.",
        )
    if request.status != Status.PENDING:
        raise Conflict(f"Request {request.id} is {request.status} and takes no more votes.", hint="Make a new request.")
    if _vote_of(request, actor) is not None:
        raise Conflict(f"{actor.name} has voted on request {request.id} already; an identity votes once.")
    if verdict is Verdict.APPROVE:
        if policy.who and not {actor.name, actor.identity} & {*policy.who}:
            raise NotAllowed(
                f"{actor.name} is not among those who may approve {request.model} for {request.target!r}: "
                f"{', '.join(policy.who)}.",
                hint="Ask one of them, or have the policy name you.",
            )
        if policy.not_author and actor.identity == request.author:
            raise NotAllowed(
                f"{actor.name} registered {request.model} version {request.number} and may not approve it.",
                hint="The policy asks for someone other than the author.",
            )
        _require_evidence(policy, request.evidence, f"Request {request.id} cannot be approved")


def _insert_decision(change: Change, request: ApprovalRequest, verdict: Verdict, comment: str) -> None:
    row = {
        "workspace": change.workspace,
        "request_id": request.id,
        "sequence": len(request.decisions),
        "identity": change.actor.identity,
        "actor": change.actor.name,
        "verdict": verdict,
        "comment": comment,
        "time": change.time,
    }
    change.execute(insert(decisions).values(row))


def _status_after(request: ApprovalRequest, policy: Policy, verdict: Verdict) -> Status:
    if verdict is Verdict.REJECT:
        return Status.REJECTED
    given = request.approvals(without=request.author if policy.not_author else None) + 1
    return Status.APPROVED if given >= policy.approvers else Status.PENDING


def _close(change: Change, request_id: str, policy: Policy, status: Status) -> None:
    """Write the outcome, by the rule in force now; an approval's own time begins now."""
    values: dict[str, object] = {"status": status}
    if status is Status.APPROVED:
        expires = None if policy.expires_ms is None else change.time + policy.expires_ms
        values |= {"needed": policy.approvers, "not_author": policy.not_author, "expires": expires}
    change.execute(update(requests).where(requests.c.id == request_id).values(values))
