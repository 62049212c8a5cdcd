"""Comparators of the search language as SQL that means the same on SQLite and PostgreSQL."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Double, and_, func, literal, or_

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.core.filters import Clause

TEXT_COMPARATORS = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
NUMBER_COMPARATORS = ("<", "<=", ">", ">=", "=", "!=")
MAX_PATTERN = 1_000

_TO_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def text_condition(column: ColumnElement[str], clause: Clause, dialect: str) -> ColumnElement[bool]:
    """Whether a text meets a clause. Raises InvalidInput for a comparator or value that texts do not have."""
    require_comparator(clause, TEXT_COMPARATORS)
    if not isinstance(clause.value, str | tuple):
        raise InvalidInput(f"{named(clause)} is a text; put {clause.value!r} in quotes.")
    return compared(column, clause, dialect)


def number_condition(column: ColumnElement[Any], clause: Clause) -> ColumnElement[bool]:
    """Whether a number meets a clause. Raises InvalidInput for a comparator or value that numbers do not have."""
    require_comparator(clause, NUMBER_COMPARATORS)
    if not isinstance(clause.value, int | float):
        raise InvalidInput(f"{named(clause)} is a number; {clause.value!r} is none.")
    met: ColumnElement[bool] = OPERATORS[clause.comparator](column, literal(_double(clause.value), Double))
    return met


def compared(column: ColumnElement[Any], clause: Clause, dialect: str) -> ColumnElement[bool]:
    """A column compared with the clause's value: LIKE minds the case, ILIKE does not, neither has an escape character.

    Raises LimitExceeded for a pattern that is longer than databases take.
    """
    value: Any = clause.value
    if clause.comparator in OPERATORS:
        met: ColumnElement[bool] = OPERATORS[clause.comparator](column, value)
        return met
    if clause.comparator in {"IN", "NOT IN"}:
        return column.in_(value) if clause.comparator == "IN" else column.not_in(value)
    if len(value) > MAX_PATTERN:
        raise LimitExceeded(
            f"A pattern has at most {MAX_PATTERN} characters; that of {named(clause)} has {len(value)}."
        )
    if clause.comparator == "ILIKE":
        column, value = func.lower(column), func.lower(value)
    elif dialect == "sqlite":  # its LIKE ignores the case of ASCII letters, its GLOB does not
        return column.op("GLOB", is_comparison=True)(value.translate(_TO_GLOB))
    return column.like(value) if dialect == "sqlite" else column.like(value, escape="")


def measured_condition(value: ColumnElement[float], is_nan: ColumnElement[int], clause: Clause) -> ColumnElement[bool]:
    """Whether a measurement meets a clause; NaN is unequal to everything and meets nothing else."""
    met = number_condition(value, clause)
    return or_(is_nan == 1, met) if clause.comparator == "!=" else and_(is_nan == 0, met)


def named(clause: Clause) -> str:
    """The clause's subject as one writes it."""
    return f"{clause.entity}.{clause.key}"


def require_comparator(clause: Clause, known: tuple[str, ...]) -> None:
    """Raises InvalidInput for a comparator that is not among `known`."""
    if clause.comparator not in known:
        raise InvalidInput(
            f"Invalid comparison operator for {named(clause)}: {clause.comparator!r}. "
            f"Expected one of: {' '.join(known)}."
        )


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
