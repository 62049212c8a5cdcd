"""Messages of a stream, one after another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from bailiwick.serving.grpc.connection import Call
from bailiwick.serving.grpc.status import CallFailed, Code, unforeseen

MOST_QUEUED = 1024
"""Messages of a stream that wait for the one before them."""

_log = logging.getLogger(__name__)


class Queue:
    """Messages of a stream, one after another in their order, however long each takes.

    `run` gives the answer of a message at once or later, and never fails; it is not asked while the client does not take
    the answers that it has.
    """

    def __init__(self, call: Call, run: Callable[[bytes], bytes | Coroutine[Any, Any, bytes]]) -> None:
        self._call = call
        self._run = run
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    def message(self, data: bytes) -> None:
        """Answer it when its turn comes. Raises CallFailed when too many wait."""
        if len(self._waiting) >= MOST_QUEUED:
            said = f"{MOST_QUEUED} messages wait on this stream; no more are taken."
            raise CallFailed(Code.RESOURCE_EXHAUSTED, said)
        self._waiting.append(data)
        self._go_on()

    def ended(self) -> None:
        """Finish after the last."""
        self._ended = True
        self._go_on()

    def taken(self) -> None:
        """Go on."""
        self._go_on()

    def gone(self) -> None:
        """Nobody waits for what is left."""
        self._waiting.clear()

    def _go_on(self) -> None:
        while self._task is None and self._waiting and not self._call.full:
            answer = self._run(self._waiting.popleft())
            if isinstance(answer, bytes):
                self._call.send(answer)
            else:
                self._task = asyncio.get_running_loop().create_task(self._later(answer))
        if self._ended and self._task is None and not self._waiting:
            self._call.finish()

    async def _later(self, answer: Coroutine[Any, Any, bytes]) -> None:
        try:
            self._call.send(await answer)
        except Exception:  # noqa: BLE001 - the edge of the process: no call may end without an answer
            _log.exception("a call failed in a way that was not foreseen")
            self._call.fail(unforeseen())
        self._task = None
        self._go_on()
