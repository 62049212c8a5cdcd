"""The order of a search as columns that are never null, so that a place in it is a list of values.

Something to sort by that a run may lack becomes two or three columns: whether it is there (a NaN metric after the
numbers, then what is missing, whichever way the rest goes), then its value. `started` and `id` end every order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import ColumnElement, FromClause, and_, case, func, or_

from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Ordering
from bailiwick.tracking.conditions import ALIASES, ATTRIBUTES, KEPT, NUMERIC, kept_as
from bailiwick.tracking.model import INT64_MAX
from bailiwick.tracking.tables import runs


@dataclass(frozen=True, slots=True)
class Term:
    """One column of an order, and the kind of its values in a page token."""

    column: ColumnElement[Any]
    ascending: bool
    kind: type


@dataclass(frozen=True, slots=True)
class Key:
    """One thing to sort by. `kept` is the table beside the runs that has its values, under the key `name`."""

    entity: str
    name: str
    ascending: bool
    kept: FromClause | None
    presence: tuple[Term, ...]
    values: tuple[Term, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """All columns."""
        return self.presence + self.values


WHOLE = Annotated[int, Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]
_STORABLE: Mapping[type, Any] = {int: WHOLE, float: float, str: Annotated[str, Meta(pattern=r"\A[^\x00]*\Z")]}

ID = Term(runs.c.id, ascending=True, kind=str)


def order_of(orderings: Sequence[Ordering], dialect: str) -> list[Key]:
    """The things to sort by, ended so that no two runs are equal. Raises InvalidInput for an unknown or repeated one."""
    keys: list[Key] = []
    seen: set[tuple[str, str]] = set()
    for ordering in orderings:
        key = _key(ordering, dialect, len(keys))
        if (key.entity, key.name) in seen:
            raise InvalidInput(f"`order_by` contains duplicate fields: {key.entity} {key.name!r}.")
        seen.add((key.entity, key.name))
        keys.append(key)
    if ("attribute", "start_time") not in seen:
        keys.append(_key(Ordering("attribute", "start_time", ascending=False), dialect, len(keys)))
    keys.append(Key("attribute", "run_id", ascending=True, kept=None, presence=(), values=(ID,)))
    return keys


def exact(column: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """A text in the order of code points, as SQLite has it, whatever the database's locale."""
    return column if dialect == "sqlite" else column.collate("C")


def after(terms: Sequence[Term], position: Sequence[Any]) -> ColumnElement[bool]:
    """What follows a place in the order, written so that the first column bounds a range of an index."""
    later: ColumnElement[bool] = _beyond(terms[-1], position[-1])
    for term, value in list(zip(terms, position, strict=True))[-2::-1]:
        later = or_(_beyond(term, value), and_(term.column == value, later))
    if len(terms) == 1:
        return later
    first, value = terms[0], position[0]
    return and_(first.column >= value if first.ascending else first.column <= value, later)


def kinds_of(terms: Sequence[Term]) -> tuple[Any, ...]:
    """What a page token may hold for these terms: values that every database can be asked about."""
    return tuple(_STORABLE[term.kind] for term in terms)


def sorted_by(terms: Sequence[Term]) -> list[ColumnElement[Any]]:
    """For ORDER BY."""
    return [term.column if term.ascending else term.column.desc() for term in terms]


def _beyond(term: Term, value: Any) -> ColumnElement[bool]:
    later: ColumnElement[bool] = term.column > value if term.ascending else term.column < value
    return later


def _key(ordering: Ordering, dialect: str, place: int) -> Key:
    if ordering.entity == "attribute":
        return _attribute(ordering, dialect)
    if ordering.entity not in KEPT:
        raise InvalidInput(f"Runs cannot be sorted by {ordering.entity} {ordering.key!r}.")
    kept = kept_as(ordering.entity, f"ordered_{place}")
    columns = kept.c
    if ordering.entity == "metric":
        presence = case((columns.is_nan == 1, 1), (columns.run_id.is_(None), 2), else_=0)
        values = [Term(func.coalesce(columns.value, 0.0), ordering.ascending, float)]
    else:
        presence = case((columns.run_id.is_(None), 1), else_=0)
        texts = (columns.head, exact(columns.value, dialect))
        values = [Term(func.coalesce(column, ""), ordering.ascending, str) for column in texts]
    there = Term(presence, ascending=True, kind=int)
    return Key(ordering.entity, ordering.key, ordering.ascending, kept, (there,), tuple(values))


def _attribute(ordering: Ordering, dialect: str) -> Key:
    name = ALIASES.get(ordering.key, ordering.key)
    if name not in ATTRIBUTES:
        raise InvalidInput.choice("Run attribute", ordering.key, ATTRIBUTES)
    column, kind = ATTRIBUTES[name], int if name in NUMERIC else str
    presence: tuple[Term, ...] = ()
    if name == "end_time":
        presence = (Term(case((column.is_(None), 1), else_=0), ascending=True, kind=int),)
        column = func.coalesce(column, 0)
    elif name not in {"start_time", "run_id"}:
        column = exact(column, dialect)
    return Key("attribute", name, ordering.ascending, None, presence, (Term(column, ordering.ascending, kind),))
