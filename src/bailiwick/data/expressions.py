"""SQL that people write as one expression, before it is put among our own."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = deferred("duckdb")


MOST_SECONDS = 1800.0
"""How long one expression may take over all rows."""


class Meant(NamedTuple):
    """What an expression is for, and one that would do."""

    use: str
    example: str


OF_A_ROW = Meant("is true or false of a row", "an expression over the columns, e.g. `arrival >= departure`")
OF_ALL_ROWS = Meant("sums up rows", "an aggregate over the columns, e.g. `quantile_cont(arr_delay, 0.99)`")


def one_expression(expression: str, name: str, meant: Meant = OF_A_ROW) -> str:
    """The expression, if it is one: DuckDB parses it alone, so that it cannot close the bracket that it is put into."""
    with duckdb.connect() as parser:
        try:
            statements = parser.extract_statements(f"SELECT {expression}\n")
            alone = parser.extract_statements(f"SELECT ({expression}\n)")
        except duckdb.Error as error:
            raise not_sql(name, expression, error, meant) from error
    if len(statements) != 1 or len(alone) != 1:
        raise InvalidInput(f"{name!r}: {expression!r} is more than one statement; it should be one expression.")
    return expression


def not_sql(what: str, expression: str, error: Exception, meant: Meant = OF_A_ROW) -> InvalidInput:
    """What to raise for an expression that DuckDB does not take."""
    first = re.split(r"\n\s*\n|\nLINE ", str(error))[0].strip().rstrip(".")
    return InvalidInput(
        f"{what}: {expression!r} is not SQL that {meant.use}: {first}.", hint=f"It should be {meant.example}."
    )


def refuse_alike(names: Sequence[str]) -> None:
    """DuckDB takes names that differ in the case of letters for one, and would answer of the first. Raises InvalidInput."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise InvalidInput(
                f"Columns {other!r} and {name!r} have the same name in SQL, letter case aside.",
                hint="Rename one of them.",
            )


@contextmanager
def within(connection: duckdb.DuckDBPyConnection, what: str, expression: str) -> Iterator[None]:
    """What an expression does in here ends after `MOST_SECONDS`, with InvalidInput."""
    timer = threading.Timer(MOST_SECONDS, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise InvalidInput(
            f"{what}: {expression!r} took more than {MOST_SECONDS:g} seconds.",
            hint="It should look at one row; a subquery is computed over all rows.",
        ) from error
    finally:
        timer.cancel()
