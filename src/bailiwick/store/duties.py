"""Who is on duty: leases that let many `work` processes share one set of duties, and the mark of each finished pass.

A duty is held by one owner until its lease ends. The board also answers a client's question "has everything I sent
before time t been looked at?": it has, once a pass that started after t has finished.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, String, Table, Text, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from bailiwick.core.clock import Clock
from bailiwick.core.errors import BailiwickError
from bailiwick.store.database import Database, metadata

LEASE_MS = 10_000
RELEASE_SECONDS = 5.0

log = logging.getLogger("bailiwick.duties")

duties = Table(
    "duties",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("owner", String(100), nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("pass_started", BigInteger, nullable=False),
    Column("pass_finished", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Duty:
    """The state of one duty; times in UTC milliseconds, `message` is the last error or empty."""

    name: str
    owner: str
    expires: int
    pass_started: int
    pass_finished: int
    message: str


class DutyBoard:
    """Leases and passes. Not journalled: it says who is working, not what was changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def hold(self, name: str, owner: str, *, lease_ms: int) -> bool:
        """Take or renew the lease; False while another owner holds it."""
        now = self._clock()
        with self._database.write() as connection:
            free = or_(duties.c.owner == owner, duties.c.expires < now)
            taken = connection.execute(
                update(duties).where(duties.c.name == name, free).values(owner=owner, expires=now + lease_ms)
            )
            if taken.rowcount:
                return True
        return self._first_hold(name, owner, now + lease_ms)

    def _first_hold(self, name: str, owner: str, expires: int) -> bool:
        row = {"name": name, "owner": owner, "expires": expires, "pass_started": 0, "pass_finished": 0, "message": ""}
        try:
            with self._database.write() as connection:
                connection.execute(insert(duties).values(row))
        except IntegrityError:
            return False
        return True

    def finished(self, name: str, owner: str, *, started: int, message: str = "") -> None:
        """Mark a pass that began at `started` as finished, for as long as `owner` still holds the duty."""
        with self._database.write() as connection:
            connection.execute(
                update(duties)
                .where(duties.c.name == name, duties.c.owner == owner)
                .values(pass_started=started, pass_finished=self._clock(), message=message)
            )

    def release(self, name: str, owner: str) -> None:
        """Let go at once, so that another process need not wait for the lease to end."""
        with self._database.write() as connection:
            connection.execute(update(duties).where(duties.c.name == name, duties.c.owner == owner).values(expires=0))

    def all(self) -> list[Duty]:
        """Every duty that was ever held, by name."""
        with self._database.read() as connection:
            return [Duty(**row) for row in connection.execute(select(duties).order_by(duties.c.name)).mappings()]

    def holder(self, name: str) -> str:
        """Who holds a duty now, or the empty text."""
        query = select(duties.c.owner).where(duties.c.name == name, duties.c.expires >= self._clock())
        with self._database.read() as connection:
            return connection.scalar(query) or ""


class Lease:
    """Holds the duty for this process; a thread renews it, so that a long pass does not let it lapse.

    `held` is judged by this process's own monotonic clock: one that was stopped or kept waiting for longer than the
    lease knows that it has lost it before it asks.
    """

    def __init__(self, board: DutyBoard, name: str, owner: str, *, lease_ms: int = LEASE_MS) -> None:
        self.name = name
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
            held = self._board.hold(self.name, self.owner, lease_ms=self._lease_ms)
        except (BailiwickError, SQLAlchemyError) as error:  # it may still be ours until it lapses
            log.warning("the lease of %s could not be renewed: %s", self.name, error)
            return
        if held and not self.held:
            log.info("on duty: %s", self.name)
        self._until = asked + self._lease_ms / 1000 if held else 0.0

    def release(self) -> None:
        """Stop renewing and let another process take the duty at once."""
        self._ended.set()
        self._thread.join(RELEASE_SECONDS)
        if self.held:
            self._until = 0.0
            with suppress(BailiwickError, SQLAlchemyError):  # it lapses by itself
                self._board.release(self.name, self.owner)
