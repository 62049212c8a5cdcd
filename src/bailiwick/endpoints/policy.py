"""Which policies an endpoint can have."""

from __future__ import annotations

import re

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.model import BASIS_POINTS, BreakerRule, Policy, Quota

MOST_SHADOWS = 4
MOST_FALLBACKS = 4
MOST_CLIENTS_PER_SECOND = 1e9

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~\-]{1,100}")
_SENSITIVE = frozenset({"authorization", "cookie", "host", "content-length", "transfer-encoding", "connection"})


def check_policy(policy: Policy) -> None:
    """Raises InvalidInput naming the part that cannot be."""
    for what, header in (("override_header", policy.override_header), ("priority_header", policy.priority_header)):
        if header:
            check_header(header, what)
    _check_counts(policy)
    names = [shadow.variant.name for shadow in policy.shadows]
    if len(set(names)) != len(names):
        raise InvalidInput(f"A version can be a shadow once: {', '.join(names)}.")
    for shadow in policy.shadows:
        if not 1 <= shadow.share <= BASIS_POINTS:
            raise InvalidInput(f"Shadow {shadow.variant.name} has share {shadow.share}; it is 1 to {BASIS_POINTS}.")
    for fallback in policy.fallbacks:
        kinds = (fallback.previous, fallback.variant is not None and not fallback.previous, bool(fallback.answer))
        if sum(kinds) != 1:
            raise InvalidInput("A fallback is a version, the previous version, or an answer: exactly one of them.")
    if policy.quota is not None:
        _check_quota(policy.quota)


def check_header(header: str, what: str = "header") -> None:
    """Raises InvalidInput for a name that no header can have, or that already means something to everybody."""
    if not _HEADER.fullmatch(header) or header in _SENSITIVE:
        raise InvalidInput(
            f"{what} {header!r} cannot be used: a header's name in lower case that says nothing else, such as "
            "'x-bailiwick-variant'."
        )


def check_teller(by: str) -> None:
    """Raises InvalidInput for a way of telling clients apart that there is not."""
    kind, _, header = by.partition(":")
    if by not in {"address", "token"} and not (kind == "header" and _HEADER.fullmatch(header)):
        raise InvalidInput(
            f"A quota by {by!r} is not known; choose 'address', 'token', or 'header:NAME' with a name in lower case."
        )


def _check_counts(policy: Policy) -> None:
    if len(policy.shadows) > MOST_SHADOWS or len(policy.fallbacks) > MOST_FALLBACKS:
        raise InvalidInput(f"An endpoint has at most {MOST_SHADOWS} shadows and {MOST_FALLBACKS} fallbacks.")
    breaker = policy.breaker or BreakerRule()
    least = {
        "slow_ms": (policy.slow_ms, 0),
        "queue": (policy.queue, 0),
        "deadline_ms": (policy.deadline_ms, 0),
        "breaker.window_seconds": (breaker.window_seconds, 1),
        "breaker.least": (breaker.least, 1),
        "breaker.open_seconds": (breaker.open_seconds, 1),
        "breaker.probes": (breaker.probes, 1),
    }
    for name, (value, smallest) in least.items():
        if not smallest <= value <= 1_000_000:
            raise InvalidInput(f"{name} is {value}; it must be {smallest} to 1000000.")
    if not 0 <= breaker.percent <= 100:
        raise InvalidInput(f"breaker.percent is {breaker.percent}; it must be 1 to 100, or 0 for no breaker.")


def _check_quota(quota: Quota) -> None:
    check_teller(quota.by)
    if not 0 < quota.per_second <= MOST_CLIENTS_PER_SECOND or not 1 <= quota.burst <= MOST_CLIENTS_PER_SECOND:
        raise InvalidInput(
            f"A quota of {quota.per_second:g} requests a second with bursts of {quota.burst} is none: more than 0, and 1."
        )
