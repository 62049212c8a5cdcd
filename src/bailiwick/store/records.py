"""The transaction of a mutating verb: authorise, change, journal; all or nothing.

Every service writes through `Records.change`. Leaving the block without a journal entry is a programming error and
rolls the change back, so no verb can change a record in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.clock import Clock, system_clock
from bailiwick.store.database import Database
from bailiwick.store.journal.writer import append_entries, new_entry


class Change:
    """One open transaction on behalf of one actor. `time` is the one time stamp of everything written in it."""

    def __init__(self, connection: Connection, actor: Actor, time: int) -> None:
        self.connection = connection
        self.actor = actor
        self.time = time
        self._entries: list[dict[str, Any]] = []
        self._idle = False

    @property
    def workspace(self) -> str:
        """The workspace every row of this change belongs to."""
        return self.actor.workspace

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one SQLAlchemy Core statement inside the transaction."""
        return self.connection.execute(statement, parameters)

    def record(self, action: str, resource: str, **detail: Any) -> str:
        """Journal what was done: `action` is `noun.verb` in the past tense, `resource` is `kind/name`. Returns the entry's id.

        `detail` must be JSON and small (64 KiB): names and digests, never rows of data. Entries are written when the
        block ends, in the order of recording.
        """
        entry = new_entry(self.actor, self.time, action, resource, detail)
        self._entries.append(entry)
        return str(entry["id"])

    def nothing(self) -> None:
        """Say that all was as it should be, so that nothing was changed and there is nothing to journal."""
        self._idle = True

    def recorded(self) -> list[dict[str, Any]]:
        """The rows of what was recorded. Raises AssertionError when nothing was."""
        if not self._entries and not self._idle:
            raise AssertionError("a change must be journalled: call change.record(...) before the block ends")
        return self._entries


class JointChange:
    """One open transaction in which several actors' changes are made; it is kept whole or not at all."""

    def __init__(self, connection: Connection, time: int) -> None:
        self.connection = connection
        self.time = time
        self._changes: list[Change] = []

    def by(self, actor: Actor, permission: Permission) -> Change:
        """One actor's part of it, which must be journalled like any other. Raises NotAllowed."""
        actor.require(permission)
        change = Change(self.connection, actor, self.time)
        self._changes.append(change)
        return change

    def recorded(self) -> list[dict[str, Any]]:
        """The rows of what was recorded, change by change. Raises AssertionError for a silent one."""
        return [entry for change in self._changes for entry in change.recorded()]


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

    def read_together(self) -> AbstractContextManager[None]:
        """In this block, whatever several services read is of the same moment; see `Database.read_together`."""
        return self.database.read_together()

    @contextmanager
    def change(self, actor: Actor, permission: Permission) -> Iterator[Change]:
        """Authorise, then one transaction. Raises NotAllowed before anything is read or locked."""
        actor.require(permission)
        with self.database.write() as connection:
            change = Change(connection, actor, self.clock())
            yield change
            rows = change.recorded()
            if rows:
                append_entries(connection, rows)

    @contextmanager
    def together(self) -> Iterator[JointChange]:
        """One transaction for the changes of many callers, so that they share the cost of making it durable."""
        with self.database.write() as connection:
            joint = JointChange(connection, self.clock())
            yield joint
            rows = joint.recorded()
            if rows:
                append_entries(connection, rows)
