"""One turn of the event loop: the inference requests whose bytes had arrived, answered together at its end.

The loop reads every socket that is ready before it runs what was put off, so putting the answers off until then gathers
what is there and waits for nothing that is not. While requests come one at a time, they are answered where they are
parsed, and only now and then is it tried whether company has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bailiwick.serving.gathering import MOST_TOGETHER
from bailiwick.serving.handler import Asked, Response

MOST_ALONE = 256
"""Requests answered one by one, at most, before it is tried again whether several come at a time."""


class Connection(Protocol):
    """What an answer goes to."""

    gathered: int

    def answered(self, response: Response, *, keep: bool) -> None:
        """Write the answer of the oldest request that is gathered."""
        ...

    def hold_back(self) -> None:
        """Take nothing more for a moment."""
        ...


class Turn:
    """Gathers for one event loop. Answers go out in the order in which requests were added."""

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], list[Response]],
        *,
        surplus: Callable[[Sequence[Asked]], Mapping[int, Response]] = lambda _: {},
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._answer = answer
        self._surplus = surplus  # answers to those that are too many, by place
        self._after = after  # called when answers have left
        self._waiting: list[tuple[Asked, Connection, bool]] = []
        self._alone = 0  # requests still to be answered one by one
        self._patience = 1  # how many that is next time
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def gathers(self) -> bool:
        """Whether the next request is to be added, rather than answered at once."""
        if self._alone and not self._waiting:
            self._alone -= 1
            return False
        return True

    def add(self, asked: Asked, connection: Connection, *, keep: bool) -> None:
        """Have it answered at the end of the turn."""
        connection.gathered += 1
        self._waiting.append((asked, connection, keep))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._end)

    def flush(self) -> None:
        """Answer all that is there."""
        waiting, self._waiting = self._waiting, []
        refused = self._surplus([asked for asked, _, _ in waiting])
        for start in range(0, len(waiting), MOST_TOGETHER):
            portion = waiting[start : start + MOST_TOGETHER]
            taken = [asked for place, (asked, _, _) in enumerate(portion, start) if place not in refused]
            responses = iter(self._answer(taken) if taken else [])
            for place, (_, connection, keep) in enumerate(portion, start):
                connection.gathered -= 1
                connection.answered(refused.get(place) or next(responses), keep=keep)
                if place in refused:
                    connection.hold_back()
            self._after()

    def _end(self) -> None:
        self._scheduled = False
        if len(self._waiting) > 1:
            self._alone, self._patience = 0, 1
        else:
            self._alone = self._patience
            self._patience = min(self._patience * 2, MOST_ALONE)
        self.flush()
