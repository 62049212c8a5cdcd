"""Who is let in: deadlines, priorities, and what one client may ask for in a second."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from bailiwick.endpoints.model import Policy, Quota
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import Refused
from bailiwick.serving.quotas import Quotas

DEADLINE = b"x-request-deadline-ms"
PEER = b":peer"
"""Where a connection puts its client's address among the headers; no header on the wire can be called so."""

MOST_DEADLINE_MS = 86_400_000


class Priority(IntEnum):
    """The lower, the sooner."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


_PRIORITIES = {b"high": Priority.HIGH, b"normal": Priority.NORMAL, b"low": Priority.LOW}


class OverQuota(Refused):
    """429, and the whole seconds after which one more request would be taken."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(429, message)
        self.retry_after = retry_after


class Let(NamedTuple):
    """How a request was let in: `deadline` in `perf_counter_ns`, 0 for none."""

    priority: Priority
    deadline: int


class Admission:
    """Asked for each request of an endpoint that has a policy, and for each that states a deadline."""

    def __init__(self, metrics: Metrics, quotas: Quotas) -> None:
        self.quotas = quotas
        self._metrics = metrics

    def let_in(self, endpoint: str, policy: Policy, headers: Mapping[bytes, bytes], began: int, now: int) -> Let:
        """Raises Refused: 400 for a deadline that is none, 429 over quota, 504 when the deadline has passed."""
        if policy.quota is not None:
            wait = self.quotas.take(endpoint, policy.quota, client_of(policy.quota, headers), now)
            if wait:
                self._metrics.over_quota[endpoint] += 1
                said = f"The quota of {policy.quota.per_second:g} requests a second is used up."
                raise OverQuota(said, retry_after=max(1, round(wait + 0.5)))
        stated = deadline_of(headers, began)
        deadline = stated or (began + policy.deadline_ms * 1_000_000 if policy.deadline_ms else 0)
        if deadline and now >= deadline:
            self._metrics.expired[endpoint] += 1
            raise Refused(504, "The deadline passed before the model could run.")
        return Let(priority_of(policy, headers), deadline)


def deadline_of(headers: Mapping[bytes, bytes], began: int) -> int:
    """By when the caller wants an answer; 0 when it does not say. Raises Refused."""
    stated = headers.get(DEADLINE)
    if stated is None:
        return 0
    if not (stated.isdigit() and len(stated) <= 9 and 0 < int(stated) <= MOST_DEADLINE_MS):
        said = stated[:30].decode("latin-1")
        raise Refused(
            400, f"x-request-deadline-ms is {said!r}; it must be whole milliseconds from 1 to {MOST_DEADLINE_MS}."
        )
    return began + int(stated) * 1_000_000


def priority_of(policy: Policy, headers: Mapping[bytes, bytes]) -> Priority:
    """What the caller claims, where the endpoint listens to it; NORMAL for anything else."""
    if not policy.priority_header:
        return Priority.NORMAL
    return _PRIORITIES.get(headers.get(policy.priority_header.encode(), b"").lower(), Priority.NORMAL)


def client_of(quota: Quota, headers: Mapping[bytes, bytes]) -> bytes:
    """Who asks, as far as the quota tells clients apart. Those who say nothing share one."""
    if quota.by == "address":
        return headers.get(PEER, b"")
    name = b"authorization" if quota.by == "token" else quota.by.partition(":")[2].encode()
    return headers.get(name, b"")[:200]
