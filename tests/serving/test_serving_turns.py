"""A turn of the event loop: what has arrived is answered together, in order; who is alone is answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from bailiwick.serving.gathering import MOST_TOGETHER
from bailiwick.serving.http.form import Asked, Outcome
from bailiwick.serving.protocol import Refused
from bailiwick.serving.turns import MOST_ALONE, Turn, hold_seconds


class Client:
    def __init__(self, *, ordered: bool = True) -> None:
        self.gathered = 0
        self.ordered = ordered
        self.got: list[tuple[object, object]] = []
        self.held = 0

    def answered(self, asked: Asked, outcome: Outcome, mark: object) -> None:
        assert self.gathered >= 0
        self.got.append((outcome.status if isinstance(outcome, Refused) else int(cast("bytes", outcome)), mark))

    def hold_back(self) -> None:
        self.held += 1


class Answers:
    """Answers with the number that stands for a request."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, asked: Sequence[Asked]) -> list[Outcome]:
        self.runs.append(len(asked))
        return [b"%d" % each.began for each in asked]


def asked(number: int) -> Asked:
    return Asked(cast("object", None), {}, b"", number, cast("object", None))  # type: ignore[arg-type]


def test_what_arrives_in_one_turn_is_answered_at_its_end_in_order() -> None:
    answers, clients = Answers(), [Client() for _ in range(3)]

    async def story() -> None:
        turn = Turn(answers)
        for number in range(6):
            assert turn.gathers()
            turn.add(asked(number), clients[number % 3], number != 5)
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
            turn.add(asked(number), client, True)
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
                turn.add(asked(number), client, True)
                await asyncio.sleep(0)
        while not turn.gathers():
            pass
        turn.add(asked(1), client, True)
        assert turn.gathers()  # whatever was found, what is there is not overtaken
        turn.add(asked(2), client, True)
        await asyncio.sleep(0)
        assert turn.gathers()
        return gathered

    gathered = asyncio.run(story())
    assert gathered[:5] == [0, 2, 5, 10, 19]
    assert len(gathered) < 16
    assert answers.runs == [1] * len(gathered) + [2]


def test_between_portions_others_are_heard() -> None:
    """What comes while a long line is answered is read, and stands in line; what belongs to no line waits for one portion."""
    answers, client, heard = Answers(), Client(), []

    async def story() -> None:
        turn = Turn(answers)
        for number in range(MOST_TOGETHER * 3):
            turn.add(asked(number), client, True)
        await asyncio.sleep(0)
        for _ in range(2):
            heard.append(len(client.got))
            turn.add(asked(1000), client, True)
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(turn) == 0

    asyncio.run(story())
    assert heard == [MOST_TOGETHER, MOST_TOGETHER * 2]
    assert answers.runs == [MOST_TOGETHER] * 3 + [2]
    assert [number for number, _ in client.got] == [*range(MOST_TOGETHER * 3), 1000, 1000]


def test_those_that_are_too_many_are_told_first_but_for_what_came_before_on_their_connection() -> None:
    answers, settled = Answers(), []
    clients = [Client(), Client(), Client(ordered=False)]
    turn = Turn(
        answers,
        surplus=lambda _: {1: Refused(503, ""), 3: Refused(503, ""), 5: Refused(503, "")},
        after=lambda: settled.append(1),
    )

    async def story() -> None:
        for number, client in enumerate([clients[0], clients[1], clients[2], clients[0], clients[0], clients[2]]):
            turn.add(asked(200 + number), client, number)
        assert len(turn) == 6
        await asyncio.sleep(0)

    asyncio.run(story())
    assert [client.got for client in clients] == [
        [(200, 0), (503, 3), (204, 4)],
        [(503, 1)],
        [(503, 5), (202, 2)],
    ]
    assert answers.runs == [3]
    assert settled == [1]
    assert [client.held for client in clients] == [1, 1, 1]
    assert len(turn) == 0


def test_a_portion_ends_early_where_requests_are_heavy() -> None:
    answers, client = Answers(), Client()
    turn = Turn(answers, weight=lambda asked: 1.0 if asked.began < 10 else 0.0)

    async def story() -> None:
        for number in range(20):
            turn.add(asked(number), client, True)
        for _ in range(4):
            await asyncio.sleep(0)

    asyncio.run(story())
    assert answers.runs == [4, 4, 12]
    assert [number for number, _ in client.got] == list(range(20))


def test_the_more_clients_there_are_the_longer_one_that_was_refused_is_not_read() -> None:
    assert [hold_seconds(connections) for connections in (1, 20, 300, 1_000_000)] == [0.05, 0.05, 0.6, 2.0]
