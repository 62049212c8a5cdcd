"""The transaction of a mutating verb: authorise, change, journal; all or nothing.

Every service writes through `Records.change`. Leaving the block without a journal entry is a programming error and
rolls the change back, so no verb can change a record in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.clock import Clock, system_clock
from bailiwick.store.database import Database
from bailiwick.store.journal.writer import append_entry


class Change:
    """One open transaction on behalf of one actor. `time` is the one time stamp of everything written in it."""

    def __init__(self, connection: Connection, actor: Actor, time: int) -> None:
        self.connection = connection
        self.actor = actor
        self.time = time
        self.entries = 0

    @property
    def workspace(self) -> str:
        """The workspace every row of this change belongs to."""
        return self.actor.workspace

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one SQLAlchemy Core statement inside the transaction."""
        return self.connection.execute(statement, parameters)

    def record(self, action: str, resource: str, **detail: Any) -> str:
        """Journal what was done: `action` is `noun.verb` in the past tense, `resource` is `kind/name`. Returns the entry's id.

        `detail` must be JSON and small (64 KiB): names and digests, never rows of data.
        """
        self.entries += 1
        return append_entry(self.connection, self.actor, self.time, action, resource, detail)


class Records:
    """The database together with the rule that changes are authorised and journalled."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self.database = database
        self.clock = clock

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction."""
        with self.database.read() as connection:
            yield connection

    @contextmanager
    def change(self, actor: Actor, permission: Permission) -> Iterator[Change]:
        """Authorise, then one transaction. Raises NotAllowed before anything is read or locked."""
        actor.require(permission)
        with self.database.write() as connection:
            change = Change(connection, actor, self.clock())
            yield change
            if not change.entries:
                raise AssertionError("a change must be journalled: call change.record(...) before the block ends")
