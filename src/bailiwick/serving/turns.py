"""Turns of the event loop: the inference requests whose bytes had arrived, answered together at its end.

The loop reads every socket that is ready before it runs what was put off, so putting the answers off until then gathers
what is there and waits for nothing that is not. While requests come one at a time, they are answered where they are
parsed, and only now and then is it tried whether company has come. Where more is there than is answered in one go, the
sockets are looked at in between: what came meanwhile stands in line behind, and whoever is too many hears it at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bailiwick.serving.gathering import MOST_TOGETHER
from bailiwick.serving.http.form import Asked, Outcome
from bailiwick.serving.protocol import Refused

MOST_ALONE = 256
"""Requests answered one by one, at most, before it is tried again whether several come at a time."""


MOST_WEIGHT = 4.0
"""Of requests of one portion together; one of weight 1 is as large as may be answered in the event loop."""

HOLD_SECONDS, MOST_HOLD_SECONDS = 0.05, 2.0
MOST_REFUSED = 500
"""Requests a second that are refused for load, about: a refusal costs time that answers need."""


def hold_seconds(connections: int) -> float:
    """How long a client that was refused for load is not read, where there are so many of them: what it sends at once
    again stays in the kernel, and costs nothing.
    """
    return min(max(HOLD_SECONDS, connections / MOST_REFUSED), MOST_HOLD_SECONDS)


class Connection(Protocol):
    """What an answer goes to; `gathered` is how many of its requests are here.

    One that is `ordered` gets its answers in the order of its requests, whatever they are.
    """

    gathered: int
    ordered: bool

    def answered(self, asked: Asked, outcome: Outcome, mark: Any) -> None:
        """Write the answer of a request that was added with `mark`. Must not raise."""
        ...

    def hold_back(self) -> None:
        """Take nothing more for a moment."""
        ...


class _Waiting:
    """One request that stands in line; `refused` once it is known to be too many."""

    __slots__ = ("asked", "connection", "mark", "refused")

    def __init__(self, asked: Asked, connection: Connection, mark: Any) -> None:
        self.asked = asked
        self.connection = connection
        self.mark = mark
        self.refused: Refused | None = None

    def tell(self, outcome: Outcome) -> None:
        self.connection.gathered -= 1
        self.connection.answered(self.asked, outcome, self.mark)
        if self.refused is not None:
            self.connection.hold_back()


class Turn:
    """Gathers for one event loop, for connections of any protocol, and answers in the order in which requests were added."""

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], list[Outcome]],
        *,
        surplus: Callable[[Sequence[Asked]], Mapping[int, Refused]] = lambda _: {},
        least: Callable[[], int] = lambda: 0,
        weight: Callable[[Asked], float] = lambda _: 0.0,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._answer = answer
        self._surplus = surplus  # those that are too many, by place
        self._least = least  # the fewest that may be too many
        self._weight = weight  # a portion ends early where they are heavy
        self._after = after  # called when answers have left
        self._waiting: deque[_Waiting] = deque()
        self._answering = 0
        self._alone = 0  # requests still to be answered one by one
        self._patience = 1  # how many that is next time
        self._scheduled = False

    def __len__(self) -> int:
        """Requests that are here and not answered. Any thread may ask."""
        return len(self._waiting) + self._answering

    def gathers(self) -> bool:
        """Whether the next request is to be added, rather than answered at once."""
        if self._alone and not self._waiting:
            self._alone -= 1
            return False
        return True

    def add(self, asked: Asked, connection: Connection, mark: Any) -> None:
        """Have it answered at the end of the turn; `mark` is what the connection knows it by."""
        connection.gathered += 1
        self._waiting.append(_Waiting(asked, connection, mark))
        self._schedule()

    def flush(self) -> None:
        """Answer all that is there."""
        self._turn_away()
        while self._waiting:
            self._answer_some()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._scheduled = False
        if len(self._waiting) > 1:
            self._alone, self._patience = 0, 1
        else:
            self._alone = self._patience
            self._patience = min(self._patience * 2, MOST_ALONE)
        self._turn_away()
        self._answer_some()
        if self._waiting:
            self._schedule()

    def _turn_away(self) -> None:
        """Tell those that are too many; where others of their connection come before them, when it is their turn."""
        if len(self._waiting) <= self._least():
            return
        standing = [each for each in self._waiting if each.refused is None]
        for place, refusal in self._surplus([each.asked for each in standing]).items():
            each = standing[place]
            each.refused = refusal
        kept = deque[_Waiting]()
        for each in self._waiting:
            if each.refused is not None and (each.connection.gathered == 1 or not each.connection.ordered):
                each.tell(each.refused)
            else:
                kept.append(each)
        self._waiting = kept

    def _answer_some(self) -> None:
        portion: list[_Waiting] = []
        standing: list[Asked] = []
        weight = 0.0
        while self._waiting and len(standing) < MOST_TOGETHER and weight < MOST_WEIGHT:
            each = self._waiting.popleft()
            portion.append(each)
            if each.refused is None:
                standing.append(each.asked)
                weight += self._weight(each.asked)
        self._answering = len(portion)
        outcomes = iter(self._answer(standing) if standing else [])
        for each in portion:
            self._answering -= 1
            each.tell(each.refused if each.refused is not None else next(outcomes))
        self._after()
