"""Rollouts: how far, on which evidence, and what was decided when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.core.errors import BailiwickError
from bailiwick.rollout.canary import Verdict
from bailiwick.rollout.model import Decision, Rollout, Status, evidence_of
from bailiwick.server.ui.charts import Series, Threshold
from bailiwick.server.ui.page import Context, Visit

_WORDS = {"wrong": "wrong predictions", "failed": "failed requests"}
TONES = {"promote": "good", "rollback": "bad", "abort": "warn", "step": "info", "hold": ""}


def listing(visit: Visit) -> Context:
    """All rollouts, newest first."""
    return {"rollouts": visit.platform.rollouts.rollouts(visit.workspace)}


def rollout(visit: Visit) -> Context:
    """One rollout with its ramp, its evidence over time, and each decision."""
    found = visit.platform.rollouts.rollout(visit.workspace, visit.path["rollout"])
    verdict = _verdict(visit, found)
    looks = [(decision.time, decision.evidence) for decision in found.decisions if decision.evidence]
    if verdict is not None and verdict.readings:
        looks.append((visit.now, evidence_of(verdict)))
    return {
        "rollout": found,
        "verdict": verdict,
        "latest": looks[-1][1] if looks else {},
        "ramp": _ramp(found, visit.now),
        "steps": [Threshold(point / 100, f"{point / 100:g}%", "muted") for point in found.config.steps],
        "harm": _evidence(looks, "worse"),
        "safety": _evidence(looks, "acceptable"),
        "decisions": list(reversed(found.decisions)),
        "tones": TONES,
        "metric_words": _WORDS,
        "may_abort": found.status is Status.RUNNING and visit.may(Permission.ENDPOINTS_DEPLOY),
    }


def _verdict(visit: Visit, found: Rollout) -> Verdict | None:
    """What the evidence says at this moment; None when it is over or the log cannot be read."""
    if found.status is not Status.RUNNING:
        return None
    try:
        return visit.platform.rollouts.judge(visit.workspace, found.id)
    except BailiwickError:
        return None


def _ramp(found: Rollout, now: int) -> list[Series]:
    """The candidate's share of traffic over time, in per cent."""
    if not found.config.steps:
        return []
    points: list[tuple[float, float | None]] = [(found.started, found.config.steps[0] / 100)]
    step = 0
    for decision in found.decisions:
        step += decision.action == "step"
        points.append((decision.time, _share_after(found, decision, step)))
    points.append((found.ended or now, found.weight / 100))
    return [Series("Share of traffic", points, step=True)]


def _share_after(found: Rollout, decision: Decision, step: int) -> float:
    if decision.action in {"rollback", "abort"}:
        return 0.0
    if decision.action == "promote":
        return 100.0
    return found.config.steps[min(step, len(found.config.steps) - 1)] / 100


Look = tuple[int, Mapping[str, Any]]


def _evidence(looks: Sequence[Look], field: str) -> tuple[list[Series], list[Threshold]]:
    """E-values of one kind over time, one line a metric, with the value each must reach."""
    metrics = list(dict.fromkeys(metric for _, evidence in looks for metric in evidence))
    lines: list[Series] = []
    limits: list[Threshold] = []
    for metric in metrics:
        points = [(float(time), _positive(evidence.get(metric, {}).get(field))) for time, evidence in looks]
        lines.append(Series(_WORDS.get(metric, metric).capitalize(), points))
        needed = looks[-1][1].get(metric, {}).get(f"{field}_needed")
        if needed and all(limit.y != needed for limit in limits):
            limits.append(Threshold(float(needed), f"{needed:,.0f}", "bad" if field == "worse" else "good"))
    return lines, limits


def _positive(value: Any) -> float | None:
    """An e-value that a logarithmic axis can show: evidence of less than one in a million is drawn as that."""
    return max(float(value), 1e-6) if isinstance(value, int | float) else None
