"""Callers that share a transaction: each gets its own outcome, and none waits for a transaction it does not need."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from bailiwick.core.errors import BailiwickError, Conflict, Unavailable
from bailiwick.store.together import MAX_TOGETHER, Outcome, Together


class Disk:
    """Remembers what was written together; the first write waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def write(self, items: Sequence[int]) -> list[Outcome]:
        if not self.batches:
            self.entered.set()
            assert self.go.wait(10)
        self.batches.append(list(items))
        if -1 in items and len(items) > 1:
            raise ZeroDivisionError
        if -1 in items:
            raise ArithmeticError("the odd one")
        if -2 in items:
            raise Unavailable("The disk is full.")
        return [Conflict(f"{item} is odd") if item % 2 else None for item in items]


def submitted(disk: Disk, items: Sequence[int]) -> dict[int, BaseException | None]:
    """The outcome of each item: 0 is written first and held up until all others wait."""
    together = Together(disk.write)
    outcomes: dict[int, BaseException | None] = {}

    def call(item: int) -> None:
        try:
            together.submit(item)
        except (BailiwickError, ArithmeticError) as error:
            outcomes[item] = error
        else:
            outcomes[item] = None

    threads = [threading.Thread(target=call, args=(item,)) for item in (0, *items)]
    threads[0].start()
    assert disk.entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(together._queue) < len(items):
        threading.Event().wait(0.001)
    disk.go.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return outcomes


def test_callers_that_come_meanwhile_share_the_next_transaction() -> None:
    disk = Disk()
    outcomes = submitted(disk, [2, 4, 6, 8])
    assert [sorted(batch) for batch in disk.batches] == [[0], [2, 4, 6, 8]]
    assert set(outcomes.values()) == {None}


def test_one_is_refused_and_the_others_are_written() -> None:
    outcomes = submitted(Disk(), [2, 3, 4])
    assert [item for item, error in outcomes.items() if error] == [3]
    assert str(outcomes[3]) == "3 is odd"


def test_no_caller_fails_for_anothers_sake() -> None:
    disk = Disk()
    outcomes = submitted(disk, [2, -1, 4])
    assert {item: error is None for item, error in outcomes.items()} == {0: True, 2: True, -1: False, 4: True}
    assert str(outcomes[-1]) == "the odd one"


def test_what_is_unavailable_is_so_for_all() -> None:
    disk = Disk()
    outcomes = submitted(disk, [2, -2])
    assert isinstance(outcomes[2], Unavailable)
    assert isinstance(outcomes[-2], Unavailable)
    assert len(disk.batches) == 2


def test_a_transaction_does_not_grow_without_bound() -> None:
    disk = Disk()
    submitted(disk, range(2, 2 * MAX_TOGETHER + 60, 2))
    assert max(map(len, disk.batches)) == MAX_TOGETHER


def test_a_caller_alone_is_written_at_once() -> None:
    disk = Disk()
    disk.go.set()
    together = Together(disk.write)
    together.submit(2)
    with pytest.raises(Conflict):
        together.submit(3)
    assert disk.batches == [[2], [3]]


def test_callers_who_do_not_wait_are_told_when_it_is_done() -> None:
    disk = Disk()
    together = Together(disk.write)
    with ThreadPoolExecutor(1) as executor:
        first = together.begin(0, executor)
        assert disk.entered.wait(10)
        others = [together.begin(item, executor) for item in (2, 3, 4)]
        assert not any(each.done() for each in (first, *others))
        assert not others[0].cancel()  # what was said is not taken back
        disk.go.set()
        assert [type(each.exception(10)) for each in others] == [type(None), Conflict, type(None)]
        assert first.result(10) is None
    assert disk.batches == [[0], [2, 3, 4]]


def test_those_who_wait_and_those_who_do_not_are_written_in_their_order() -> None:
    disk = Disk()
    disk.go.set()
    together = Together(disk.write)
    with ThreadPoolExecutor(1) as executor:
        begun = [together.begin(item, executor) for item in range(0, 40, 2)]
        together.submit(40)
        for each in begun:
            assert each.result(10) is None
        assert together.begin(42, executor).result(10) is None
    assert [item for batch in disk.batches for item in batch] == list(range(0, 44, 2))
