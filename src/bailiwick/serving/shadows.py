"""Versions that are run on copies of requests, for comparison: in a thread of their own, after the answer, or not at all."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns

from bailiwick.core.errors import BailiwickError
from bailiwick.endpoints.assignment import bucket
from bailiwick.serving.execution import Execution
from bailiwick.serving.gathering import portions, run_portion
from bailiwick.serving.http.form import Taken
from bailiwick.serving.metrics import Metrics
from bailiwick.serving.protocol import Refused
from bailiwick.serving.router import Handling

MOST_WAITING = 256
MOST_FINISHED = 1024
NICENESS = 10

_TOGETHER = 32
_log = logging.getLogger(__name__)


class ShadowRuns:
    """A bounded queue and one thread. What finds the queue full is dropped and counted; nobody ever waits for it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: deque[Taken] = deque()
        self._finished: deque[tuple[Taken, Execution, int]] = deque()
        self._wake = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._stopping = False

    def offer(self, taken: Taken, handling: Handling) -> None:
        """Queue a copy for each shadow whose share the request's unit is in."""
        unit = taken.batch.units[0] if taken.batch.units else taken.request_id
        for shadow in handling.shadows:
            if bucket(shadow.salt, unit) >= shadow.share:
                continue
            if len(self._waiting) >= MOST_WAITING or len(self._finished) >= MOST_FINISHED:
                self.dropped(taken.compiled.endpoint.name)
                continue
            copy = taken.for_another(shadow.compiled)
            copy.began = perf_counter_ns()
            self._waiting.append(copy)
            self._start()
            self._wake.release()

    def dropped(self, endpoint: str) -> None:
        """Count one that will not be on record."""
        self._metrics.shadows_dropped[endpoint] += 1

    def finished(self) -> list[tuple[Taken, Execution, int]]:
        """What has been run since it was asked last, with the microseconds it took."""
        return [self._finished.popleft() for _ in range(len(self._finished))]

    @property
    def pending(self) -> bool:
        """Whether there is anything to collect."""
        return bool(self._finished)

    def stop(self, seconds: float = 2.0) -> None:
        """Run what is queued, for so long; what is left then is dropped."""
        self._stopping = True
        if self._thread is not None:
            self._wake.release()
            self._thread.join(seconds)
        for taken in self._waiting:
            self.dropped(taken.compiled.endpoint.name)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadows", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # of this thread only, on Linux
        while not (self._stopping and not self._waiting):
            self._wake.acquire()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TOGETHER))]
            for portion in portions(batch):
                began = perf_counter_ns()
                done = _run(portion)
                took = (perf_counter_ns() - began) // 1000
                self._finished.extend((taken, each, took) for taken, each in zip(portion, done, strict=True))


def _run(portion: Sequence[Taken]) -> list[Execution]:
    try:
        return run_portion(portion, None)
    except (Refused, BailiwickError) as error:
        return [Execution(0, b"", (), 0, error.message)] * len(portion)
    except Exception as error:  # noqa: BLE001 - a shadow may do what it likes: it is on record, and nobody's answer
        _log.warning("a shadow failed in a way that was not foreseen", exc_info=True)
        return [Execution(0, b"", (), 0, f"{type(error).__name__}: {error}")] * len(portion)
