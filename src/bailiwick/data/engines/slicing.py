"""Slices of what an engine holds, by the values of a column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import ask
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.model import Kind
from bailiwick.data.statistics.slicing import MOST_SLICES


def slices_on(engine: Engine, column: str) -> Iterator[tuple[str, Engine]]:
    """Each value of a column of text, whole numbers or booleans as `COLUMN_VALUE`, with the engine over its rows, which is
    closed before the next is opened. Raises InvalidInput for another column, and for more than `MOST_SLICES` values.
    """
    columns = {each.name: each for each in engine.columns()}
    if column not in columns:
        raise InvalidInput.choice("Column to slice by", column, columns)
    found = columns[column]
    if found.depth or found.kind not in {Kind.TEXT, Kind.WHOLE, Kind.BOOLEAN}:
        raise InvalidInput(f"Column {column!r} holds {found.native or found.kind.value}; slices on an engine are by text, "
                           "whole numbers or booleans.")  # fmt: skip
    rows = ask(engine, plan.Top((plan.Ranking(found, MOST_SLICES + 1, earlier=True),)))
    if len(rows) > MOST_SLICES:
        raise InvalidInput(f"Column {column!r} has more than {MOST_SLICES} values; slices are made of at most so many.")
    for value in sorted(str(row[1]) for row in rows):
        told = value.capitalize() if found.kind is Kind.BOOLEAN else value
        with closing(engine.over(engine.dialect.where(engine.relation, found, value), engine.name)) as part:
            yield f"{column}_{told}", part
