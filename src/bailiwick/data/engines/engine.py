"""What an engine is: a dialect, a relation with columns, and a way to ask it for a few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from bailiwick.data.engines.dialect import Dialect
from bailiwick.data.engines.model import Column
from bailiwick.data.reading.secrets import without_password

if TYPE_CHECKING:
    import pyarrow as pa

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


@runtime_checkable
class RowEngine(Engine, Protocol):
    """An engine that a training run may read: of the same state of the data, rows too, and never all of them at once."""

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The rows of a SELECT in its order, in batches; one without rows where there are none, so that types are known.

        Nothing else may be asked before it has ended. Raises as `ask`.
        """
        ...


@runtime_checkable
class EncodingEngine(RowEngine, Protocol):
    """An engine that runs the graph of the features itself, so that only the matrix leaves it."""

    def encode(
        self, sql: str, read: Sequence[str], graphs: Sequence[bytes], *, label: str, fold: str
    ) -> Iterator[pa.RecordBatch]:
        """Of the rows of a SELECT, whose columns are those `read`, batches of `label` and `matrix` (a list of floats a row) in
        its order. Of several graphs (serialised), a row is run by that of its `fold`.
        """
        ...


OpenEngine = Callable[[str, str, Path], Engine]
"""Opens the engine at a URL over a source; relative paths start at the folder. Raises InvalidInput, MissingExtra, Unavailable."""


def engine_name(url: str) -> str:
    """What a record may say of an engine: no password, and no settings, for those may hold keys."""
    address = url.partition("?")[0]
    scheme, slashes, rest = address.partition("://")
    who, at, place = rest.rpartition("@")
    return without_password(f"{scheme}{slashes}{who.partition(':')[0]}{at}{place}")


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """What a stream begins with."""
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema=schema)


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
