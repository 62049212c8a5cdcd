"""What is promised of an endpoint, and how fast a promise is used up."""

from __future__ import annotations

from dataclasses import dataclass

from bailiwick.core.errors import InvalidInput
from bailiwick.endpoints.reporting import LATENCY_BOUNDS_US, WorkerReport


@dataclass(frozen=True, slots=True)
class Objectives:
    """Promises about an endpoint: at most 1 - `availability` of its requests fail (5xx), and at most 1 - `latency_share`
    of those answered take longer than `latency_us`, which is one of `LATENCY_BOUNDS_US`. A latency of 0 promises nothing.
    """

    availability: float = 0.999
    latency_us: int = 0
    latency_share: float = 0.99

    def __post_init__(self) -> None:
        for name in ("availability", "latency_share"):
            if not 0.5 <= getattr(self, name) < 1:
                raise InvalidInput(
                    f"{name} {getattr(self, name):g} must be at least 0.5 and below 1.", hint="Say 0.999."
                )
        if self.latency_us and self.latency_us not in LATENCY_BOUNDS_US:
            known = ", ".join(f"{bound / 1000:g}" for bound in LATENCY_BOUNDS_US)
            raise InvalidInput(
                f"Latencies are counted in classes, and none ends at {self.latency_us / 1000:g} ms.",
                hint=f"Choose one of {known} ms.",
            )


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The last that was heard of a worker; `seen` in UTC milliseconds."""

    worker: str
    seen: int
    report: WorkerReport


@dataclass(frozen=True, slots=True)
class Burn:
    """How an objective fared over one window: `bad` of `requests` requests, and how many times faster than allowed that uses
    the budget up.
    """

    window_minutes: int
    requests: int
    bad: int
    rate: float


@dataclass(frozen=True, slots=True)
class Standing:
    """One objective of one endpoint: burn rates over several windows, and the share of the 30 days' budget that is left
    (below 0: overdrawn; None: no requests).
    """

    endpoint: str
    objective: str
    promised: float
    budget_left: float | None
    burns: tuple[Burn, ...]
