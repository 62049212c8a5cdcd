"""Group commit: callers that come while a transaction is being made durable share the next one.

Making a transaction durable takes as long as a disk needs to answer, whatever is in it, and SQLite makes one at a time.
Shared, that wait is paid once for all who came in the meantime; a caller who is alone waits no longer than before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

from bailiwick.core.errors import BailiwickError, Unavailable
from bailiwick.store.patience import is_patient, taking_turns

MAX_TOGETHER = 100

T = TypeVar("T")
Outcome = BailiwickError | None


class _Waiting(Generic[T]):
    """One caller: what it wants written, and what tells it that this was done, or why not."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.future: Future[None] = Future()

    def settle(self, error: BaseException | None) -> None:
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Together(Generic[T]):
    """`write` is given what several callers want written, and writes it in one transaction, apart from what it refuses.

    It returns an outcome for each, in order. When it raises, nothing was written; then each is written alone, so that
    no caller fails for another's sake, unless the database itself is unavailable.
    """

    def __init__(self, write: Callable[[Sequence[T]], Sequence[Outcome]]) -> None:
        self._write = write
        self._queue: list[_Waiting[T]] = []
        self._queueing = threading.Lock()
        self._writing = threading.Lock()
        self._draining = False

    def submit(self, item: T) -> None:
        """Return when the item is durable. Raises what it was refused for; Busy for a caller who does not wait."""
        if not is_patient():
            self._write_now(item)
            return
        mine = _Waiting(item)
        with self._queueing:
            self._queue.append(mine)
        with self._writing:
            while not mine.future.done():
                self._write_next()
        mine.future.result()

    def _write_now(self, item: T) -> None:
        """Past the queue: others who are in it would be told that they were not patient."""
        with taking_turns(self._writing):
            outcome = self._write([item])[0]
        if outcome is not None:
            raise outcome

    def begin(self, item: T, executor: Executor) -> Future[None]:
        """Return at once; the future is done when the item is durable. One thread writes for all who came this way."""
        mine = _Waiting(item)
        mine.future.set_running_or_notify_cancel()  # who stops waiting does not take back what it said
        with self._queueing:
            self._queue.append(mine)
            starts, self._draining = not self._draining, True
        if starts:
            executor.submit(self._drain)
        return mine.future

    def _drain(self) -> None:
        while True:
            with self._writing:
                self._write_next()
            with self._queueing:
                if not self._queue:
                    self._draining = False
                    return

    def _write_next(self) -> None:
        with self._queueing:
            taken, self._queue = self._queue[:MAX_TOGETHER], self._queue[MAX_TOGETHER:]
        if not taken:
            return
        try:
            outcomes = self._write([waiting.item for waiting in taken])
        except Unavailable as error:
            for waiting in taken:
                waiting.settle(error)
        except BaseException as error:  # noqa: BLE001 - it is raised to the callers whose it is
            if len(taken) == 1:
                taken[0].settle(error)
            else:
                self._write_each(taken)
        else:
            for waiting, outcome in zip(taken, outcomes, strict=True):
                waiting.settle(outcome)

    def _write_each(self, taken: Sequence[_Waiting[T]]) -> None:
        for waiting in taken:
            try:
                waiting.settle(self._write([waiting.item])[0])
            except BaseException as error:  # noqa: BLE001 - it is raised to the caller whose it is
                waiting.settle(error)
