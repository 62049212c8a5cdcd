"""What an engine is: a dialect, a relation with columns, and a way to ask it for a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from bailiwick.data.engines.dialect import Dialect
from bailiwick.data.engines.model import Column

Row = Sequence[Any]


class Engine(Protocol):
    """Somewhere that answers SQL about one relation: a table, a view, or a query in brackets.

    Implementations keep one connection (or session) and, where the engine has it, one state of the data for all answers.
    `bailiwick.testing.engines` holds the table that every engine must tell the same of.
    """

    name: str
    """What people call the source."""
    relation: str
    """SQL that may follow FROM."""

    @property
    def dialect(self) -> Dialect:
        """How the engine writes the plan."""
        ...

    def columns(self) -> tuple[Column, ...]:
        """The relation's columns in order. Raises InvalidInput for a relation that is not there."""
        ...

    def ask(self, sql: str) -> list[Row]:
        """All rows of a SELECT, which the plan keeps few. Raises InvalidInput for SQL that is wrong, Unavailable for no answer."""
        ...

    def over(self, relation: str, name: str) -> Engine:
        """The same connection, of another relation. Closing it leaves this one open."""
        ...

    def close(self) -> None:
        """Let go of what was opened here; a session that was given stays open. May be called twice."""
        ...


class ConnectedEngine:
    """What engines on a connection share: several may look through one, and the first of them closes it."""

    def __init__(self, connection: Any, relation: str, name: str, *, shared: bool = False) -> None:
        self.name = name
        self.relation = relation
        self._shared = shared
        self._connection = connection

    def over(self, relation: str, name: str) -> Self:
        """The same connection, of another relation."""
        return type(self)(self._connection, relation, name, shared=True)

    def close(self) -> None:
        """Close the connection, unless it is another engine's."""
        if not self._shared:
            self._connection.close()
