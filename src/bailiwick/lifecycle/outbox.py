"""What goes out by itself: journal entries become deliveries, and deliveries are sent. One process at a time, any may.

It runs on a thread of its own beside the other duties, so a window that takes a minute to evaluate delays no event; and
it runs in the control plane where no `work` process is, so that webhooks need nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.errors import BailiwickError
from bailiwick.lifecycle.platform import Platform
from bailiwick.store.duties import Lease
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.webhooks.courier import Courier
from bailiwick.webhooks.file_sink import FileSink

WORK = "work"
OUTBOX = "outbox"
BUSY_SECONDS = 0.05
IDLE_SECONDS = 0.3
RETRY_SECONDS = 5.0
STAY_ALERT_SECONDS = 3.0
PRUNE_SECONDS = MILLISECONDS_PER_DAY / 1000 / 24
STOP_SECONDS = 15.0
TAIL_SECONDS = 10.0
LONGEST_TAIL = 50_000
"""Entries that may wait for their place while nobody has to be told of them: they have no index, and are read one by one."""

log = logging.getLogger("bailiwick.outbox")


class OutboxKeeper:
    """A thread that passes over the outbox while this process holds its lease.

    With `spare` it asks for the lease only while no `work` process is on duty, and lets go when one is.
    """

    def __init__(self, platform: Platform, owner: str, *, spare: bool = False) -> None:
        self._platform = platform
        self._owner = owner
        self._spare = spare
        self._ended = threading.Event()
        self._lease: Lease | None = None
        self._retry: dict[str, float] = {}
        self._sequencer: Sequencer | None = None
        self._pruned = 0.0
        self._tail_seen = time.monotonic()
        self._alert_until = 0.0
        path = platform.settings.openlineage_file
        self._sink = FileSink(platform.database, platform.openlineage, Path(path)) if path else None
        self._courier = Courier(platform.outbox, platform.sender, may_send=self._holds)
        self._thread = threading.Thread(target=self._keep, name="outbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the attempts that are under way, and let another process take over at once."""
        self._ended.set()
        self._thread.join(STOP_SECONDS)
        self._courier.close()
        self._let_go()

    def _holds(self) -> bool:
        lease = self._lease
        return lease is not None and lease.held and not self._ended.is_set()

    def _keep(self) -> None:
        while not self._ended.is_set():
            try:
                pause = self._pass()
            except BailiwickError as error:
                log.warning("outbox: %s", error)
                pause = RETRY_SECONDS
            except Exception:  # a thread's edge: what is waiting goes out with a later pass
                log.exception("the outbox failed")
                pause = RETRY_SECONDS
            self._ended.wait(pause)

    def _pass(self) -> float:
        """Do what is due; returns how long to rest, in seconds."""
        if self._sink is None and not self._platform.outbox.needed():
            self._let_go()
            self._shorten_tail()
            return IDLE_SECONDS
        if self._spare and self._platform.duties.holder(WORK):
            self._let_go()
            return IDLE_SECONDS
        if self._lease is None:
            self._lease = Lease(self._platform.duties, OUTBOX, self._owner)
        if not self._holds():
            return IDLE_SECONDS
        if self._move():
            self._alert_until = time.monotonic() + STAY_ALERT_SECONDS
        self._prune()
        return BUSY_SECONDS if time.monotonic() < self._alert_until else IDLE_SECONDS

    def _shorten_tail(self) -> None:
        """Where no `work` process gives entries their places, they are not left to wait without end."""
        if time.monotonic() - self._tail_seen < TAIL_SECONDS:
            return
        self._tail_seen = time.monotonic()
        while self._platform.journal.is_waiting(LONGEST_TAIL) and self._attempt("journal", self._integrate):
            if self._ended.is_set():
                return

    def _move(self) -> bool:
        """Whether anything was placed, passed over or begun. What fails does not hold up the rest."""
        outbox = self._platform.outbox
        moved = self._attempt("journal", self._integrate)
        moved += self._attempt("collecting events", outbox.collect)
        moved += self._attempt("replaying events", outbox.catch_up)
        if self._sink is not None:
            moved += self._attempt("OpenLineage file", self._sink.collect)
        return bool(moved + self._courier.dispatch()) or self._courier.busy

    def _attempt(self, what: str, step: Callable[[], int]) -> int:
        if time.monotonic() < self._retry.get(what, 0.0):
            return 0
        try:
            return step()
        except BailiwickError as error:
            log.warning("%s: %s", what, error)
        self._retry[what] = time.monotonic() + RETRY_SECONDS
        return 0

    def _integrate(self) -> int:
        """Entries are told of once they have their place in the journal; `work` gives it, and so do we."""
        if not self._platform.journal.is_waiting():
            return 0
        if self._sequencer is None:
            signer = Signer.in_folder(self._platform.keys_folder)
            self._sequencer = Sequencer(self._platform.database, self._platform.journal_folder, signer)
        return self._sequencer.integrate()

    def _prune(self) -> None:
        if time.monotonic() - self._pruned > PRUNE_SECONDS or not self._pruned:
            while self._platform.outbox.prune() and not self._ended.is_set():
                pass
            self._pruned = time.monotonic()

    def _let_go(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None
