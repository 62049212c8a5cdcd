"""Policies, approval requests and decisions, and the rules by which they are judged; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bailiwick.core.errors import InvalidInput, LimitExceeded

ANY_MODEL = "*"
MAX_COMMENT_LENGTH = 5_000
MAX_NAME_LENGTH = 256
MAX_APPROVERS = 100


class Status(StrEnum):
    """How far a request is. EXPIRED is a request that was not decided in time, or whose approval has lapsed."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Verdict(StrEnum):
    """What one identity decided."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a version of `model` (`*`: any without a policy of its own) needs to become `target`.

    Each key of `evidence` must be given and true. `expires_ms` bounds how long a request may wait for its decisions,
    and then how long the approval holds; None is for ever. `who` are the names of those whose approval counts; empty is
    everyone with the permission to approve.
    """

    workspace: str
    model: str
    target: str
    approvers: int = 1
    not_author: bool = True
    evidence: tuple[str, ...] = ()
    expires_ms: int | None = None
    who: tuple[str, ...] = ()
    updated: int = 0
    updated_by: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """One vote. `actor` is the name people read, `identity` what is compared: an identity votes once a request."""

    actor: str
    identity: str
    verdict: str
    comment: str
    time: int


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A question to the approvers: may this version become `target`?

    `author` is the identity that registered the version. `needed` and `not_author` are the policy's rule when the
    request was approved (until then: when it was made), so that an approval is judged by the rule it was given under.
    `expires` is a time, or None.
    """

    id: str
    workspace: str
    model: str
    number: int
    target: str
    author: str
    evidence: Mapping[str, Any]
    status: str
    needed: int
    not_author: bool
    requested_by: str
    created: int
    expires: int | None
    decisions: tuple[Decision, ...] = ()

    def holds(self, author: str) -> bool:
        """Whether it is approved by enough identities, given who the author truly is."""
        counted = self.approvals(without=author if self.not_author else None)
        return self.status == Status.APPROVED and counted >= self.needed

    def approvals(self, *, without: str | None = None) -> int:
        """How many identities approved, leaving one out."""
        return len({each.identity for each in self.decisions if each.verdict == Verdict.APPROVE} - {without})


def missing_evidence(policy: Policy, evidence: Mapping[str, Any]) -> list[str]:
    """In words, each required key that is absent or not exactly true, with what `<key>_missing` lists of it."""
    found = []
    for key in policy.evidence:
        if evidence.get(key) is True:
            continue
        listed = evidence.get(f"{key}_missing")
        why = f"; not stated: {', '.join(map(str, listed))}" if isinstance(listed, list | tuple) and listed else ""
        state = f"is {evidence[key]!r}, and must be true" if key in evidence else "is missing"
        found.append(f"evidence {key!r} {state}{why}")
    return found


def how_to_request(policy: Policy, model: str, number: int) -> str:
    """The way to an approval, in a sentence."""
    proof = f" with the evidence {', '.join(policy.evidence)}" if policy.evidence else ""
    return f"Request approval of {model} version {number} for {policy.target!r}{proof}; then {who_approves(policy)}."


def who_approves(policy: Policy, author: str = "") -> str:
    """What is left to do once approval is requested, and by whom; `author` is a name, where it is known."""
    who = f" other than its author {author}".rstrip() if policy.not_author else ""
    people = "1 identity" if policy.approvers == 1 else f"{policy.approvers} identities"
    named = f" among {', '.join(policy.who)}" if policy.who else ""
    return f"{people}{named}{who} with the permission 'models.approve' must approve it"


def check_policy(policy: Policy) -> Policy:
    """Raises InvalidInput for a rule that nobody could meet or that asks for nothing."""
    for what, name in (
        ("model", policy.model),
        ("target", policy.target),
        *(("evidence key", k) for k in policy.evidence),
        *(("approver", name) for name in policy.who),
    ):
        if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise InvalidInput(f"A policy's {what} must be printable and 1 to {MAX_NAME_LENGTH} long, not {name!r}.")
    if not 1 <= policy.approvers <= MAX_APPROVERS:
        raise InvalidInput(f"A policy needs 1 to {MAX_APPROVERS} approvers, not {policy.approvers}.")
    if len(policy.who) > MAX_APPROVERS:
        raise InvalidInput(f"A policy names at most {MAX_APPROVERS} approvers, not {len(policy.who)}.")
    if policy.who and len(policy.who) < policy.approvers:
        raise InvalidInput(
            f"A policy that needs {policy.approvers} approvers must name as many, not {len(policy.who)}."
        )
    if policy.expires_ms is not None and not 0 < policy.expires_ms < 2**53:
        raise InvalidInput(f"expires_ms {policy.expires_ms} must be a number of milliseconds above 0, or None.")
    return policy


def check_text(what: str, text: str, limit: int = MAX_COMMENT_LENGTH) -> str:
    """Text that both databases can store: valid Unicode without NUL, at most `limit` characters."""
    if len(text) > limit:
        raise LimitExceeded(f"{what} has at most {limit} characters; this one has {len(text)}.")
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise InvalidInput(f"{what} holds a NUL or half of a surrogate pair, which cannot be stored as text.")
    return text


def refusal(requests: Iterable[ApprovalRequest], policy: Policy, author: str) -> str:
    """Why the requests so far (newest first) are not enough, in a sentence about the newest of them."""
    newest = next(iter(requests), None)
    if newest is None:
        return "nobody has requested approval"
    if newest.status == Status.PENDING:
        given = newest.approvals(without=author if policy.not_author else None)
        gaps = [
            f"request {newest.id} has {given} of {policy.approvers} approvals",
            *missing_evidence(policy, newest.evidence),
        ]
        return " and ".join(gaps)
    if newest.status == Status.REJECTED:
        last = newest.decisions[-1]
        said = f": {last.comment}" if last.comment else ""
        return f"request {newest.id} was rejected by {last.actor}{said}"
    if newest.status == Status.EXPIRED:
        return f"request {newest.id} has expired"
    return f"request {newest.id} lacks an approval by someone other than the author"
