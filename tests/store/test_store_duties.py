"""The board of duties: one owner at a time, and the mark of each finished pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bailiwick.store.database import Database
from bailiwick.store.duties import DutyBoard
from bailiwick.testing.clock import FakeClock

LEASE = 1000


@pytest.fixture
def board(database: Database, clock: FakeClock) -> DutyBoard:
    return DutyBoard(database, clock)


def test_the_first_to_ask_holds_the_duty_and_renews_it(board: DutyBoard, clock: FakeClock) -> None:
    assert board.hold("work", "a", lease_ms=LEASE)
    assert not board.hold("work", "b", lease_ms=LEASE)
    clock.advance(LEASE - 1)
    assert board.hold("work", "a", lease_ms=LEASE)
    clock.advance(LEASE - 1)
    assert not board.hold("work", "b", lease_ms=LEASE)


def test_a_lapsed_lease_is_anybodys(board: DutyBoard, clock: FakeClock) -> None:
    board.hold("work", "a", lease_ms=LEASE)
    clock.advance(LEASE + 1)
    assert board.hold("work", "b", lease_ms=LEASE)
    assert not board.hold("work", "a", lease_ms=LEASE)


def test_a_released_duty_is_anybodys_at_once(board: DutyBoard) -> None:
    board.hold("work", "a", lease_ms=LEASE)
    board.release("work", "b")  # not b's to release
    assert not board.hold("work", "b", lease_ms=LEASE)
    board.release("work", "a")
    assert board.hold("work", "b", lease_ms=LEASE)


def test_duties_are_held_apart(board: DutyBoard) -> None:
    assert board.hold("work", "a", lease_ms=LEASE)
    assert board.hold("other", "b", lease_ms=LEASE)
    assert [(duty.name, duty.owner) for duty in board.all()] == [("other", "b"), ("work", "a")]


def test_a_pass_is_marked_by_its_owner_alone(board: DutyBoard, clock: FakeClock) -> None:
    board.hold("work", "a", lease_ms=LEASE)
    started = clock.now
    clock.advance(50)
    board.finished("work", "a", started=started, message="trouble")
    (duty,) = board.all()
    assert (duty.pass_started, duty.pass_finished, duty.message) == (started, started + 50, "trouble")
    board.finished("work", "b", started=clock.now)
    assert board.all() == [duty]


def test_of_many_that_ask_together_one_gets_it(board: DutyBoard) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda owner: board.hold("work", str(owner), lease_ms=LEASE), range(16)))
    assert sum(got) == 1
