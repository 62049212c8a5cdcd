"""A turn of the event loop: what has arrived is answered together, in order; who is alone is answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from bailiwick.serving.gathering import MOST_TOGETHER
from bailiwick.serving.handler import Asked, Response
from bailiwick.serving.turns import MOST_ALONE, Turn


class Client:
    def __init__(self) -> None:
        self.gathered = 0
        self.got: list[tuple[int, bool]] = []
        self.held = 0

    def answered(self, response: Response, *, keep: bool) -> None:
        self.got.append((response.status, keep))

    def hold_back(self) -> None:
        self.held += 1


class Answers:
    """Answers with the number that stands for a request."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, asked: Sequence[Asked]) -> list[Response]:
        self.runs.append(len(asked))
        return [Response(each.began, [], b"") for each in asked]


def asked(number: int) -> Asked:
    return Asked(cast("object", None), {}, b"", number)  # type: ignore[arg-type]


def test_what_arrives_in_one_turn_is_answered_at_its_end_in_order() -> None:
    answers, clients = Answers(), [Client() for _ in range(3)]

    async def story() -> None:
        turn = Turn(answers)
        for number in range(6):
            assert turn.gathers()
            turn.add(asked(number), clients[number % 3], keep=number != 5)
        assert [client.gathered for client in clients] == [2, 2, 2]
        assert answers.runs == []
        await asyncio.sleep(0)
        assert len(turn) == 0

    asyncio.run(story())
    assert answers.runs == [6]
    assert [client.got for client in clients] == [
        [(0, True), (3, True)],
        [(1, True), (4, True)],
        [(2, True), (5, False)],
    ]
    assert [client.gathered for client in clients] == [0, 0, 0]


def test_a_long_turn_is_answered_in_portions() -> None:
    answers, client = Answers(), Client()

    async def story() -> None:
        turn = Turn(answers)
        for number in range(MOST_TOGETHER * 2 + 1):
            turn.add(asked(number), client, keep=True)
        turn.flush()
        await asyncio.sleep(0)

    asyncio.run(story())
    assert answers.runs == [MOST_TOGETHER, MOST_TOGETHER, 1]
    assert [number for number, _ in client.got] == list(range(MOST_TOGETHER * 2 + 1))


def test_while_requests_come_alone_they_are_answered_where_they_are_parsed() -> None:
    """It is tried ever more seldom whether company has come, and noticed when it has."""
    answers, client = Answers(), Client()

    async def story() -> list[int]:
        turn, gathered = Turn(answers), []
        for number in range(MOST_ALONE * 6):
            if turn.gathers():
                gathered.append(number)
                turn.add(asked(number), client, keep=True)
                await asyncio.sleep(0)
        while not turn.gathers():
            pass
        turn.add(asked(1), client, keep=True)
        assert turn.gathers()  # whatever was found, what is there is not overtaken
        turn.add(asked(2), client, keep=True)
        await asyncio.sleep(0)
        assert turn.gathers()
        return gathered

    gathered = asyncio.run(story())
    assert gathered[:5] == [0, 2, 5, 10, 19]
    assert len(gathered) < 16
    assert answers.runs == [1] * len(gathered) + [2]


def test_what_is_too_much_is_refused_in_its_place() -> None:
    answers, clients, settled = Answers(), [Client(), Client()], []
    turn = Turn(
        answers,
        surplus=lambda _: {1: Response(503, [], b""), 2: Response(503, [], b"")},
        after=lambda: settled.append(1),
    )

    async def story() -> None:
        for number in range(4):
            turn.add(asked(200 + number), clients[number % 2], keep=True)
        await asyncio.sleep(0)

    asyncio.run(story())
    assert [[status for status, _ in client.got] for client in clients] == [[200, 503], [503, 203]]
    assert answers.runs == [2]
    assert settled == [1]
    assert [client.held for client in clients] == [1, 1]
