"""Ends runs of ONNX Runtime that take too long: a loop in a graph may never end, and who waits for it is the whole worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from weakref import WeakSet

import onnxruntime as ort

LOOK_SECONDS = 0.5
GRACE_SECONDS = 3.0
"""For a run that was told to end: ONNX Runtime looks between operators, so one that is huge goes on to its own end."""


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

    def stuck(self, now: float, thread: int) -> bool:
        """Whether the run of a thread goes on though it was told to end."""
        began = self.running.get(thread)
        return began is not None and now - began > self.seconds + GRACE_SECONDS


_watched: WeakSet[Overtime] = WeakSet()
_lock = threading.Lock()
_threads: list[threading.Thread] = []
_needed: dict[int, Callable[[], None]] = {}


def when_stuck(thread: int, give_up: Callable[[], None]) -> None:
    """Have `give_up` be called where a run in this thread cannot be ended. Whoever needs the thread cannot help it."""
    _needed[thread] = give_up


def no_longer_needed(thread: int) -> None:
    """Its runs may take as long as they like."""
    _needed.pop(thread, None)


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
        for thread, give_up in list(_needed.items()):
            if any(overtime.stuck(now, thread) for overtime in each):
                give_up()
        del each, overtime
