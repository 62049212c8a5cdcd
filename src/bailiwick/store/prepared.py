"""Statements that are compiled once for each kind of database and run by its driver, for what happens a thousand times a second.

SQLAlchemy takes ten times as long to run a small statement as SQLite does, even from its cache. Here it says what the
statement is, once; after that only the driver is asked.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    Text,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError

Values = Mapping[str, Any]


class Prepared:
    """One statement, whose values and columns are numbers, texts and bytes: drivers take and give these as they are.

    `statement` may be a function of the dialect's name, where databases need it said differently. `columns` are those
    that an INSERT sets, all of the table's if left out. Values are given by name of column or `bindparam`.
    """

    def __init__(
        self, statement: ClauseElement | Callable[[str], ClauseElement], columns: Sequence[str] | None = None
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, values: Values) -> list[tuple[Any, ...]]:
        """Every row, as the driver gives it. Raises what SQLAlchemy raises."""
        compiled = self._for(connection)
        driver: Any = connection.connection.dbapi_connection
        try:
            found: list[Any] = driver.execute(compiled.text, compiled.arguments(values)).fetchall()
        except connection.dialect.loaded_dbapi.Error as error:
            raise in_sqlalchemys_words(error, compiled.text, connection) from error
        return found

    def first(self, connection: Connection, values: Values) -> Any | None:
        """The first row, with its columns as attributes; None where there is none."""
        found = self.rows(connection, values)
        return self._for(connection).row(found[0]) if found else None

    def named(self, connection: Connection, values: Values) -> list[Any]:
        """Every row, with its columns as attributes."""
        return list(map(self._for(connection).row, self.rows(connection, values)))

    def run(self, connection: Connection, *values: Values) -> int:
        """Once for each set of values; returns how many rows were changed, which is right for one set only."""
        arguments = self._for(connection).arguments
        return self.run_rows(connection, [arguments(each) for each in values])

    def run_rows(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """The same for an INSERT, with the values of each row in the order of the table's columns."""
        compiled = self._for(connection)
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        try:
            if len(rows) == 1:
                cursor.execute(compiled.text, rows[0])
            else:
                cursor.executemany(compiled.text, rows)
            return int(cursor.rowcount)
        except connection.dialect.loaded_dbapi.Error as error:
            raise in_sqlalchemys_words(error, compiled.text, connection) from error
        finally:
            cursor.close()

    def _for(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        found = self._compiled.get(name)
        if found is None:
            statement = self._statement(name) if callable(self._statement) else self._statement
            found = self._compiled[name] = _Compiled(statement, name, self._columns)
        return found


def among(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether a text is one of the list that is given as value `name`: one statement, however long the list is."""
    if dialect == "sqlite":
        listed = func.json_each(bindparam(name, type_=_Texts())).table_valued("value")
        return column.in_(select(listed.c.value))
    return column == any_(bindparam(name, type_=ARRAY(Text)))


def in_sqlalchemys_words(error: Exception, text: str, connection: Connection) -> DBAPIError:
    """A driver's error as SQLAlchemy raises it, so that callers need not know who ran the statement."""
    made = DBAPIError.instance(text, None, error, connection.dialect.loaded_dbapi.Error, dialect=connection.dialect)
    assert isinstance(made, DBAPIError)
    return made


class _Texts(Text):
    """A list of texts, which SQLite is given as JSON."""


class _Compiled:
    """The text for one database, with `%s` or `?` for each value, and what is put there."""

    def __init__(self, statement: ClauseElement, dialect_name: str, columns: Sequence[str] | None) -> None:
        dialect = _positional(dialect_name)
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
        binds = [compiled.binds[place] for place in compiled.positiontup]
        for bind in binds:
            _check_plain(bind.type, dialect)
        self.text = str(compiled)
        self._places = tuple(compiled.positiontup)
        if columns is not None and tuple(columns) != self._places:
            raise TypeError(f"The columns {columns} are to be named in the order of the table: {self._places}.")
        self._fixed = {
            place: bind.value for place, bind in zip(self._places, binds, strict=True) if bind.value is not None
        }
        self._lists = [place for place, bind in enumerate(binds) if isinstance(bind.type, _Texts)]
        selected = getattr(statement, "selected_columns", ())
        row: Any = namedtuple("Row", [column.key for column in selected])  # type: ignore[misc]  # noqa: PYI024 - known only here
        self.row: Callable[[Sequence[Any]], Any] = row._make

    def arguments(self, values: Values) -> tuple[Any, ...]:
        """The values in the order of their places. Raises KeyError for one that is not given."""
        if self._fixed:
            values = {**self._fixed, **values}
        taken = [values[place] for place in self._places]
        for place in self._lists:
            taken[place] = msgspec.json.encode(taken[place]).decode()
        return tuple(taken)


def _positional(dialect_name: str) -> Dialect:
    if dialect_name == "sqlite":
        return sqlite.dialect()
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    return PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]


def _check_plain(kind: Any, dialect: Dialect) -> None:
    """Refuses types that SQLAlchemy converts on the way, which nobody would do here."""
    if isinstance(kind, LargeBinary | ARRAY | Float):
        return  # converted from what nobody gives: other sequences, and decimals
    if kind.dialect_impl(dialect).bind_processor(dialect) is not None:
        raise TypeError(f"{kind!r} cannot be given to the driver as it is; run the statement by SQLAlchemy.")
