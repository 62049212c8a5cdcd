"""What engines behind a DB-API connection share: a cursor a statement, and its errors as ours."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from bailiwick.core.errors import InvalidInput, Unavailable
from bailiwick.data.engines.engine import Row


def rows_of(connection: Any, sql: str, *, name: str, engine: str) -> list[Row]:
    """All rows of a statement. Raises InvalidInput for SQL that is refused, Unavailable for anything else that fails."""
    with closing(connection.cursor()) as cursor:
        try:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]
        except Exception as error:  # of the vendor's tree, told apart by PEP 249's names; others go on
            raise as_ours(error, name=name, engine=engine) from error


def as_ours(error: Exception, *, name: str, engine: str) -> Exception:
    """The error of ours for one of PEP 249's tree, by the name of its class; others as they are."""
    names = {kind.__name__ for kind in type(error).__mro__}
    told = f"{name} on {engine}: {str(error).strip().partition(chr(10))[0].rstrip('.')}."
    if names & {"ProgrammingError", "DataError", "NotSupportedError", "ServerOperationError"}:
        return InvalidInput(told)
    return Unavailable(told) if names & {"Error", "DatabaseError", "InterfaceError"} else error
