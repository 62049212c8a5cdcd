"""A thread that samples meters while a run goes on, and never holds it up or fails it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from bailiwick.core.clock import Clock, system_clock
from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.provenance.meters import PREFIX

MAX_WAITING = 5_000
"""Points that wait while they cannot be logged; then the oldest go."""
MAX_BATCH = 500
PATIENCE_SECONDS = 10.0
"""How long the end of a run waits for the last points at most."""

log = logging.getLogger("bailiwick.sampler")

Sink = Callable[[Sequence[MetricPoint]], None]
"""Logs a batch. Whatever it raises, the batch is tried again with the next."""


class Readings(Protocol):
    """What is sampled."""

    def read(self) -> dict[str, float]:
        """Values by the name of the metric."""


class Sampler:
    """Samples at once, then every `seconds`, and once more at the end: as a context manager, or by `start` and `stop`.

    `first_step` is where a run that goes on continues the numbers of its samples.
    """

    def __init__(
        self, meters: Readings, sink: Sink, *, seconds: float, first_step: int = 0, clock: Clock = system_clock
    ) -> None:
        self._meters = meters
        self._sink = sink
        self._seconds = seconds
        self._step = first_step
        self._clock = clock
        self._waiting: deque[MetricPoint] = deque(maxlen=MAX_WAITING)
        self._ending = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin; the first sample is taken by the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample, and wait a while until all are logged. May be called again."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        ended = False
        while True:
            try:
                self._sample()
                self._flush()
            except Exception as error:  # noqa: BLE001 - a run must not fail, nor stop being sampled, for its metrics
                self._tell(error)
            if ended:
                return
            ended = self._ending.wait(self._seconds)

    def _sample(self) -> None:
        now = self._clock()
        self._waiting += [MetricPoint(key, value, now, self._step) for key, value in self._meters.read().items()]
        self._step += 1

    def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting[at] for at in range(min(MAX_BATCH, len(self._waiting)))]
            self._sink(batch)
            for _ in batch:
                self._waiting.popleft()

    def _tell(self, error: Exception) -> None:
        """Once: the next are likely to fail as this one did."""
        if not self._failed:
            self._failed = True
            log.warning("system metrics cannot be logged for now: %s", error)


def next_step(latest: Iterable[MetricPoint]) -> int:
    """Where the numbers of samples go on, given the latest points of a run."""
    return max((point.step + 1 for point in latest if point.key.startswith(PREFIX)), default=0)
