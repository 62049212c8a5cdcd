"""Operations asked in statements of a size that engines take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from bailiwick.data.engines import plan
from bailiwick.data.engines.engine import Engine, Row

One = TypeVar("One")


def ask(engine: Engine, operation: plan.Operation) -> list[Row]:
    """The rows that answer an operation."""
    return engine.ask(engine.dialect.write(operation, engine.relation))


def in_parts(
    engine: Engine, asked: Sequence[One], operation: Callable[[tuple[One, ...]], plan.Operation]
) -> Iterator[tuple[int, list[Row]]]:
    """Answers to an operation `of` many things, with the place of the first thing that each tells of."""
    size = engine.dialect.most_at_once
    for start in range(0, len(asked), size):
        yield start, ask(engine, operation(tuple(asked[start : start + size])))
