"""What a rollout is: a candidate beside a control, the step it has reached, and every decision with its evidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from bailiwick.rollout.canary import CanaryConfig, Verdict

CANARY = "canary"


class Status(StrEnum):
    """RUNNING is the only state that changes; `active` is RUNNING."""

    RUNNING = "RUNNING"
    PROMOTED = "PROMOTED"
    ROLLED_BACK = "ROLLED_BACK"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of the comparison: a variant's name in the endpoint and the version behind it."""

    variant: str
    model: str
    version: int
    package: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One look that mattered: `action` is hold, step, promote, rollback, abort; `share` the candidate's traffic, in [0, 1],
    when it was taken; `evidence` one JSON object a metric.
    """

    time: int
    action: str
    share: float
    reason: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rollout:
    """`step` is an index into the ramp; `closing` is the end that was decided while its traffic is still being moved."""

    id: str
    workspace: str
    endpoint: str
    kind: str
    status: Status
    candidate: Arm
    control: Arm
    config: CanaryConfig
    step: int
    started: int
    ended: int | None
    decisions: tuple[Decision, ...]
    reason: str
    start_epoch: int
    revision: int
    closing: Status | None

    @property
    def weight(self) -> int:
        """Basis points of traffic that the candidate should have now."""
        goal = self.closing or self.status
        if goal is Status.RUNNING:
            return self.config.steps[self.step]
        return 10_000 if goal is Status.PROMOTED else 0


def evidence_of(verdict: Verdict) -> dict[str, Any]:
    """The readings of a verdict as JSON, by metric."""
    return {reading.metric: asdict(reading) for reading in verdict.readings}
