"""`bailiwick work`: holds the duties and makes one pass after another over them until it is told to stop."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from bailiwick.app import open_platform
from bailiwick.core.actor import system_actor
from bailiwick.core.errors import BailiwickError
from bailiwick.core.ids import new_id
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.duties import Duties, Pass
from bailiwick.lifecycle.outbox import WORK, OutboxKeeper
from bailiwick.processes.runner import RunRunner
from bailiwick.store.duties import DutyBoard, Lease

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
    try:
        platform.workspaces.require(settings.workspace)
    except BailiwickError:
        platform.close()
        raise
    owner = f"{socket.gethostname()[:60]}:{new_id()}"
    lease = Lease(platform.duties, WORK, owner)
    runner = RunRunner(settings)
    outbox = OutboxKeeper(platform, owner)
    try:
        duties = Duties(platform, system_actor(settings.workspace, "work"), runner)
        keep_duty(duties, platform.duties, lease, stop, clock=platform.records.clock)
    finally:
        runner.stop()
        outbox.stop()
        lease.release()
        platform.close()


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
        board.finished(WORK, owner, started=started, message="; ".join(made.troubles))
    except BailiwickError as error:
        log.warning("the pass could not be marked: %s", error)
