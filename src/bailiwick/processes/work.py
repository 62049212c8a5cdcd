"""`bailiwick work`: holds the duties and makes one pass after another over them until it is told to stop."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.errors import BailiwickError
from bailiwick.core.ids import new_id
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.duties import Duties, Pass
from bailiwick.processes.runner import RunRunner
from bailiwick.store.duties import DutyBoard

DUTY = "work"
LEASE_MS = 10_000
RELEASE_SECONDS = 5.0
BUSY_SECONDS = 0.1
IDLE_SECONDS = 1.0
STAY_ALERT_PASSES = 50

log = logging.getLogger("bailiwick.work")


class Passes(Protocol):
    """What is done while the duty is held."""

    def make_pass(self) -> Pass:
        """Do what is due."""


def run_work(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; the lease is given back on the way out."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    platform = open_platform(settings)
    lease = Lease(platform.duties, f"{socket.gethostname()[:60]}:{new_id()}")
    runner = RunRunner(settings)
    try:
        duties = Duties(platform, system_actor(settings.workspace, "work"), runner)
        keep_duty(duties, platform.duties, lease, stop, clock=platform.records.clock)
    finally:
        runner.stop()
        lease.release()
        platform.close()


class Lease:
    """Holds the duty for this process; a thread renews it, so that a long pass does not let it lapse.

    `held` is judged by this process's own monotonic clock: one that was stopped or kept waiting for longer than the
    lease knows that it has lost it before it asks.
    """

    def __init__(self, board: DutyBoard, owner: str, *, lease_ms: int = LEASE_MS) -> None:
        self.owner = owner
        self._board = board
        self._lease_ms = lease_ms
        self._until = 0.0
        self._ended = threading.Event()
        self._ask()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    @property
    def held(self) -> bool:
        """Whether the duty is surely this process's now."""
        return time.monotonic() < self._until

    def _renew(self) -> None:
        while not self._ended.wait(self._lease_ms / 4000):
            self._ask()

    def _ask(self) -> None:
        asked = time.monotonic()
        try:
            held = self._board.hold(DUTY, self.owner, lease_ms=self._lease_ms)
        except (BailiwickError, SQLAlchemyError) as error:  # it may still be ours until it lapses
            log.warning("the lease could not be renewed: %s", error)
            return
        if held and not self.held:
            log.info("on duty")
        self._until = asked + self._lease_ms / 1000 if held else 0.0

    def release(self) -> None:
        """Stop renewing and let another process take the duty at once."""
        self._ended.set()
        self._thread.join(RELEASE_SECONDS)
        if self.held:
            self._until = 0.0
            with suppress(BailiwickError, SQLAlchemyError):  # it lapses by itself
                self._board.release(DUTY, self.owner)


def keep_duty(
    duties: Passes, board: DutyBoard, lease: Lease, stop: threading.Event, *, clock: Callable[[], int]
) -> None:
    """Pass after pass while the lease is held; otherwise wait for it. A pass that cannot be marked is made all the same."""
    quiet = 0
    while not stop.is_set():
        if lease.held:
            started = clock()
            made = duties.make_pass()
            if made.whole:
                _mark(board, lease.owner, started, made)
            quiet = 0 if made.moved else quiet + 1
        # Alert for a while after anything happened, so that a burst of traffic is followed closely; then at rest.
        stop.wait(BUSY_SECONDS if quiet < STAY_ALERT_PASSES else IDLE_SECONDS)


def _mark(board: DutyBoard, owner: str, started: int, made: Pass) -> None:
    try:
        board.finished(DUTY, owner, started=started, message="; ".join(made.troubles))
    except BailiwickError as error:
        log.warning("the pass could not be marked: %s", error)
