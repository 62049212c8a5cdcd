"""SQL that people write as one expression, before it is put among our own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = deferred("duckdb")


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
