"""Who is on duty: leases that let many `work` processes share one set of duties, and the mark of each finished pass.

A duty is held by one owner until its lease ends. The board also answers a client's question "has everything I sent
before time t been looked at?": it has, once a pass that started after t has finished.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, String, Table, Text, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.clock import Clock
from bailiwick.store.database import Database, metadata

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
