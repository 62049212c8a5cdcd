"""Circuit breakers: a variant that keeps failing, or keeps being too slow, is left alone for a while, then tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum

import numpy as np

from bailiwick.endpoints.model import BreakerRule
from bailiwick.serving.binder import Batch
from bailiwick.serving.execution import Execution, assigned, refusal
from bailiwick.serving.frames import MIXED
from bailiwick.serving.router import Arm, CompiledEndpoint

SECOND_NS = 1_000_000_000


class State(IntEnum):
    """As the metric says it."""

    CLOSED = 0
    OPEN = 1
    TRYING = 2


class Breaker:
    """Of one variant of one endpoint. Times are `perf_counter_ns`.

    Calls are counted in seconds, so that it forgets as a window slides and needs the same memory under any load.
    """

    def __init__(self, rule: BreakerRule) -> None:
        self.rule = rule
        self.state = State.CLOSED
        self._seconds: deque[list[int]] = deque()  # [second, calls, failures]
        self._opened = 0
        self._tried = 0  # calls let through since it began to try
        self._well = 0  # of those, calls that went well

    def lets_through(self, now: int) -> bool:
        """Whether the variant may be called; each yes is a call that `heard` is told of later."""
        if self.state is State.CLOSED:
            return True
        waited = now - self._opened >= self.rule.open_seconds * SECOND_NS
        if self.state is State.OPEN:
            if not waited:
                return False
            self.state, self._tried, self._well = State.TRYING, 0, 0
            self._opened = now
        elif self._tried >= self.rule.probes:
            if not waited:
                return False
            self._tried, self._opened = 0, now  # what was tried never came back
        self._tried += 1
        return True

    def heard(self, *, well: bool, now: int) -> None:
        """How a call ended."""
        if self.state is State.TRYING:
            self._tell_tried(well=well, now=now)
        elif self.state is State.CLOSED:
            self._count(well=well, second=now // SECOND_NS)
            calls, failures = self._sums()
            if not well and calls >= self.rule.least and failures * 100 >= self.rule.percent * calls:
                self._open(now)

    def _tell_tried(self, *, well: bool, now: int) -> None:
        if not well:
            self._open(now)
            return
        self._well += 1
        if self._well >= self.rule.probes:
            self.state = State.CLOSED
            self._seconds.clear()

    def _open(self, now: int) -> None:
        self.state, self._opened = State.OPEN, now

    def _count(self, *, well: bool, second: int) -> None:
        seconds = self._seconds
        if not seconds or seconds[-1][0] != second:
            seconds.append([second, 0, 0])
            while seconds[0][0] <= second - self.rule.window_seconds:
                seconds.popleft()
        seconds[-1][1] += 1
        seconds[-1][2] += not well

    def _sums(self) -> tuple[int, int]:
        return sum(each[1] for each in self._seconds), sum(each[2] for each in self._seconds)


class Breakers:
    """Those of a worker. They outlive route tables: what a variant did is not forgotten because another was deployed."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], Breaker] = {}

    def of(self, endpoint: str, arm: Arm, rule: BreakerRule) -> Breaker:
        """Made at its first use, and anew when its rule has changed."""
        key = (endpoint, arm.variant.name, arm.variant.package)
        found = self._held.get(key)
        if found is None or found.rule != rule:
            found = self._held[key] = Breaker(rule)
        return found

    def states(self) -> Iterator[tuple[str, str, State]]:
        """Endpoint, variant, state."""
        for (endpoint, variant, _), breaker in list(self._held.items()):
            yield endpoint, variant, breaker.state

    def not_closed(self) -> dict[str, str]:
        """Variants that are left alone or tried again, as people read it."""
        return {f"{endpoint}: {name}": state.name.lower() for endpoint, name, state in self.states() if state}

    def keep(self, endpoints: Iterable[CompiledEndpoint]) -> None:
        """Forget those of variants that are gone."""
        wanted: set[tuple[str, str]] = set()
        for compiled in endpoints:
            wanted |= {(compiled.endpoint.name, package) for package in compiled.source.packages}
        self._held = {key: held for key, held in self._held.items() if (key[0], key[2]) in wanted}

    def stopped(self, compiled: CompiledEndpoint, batch: Batch, request_id: str, now: int) -> Execution | None:
        """What is kept of a request that is not run because a variant of one of its rows is left alone; None to run it."""
        rule = compiled.handling.breaker if compiled.handling is not None else None
        if rule is None:
            return None
        name = compiled.endpoint.name
        breakers = [self.of(name, arm, rule) for arm in compiled.arms]
        if all(breaker.state is State.CLOSED for breaker in breakers):
            return None
        chosen = assigned(compiled, batch, request_id)
        for index in np.unique(chosen):
            if not breakers[index].lets_through(now):
                said = f"Variant {compiled.arms[index].variant.name} has failed too often and is left alone for now."
                return refusal(chosen, int(index), said, status=503)
        return None

    def heard(self, compiled: CompiledEndpoint, done: Execution, *, slow: bool, now: int) -> None:
        """Tell the breakers of the variants that were run how it went."""
        rule = compiled.handling.breaker if compiled.handling is not None else None
        if rule is None:
            return
        name = compiled.endpoint.name
        if done.error:
            self.of(name, compiled.arms[done.failed], rule).heard(well=not done.is_fault, now=now)
            return
        used = (done.variant,) if done.variant != MIXED else set(done.variants)
        for index in used:
            self.of(name, compiled.arms[index], rule).heard(well=not slow, now=now)
