"""Ends runs of ONNX Runtime that take too long: a loop in a graph may never end, and who waits for it is the whole worker."""

from __future__ import annotations

import threading
import time
from weakref import WeakSet

import onnxruntime as ort

LOOK_SECONDS = 0.5


class Overtime:
    """Of one session. A run takes `options` along, and is in `running` (thread, when it began, monotonic) while it lasts.

    Ending one ends all that began before with it, since they share `options`: they would have waited for the same model.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.options = ort.RunOptions()
        self.running: dict[int, float] = {}
        _watch(self)

    def look(self, now: float) -> None:
        """End what runs too long; what begins from now on is not concerned."""
        if any(now - began > self.seconds for began in list(self.running.values())):
            ended, self.options = self.options, ort.RunOptions()
            ended.terminate = True


_watched: WeakSet[Overtime] = WeakSet()
_lock = threading.Lock()
_threads: list[threading.Thread] = []


def _watch(overtime: Overtime) -> None:
    """The first one in a process, also in one that was forked, starts the thread that looks."""
    with _lock:
        _watched.add(overtime)
        if not (_threads and _threads[0].is_alive()):
            _threads[:] = [threading.Thread(target=_look, name="overtime", daemon=True)]
            _threads[0].start()


def _look() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        with _lock:
            each = list(_watched)
        if not each:
            return
        for overtime in each:
            overtime.look(now)
        del each, overtime
