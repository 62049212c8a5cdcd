"""What else than the split holds for an endpoint's requests, in words: its policy, how its breakers are, what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bailiwick.core.actor import Permission
from bailiwick.endpoints.model import BreakerRule, Endpoint, Fallback, OutputValue, Policy, Quota, Variant
from bailiwick.endpoints.past import PastPrediction, Sought
from bailiwick.endpoints.recording import Recording
from bailiwick.monitoring.objectives.model import WorkerState
from bailiwick.monitoring.objectives.service import SILENT_MS
from bailiwick.server.ui.page import Visit
from bailiwick.server.ui.words import basis_points, count, duration, number

RECENT_MS = 86_400_000
MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Watching:
    """A shadow: its version, and the share of the units in basis points."""

    variant: Variant
    share: int


@dataclass(frozen=True, slots=True)
class Standby:
    """A fallback, in the order in which they are tried: what it is, and the version where it is one."""

    words: str
    variant: Variant | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A breaker that is not closed in `workers` inference processes; `state` is open or trying."""

    variant: str
    state: str
    workers: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that the policy decides; all empty where the split alone decides."""

    shadows: Sequence[Watching]
    fallbacks: Sequence[Standby]
    facts: Sequence[tuple[str, str]]
    stopped: Sequence[Stopped]
    breaker: str

    def __bool__(self) -> bool:
        return bool(self.shadows or self.fallbacks or self.facts or self.breaker)


def rules_of(endpoint: Endpoint, workers: Sequence[WorkerState], now: int) -> Rules:
    """Of an endpoint, and of how its breakers are in the workers that were heard of lately."""
    policy = endpoint.policy
    return Rules(
        [Watching(each.variant, each.share) for each in policy.shadows],
        [_standby(each) for each in policy.fallbacks],
        _facts(policy),
        _stopped(endpoint.name, workers, now),
        _breaker(policy),
    )


def recorded(recording: Recording) -> list[tuple[str, str]]:
    """What of predictions is kept."""
    share = "each request" if recording.share == 10_000 else f"{basis_points(recording.share)} of the requests"
    found = [("Inputs are kept of", share if recording.share else "no request")]
    if recording.columns:
        found.append(("Only these inputs", ", ".join(recording.columns)))
    if recording.omitted:
        found.append(("Never written", ", ".join(recording.omitted)))
    if recording.hashed:
        found.append(("Kept as keyed hashes", ", ".join(recording.hashed)))
    if recording.personal:
        done = {"hash": "kept as keyed hashes", "omit": "never written", "keep": "kept as they are"}
        found.append(("Personal inputs", f"{', '.join(recording.personal)}: {done[recording.personal_rule]}"))
    found.append(("Refused requests", "kept too" if recording.refused else "counted only"))
    full = "503 until there is room" if recording.when_full == "refuse" else "answered, and counted as dropped"
    found.append(("While the spool is full", full))
    return found


def failures_of(visit: Visit, endpoint: Endpoint) -> list[PastPrediction] | None:
    """The newest predictions of the last day that failed; None where they are not shown, for who looks at predictions that
    are made of personal data is journalled, and a page that renews itself would do so every few seconds.
    """
    if not visit.may(Permission.PREDICTIONS_READ) or endpoint.recording.personal:
        return None
    sought = Sought(failed=True, start=visit.platform.records.clock() - RECENT_MS)
    past = visit.platform.past(visit.workspace)
    return past.page({endpoint.name: endpoint.key}, sought, limit=MOST_FAILURES).items


def _standby(fallback: Fallback) -> Standby:
    if fallback.previous:
        return Standby(
            "what had all the traffic before" if fallback.variant else "what served before: nothing yet",
            fallback.variant,
        )
    if fallback.variant is not None:
        return Standby("", fallback.variant)
    return Standby(", ".join(map(_constant, fallback.answer)), None)


def _constant(value: OutputValue) -> str:
    return f"{value.output} = {value.value}"


def _facts(policy: Policy) -> list[tuple[str, str]]:
    asked = []
    if policy.override_header:
        asked.append(f"by the header {policy.override_header}")
    if policy.override_parameter:
        asked.append(f"by the parameter {policy.override_parameter}")
    facts = {
        "Callers may ask for a variant": " or ".join(asked),
        "Too slow": f"after {duration(policy.slow_ms)}" if policy.slow_ms else "",
        "Waiting in a worker": f"at most {count(policy.queue)} requests" if policy.queue else "",
        "Waiting for": f"at most {duration(policy.deadline_ms)}, unless the request says" if policy.deadline_ms else "",
        "Who goes first": f"as the header {policy.priority_header} says" if policy.priority_header else "",
        "A client's quota": _quota(policy.quota) if policy.quota else "",
    }
    return [(name, said) for name, said in facts.items() if said]


def _quota(quota: Quota) -> str:
    kind, _, header = quota.by.partition(":")
    by = {"address": "told apart by address", "token": "told apart by token"}.get(
        kind, f"told apart by the header {header}"
    )
    return f"{number(quota.per_second)} requests a second in each worker, {count(quota.burst)} at once, {by}"


def _breaker(policy: Policy) -> str:
    rule = policy.breaker or (BreakerRule() if policy.fallbacks else None)
    if rule is None:
        return ""
    if not rule.percent:
        return "None: a variant is called whatever happens."
    slow = f" or take over {duration(policy.slow_ms)}" if policy.slow_ms else ""
    return (
        f"A variant is left alone when {rule.percent}% of at least {rule.least} calls in {rule.window_seconds} s fail{slow}, "
        f"and tried again after {rule.open_seconds} s with {rule.probes} calls."
    )


def _stopped(endpoint: str, workers: Sequence[WorkerState], now: int) -> list[Stopped]:
    fresh = [each.report for each in workers if now - each.seen <= SILENT_MS and not each.report.leaving]
    seen: dict[tuple[str, str], int] = {}
    for report in fresh:
        for variant, state in report.breakers.get(endpoint, {}).items():
            seen[variant, state] = seen.get((variant, state), 0) + 1
    return [Stopped(variant, state, workers) for (variant, state), workers in sorted(seen.items())]
