"""Workers: one holds the duties, another takes them over; what fails does not stop the rest."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, system_actor
from bailiwick.core.clock import system_clock
from bailiwick.core.errors import Unavailable
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.duties import Duties, Pass
from bailiwick.lifecycle.outbox import WORK
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import Pipeline, Step
from bailiwick.processes.work import keep_duty
from bailiwick.store.database import Database
from bailiwick.store.duties import DutyBoard, Lease
from tests_support.server import bailiwick, until


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(Settings(home=tmp_path / "home"))
    yield opened
    opened.close()


class FaultyRunner:
    """Where runs should be executed, everything breaks."""

    busy = False

    def execute(self, run_id: str) -> None:
        raise RuntimeError(f"no process for {run_id}")


class CountingPasses:
    """Passes that stop the loop after some of them."""

    def __init__(self, stop: threading.Event, most: int, act: Callable[[], Pass]) -> None:
        self.made = 0
        self._stop, self._most, self._act = stop, most, act

    def make_pass(self) -> Pass:
        self.made += 1
        if self.made >= self._most:
            self._stop.set()
        return self._act()


@contextmanager
def _lease(board: DutyBoard, owner: str, *, lease_ms: int) -> Iterator[Lease]:
    lease = Lease(board, WORK, owner, lease_ms=lease_ms)
    try:
        yield lease
    finally:
        lease.release()


def _quiet(*troubles: str) -> Pass:
    return Pass(moved=False, whole=True, troubles=troubles)


def _holder(home: Path) -> str:
    database = Database(f"sqlite:///{home / 'bailiwick.db'}")
    try:
        held = DutyBoard(database, system_clock).all()
    finally:
        database.close()
    return held[0].owner if held and held[0].expires > system_clock() else ""


def test_a_second_worker_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    open_platform(Settings(home=tmp_path)).close()
    first = bailiwick("work", home=tmp_path)
    until(lambda: _holder(tmp_path), "the first on duty")
    owner = _holder(tmp_path)
    second = bailiwick("work", home=tmp_path)
    time.sleep(2)
    assert _holder(tmp_path) == owner
    first.kill()
    first.communicate()
    begun = time.monotonic()
    until(lambda: _holder(tmp_path) not in {"", owner}, "the second on duty")
    assert time.monotonic() - begun < 20
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=30)
    assert second.returncode == 0
    assert _holder(tmp_path) == ""


def test_a_duty_that_raises_does_not_stop_the_others(
    platform: Platform, admin: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline("nightly", [Step("only", (), lambda _context: {}, version="1")])
    run = platform.pipelines.submit(admin, pipeline, {}, trigger="schedule:nightly")
    duties = Duties(platform, system_actor("default", "work"), FaultyRunner())
    with caplog.at_level(logging.CRITICAL):
        made = duties.make_pass()
    assert made.troubles == (f"pipeline runs: RuntimeError: no process for {run.id}",)
    checkpoint = platform.journal.checkpoint()
    assert checkpoint is not None
    assert checkpoint.size == 1


def test_troubles_of_a_pass_are_on_the_board(platform: Platform) -> None:
    stop = threading.Event()
    with _lease(platform.duties, "me", lease_ms=10_000) as lease:
        passes = CountingPasses(stop, 2, lambda: _quiet("journal: disk full"))
        keep_duty(passes, platform.duties, lease, stop, clock=system_clock)
    assert [duty.message for duty in platform.duties.all()] == ["journal: disk full"]


def test_only_a_whole_pass_is_marked(platform: Platform) -> None:
    stop = threading.Event()
    with _lease(platform.duties, "me", lease_ms=10_000) as lease:
        passes = CountingPasses(stop, 2, lambda: Pass(moved=True, whole=False, troubles=()))
        keep_duty(passes, platform.duties, lease, stop, clock=system_clock)
    assert [duty.pass_finished for duty in platform.duties.all()] == [0]


def test_a_pass_that_cannot_be_marked_is_not_the_last(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    class FullBoard(DutyBoard):
        def finished(self, name: str, owner: str, *, started: int, message: str = "") -> None:
            raise Unavailable("The disk is full.")

    board, stop = FullBoard(platform.database, system_clock), threading.Event()
    with caplog.at_level(logging.WARNING), _lease(board, "me", lease_ms=10_000) as lease:
        passes = CountingPasses(stop, 3, _quiet)
        keep_duty(passes, board, lease, stop, clock=system_clock)
    assert passes.made == 3
    assert "the pass could not be marked: The disk is full." in caplog.messages


def test_nothing_is_done_while_another_holds_the_duty(platform: Platform) -> None:
    assert platform.duties.hold(WORK, "another", lease_ms=60_000)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with _lease(platform.duties, "me", lease_ms=10_000) as lease:
        passes = CountingPasses(stop, 1, _quiet)
        keep_duty(passes, platform.duties, lease, stop, clock=system_clock)
    assert passes.made == 0


def test_a_lease_is_renewed_through_a_pass_that_is_longer_than_it(platform: Platform) -> None:
    with _lease(platform.duties, "me", lease_ms=400) as lease:
        time.sleep(1.2)
        assert lease.held
        assert not platform.duties.hold(WORK, "another", lease_ms=400)


def test_a_lease_that_cannot_be_renewed_lapses_by_itself(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    class LockedBoard(DutyBoard):
        locked = False

        def hold(self, name: str, owner: str, *, lease_ms: int) -> bool:
            if self.locked:
                raise Unavailable("The database is locked.")
            return super().hold(name, owner, lease_ms=lease_ms)

    board = LockedBoard(platform.database, system_clock)
    with caplog.at_level(logging.WARNING), _lease(board, "me", lease_ms=400) as lease:
        assert lease.held
        board.locked = True
        until(lambda: not lease.held, "the lease to lapse", 5)
        board.locked = False
        until(lambda: lease.held, "the lease to be taken again", 5)
    assert "the lease of work could not be renewed: The database is locked." in caplog.messages


def test_a_released_duty_can_be_taken_at_once(platform: Platform) -> None:
    with _lease(platform.duties, "me", lease_ms=60_000):
        assert not platform.duties.hold(WORK, "another", lease_ms=1000)
    assert platform.duties.hold(WORK, "another", lease_ms=1000)
