"""What inference processes report of themselves: who they are, what they serve, and how requests fared since they started."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

from bailiwick.core.errors import InvalidInput

LATENCY_BOUNDS_US = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000)
"""Upper bounds of the classes in which latencies are counted; the last class is open."""

CLASSES = len(LATENCY_BOUNDS_US) + 1


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one endpoint: those that failed for no fault of the client, and the answered ones by class of latency."""

    failed: int = 0
    latency: tuple[int, ...] = (0,) * CLASSES

    def __post_init__(self) -> None:
        if len(self.latency) != CLASSES or self.failed < 0 or min(self.latency) < 0:
            raise InvalidInput(f"Counts have {CLASSES} classes of latency, none below 0.")

    @property
    def answered(self) -> int:
        """Requests that were answered."""
        return sum(self.latency)

    @property
    def requests(self) -> int:
        """Requests that count: a client's mistakes do not."""
        return self.failed + self.answered

    def slower_than(self, bound_us: int) -> int:
        """Answers that took longer than one of `LATENCY_BOUNDS_US`."""
        return sum(self.latency[bisect_left(LATENCY_BOUNDS_US, bound_us) + 1 :])

    def at_most(self, share: float) -> int | None:
        """The bound in microseconds under which this share of the answers was; None where it is beyond the last, or nothing was answered."""
        wanted = share * self.answered
        for bound, reached in zip(LATENCY_BOUNDS_US, accumulate(self.latency), strict=False):
            if reached >= wanted > 0:
                return bound
        return None

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.failed + other.failed, tuple(map(sum, zip(self.latency, other.latency, strict=True))))

    def since(self, before: Counts) -> Counts:
        """What has come since `before`; all of it where these do not go on from there, because the counting began anew."""
        pairs = list(zip(self.latency, before.latency, strict=True))
        if self.failed < before.failed or any(now < then for now, then in pairs):
            return self
        return Counts(self.failed - before.failed, tuple(now - then for now, then in pairs))


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How one inference process is doing; `counts` are since it started.

    `worker` is the same from start to end of a process and never that of another. `failures` are endpoints that it has no
    version of, with the reason. `breakers` has, by endpoint and variant, each breaker that is not closed: `open` (left alone)
    or `trying`. `leaving` says that it is about to end because it was asked to, `stopped` that this is the last that is heard of it.
    """

    worker: str
    revision: int
    endpoints: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    leaving: bool = False
    breakers: dict[str, dict[str, str]] = field(default_factory=dict)
    stopped: bool = False
