"""Finding experiments by filter, in any order, a page at a time. There are few enough of them to be sorted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, exists, select

from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Clause, Ordering
from bailiwick.core.paging import page_position, page_token
from bailiwick.tracking.conditions import LISTS, NULLS, NUMBERS, TEXTS, with_value
from bailiwick.tracking.experiments import with_tags
from bailiwick.tracking.matching import compared
from bailiwick.tracking.model import Experiment, Page, View
from bailiwick.tracking.ordering import Term, after, exact, kinds_of, sorted_by
from bailiwick.tracking.tables import experiment_tags, experiments

ENTITIES = {
    **dict.fromkeys(("attribute", "attributes", "attr"), "attribute"),
    **dict.fromkeys(("tag", "tags"), "tag"),
}
"""Words before the dot of a key in a search of experiments, and the one name each stands for."""

ID = Term(cast(experiments.c.id, BigInteger), ascending=True, kind=int)
NUMERIC: Mapping[str, ColumnElement[Any]] = {
    "creation_time": experiments.c.created,
    "last_update_time": experiments.c.updated,
}
ATTRIBUTES = ("creation_time", "experiment_id", "last_update_time", "name")
_NUMBER = re.compile(r"-?[0-9]{1,40}")
NEWEST_FIRST = (Ordering("attribute", "creation_time", ascending=False),)


def find_experiments(
    connection: Connection,
    workspace: str,
    clauses: Sequence[Clause],
    orderings: Sequence[Ordering],
    *,
    view: View,
    limit: int,
    token: str,
    root: str,
) -> Page[Experiment]:
    """One page. Raises InvalidInput for a clause or an order that makes no sense, and for a token of another search."""
    dialect = connection.dialect.name
    terms = [_term(ordering, dialect) for ordering in orderings or NEWEST_FIRST] + [ID]
    asked: list[list[object]] = [[each.entity, each.key, each.comparator, each.value] for each in clauses]
    asked += [[each.entity, each.key, each.ascending] for each in orderings] + [[view]]
    query = select(experiments, *(term.column.label(f"t{place}") for place, term in enumerate(terms)))
    query = query.where(experiments.c.workspace == workspace, experiments.c.lifecycle.in_(view.lifecycles))
    query = query.where(*(_condition(clause, dialect) for clause in clauses))
    if token:
        query = query.where(after(terms, page_position(token, asked, kinds_of(terms))))
    rows = connection.execute(query.order_by(*sorted_by(terms)).limit(limit + 1)).all()
    found = with_tags(connection, workspace, rows[:limit], root=root)
    if len(rows) <= limit:
        return Page(found, "")
    last = rows[limit - 1]._mapping  # noqa: SLF001 - the documented access by name
    return Page(found, page_token([last[f"t{place}"] for place in range(len(terms))], asked))


def _condition(clause: Clause, dialect: str) -> ColumnElement[bool]:
    if clause.entity == "tag":
        return _tag(clause, dialect)
    if clause.key in NUMERIC:
        return compared(NUMERIC[clause.key], with_value(clause, NUMBERS, int), dialect)
    if clause.key == "experiment_id":
        with_value(clause, frozenset({"=", "!="}) | LISTS, str, int, tuple)
        values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
        ids = [experiment_number(str(value)) for value in values]
        inside = experiments.c.id.in_(ids)
        return inside if clause.comparator in {"=", "IN"} else ~inside
    if clause.key == "name":
        return compared(experiments.c.name, with_value(clause, TEXTS, str), dialect)
    raise InvalidInput.choice("Experiment attribute", clause.key, ATTRIBUTES)


def _tag(clause: Clause, dialect: str) -> ColumnElement[bool]:
    columns = experiment_tags.c
    of_experiment = (columns.workspace == experiments.c.workspace, columns.experiment_id == experiments.c.id)
    found = select(1).where(*of_experiment, columns.key == clause.key)
    if clause.comparator in NULLS:
        return exists(found) if clause.comparator == "IS NOT NULL" else ~exists(found)
    return exists(found.where(compared(columns.value, with_value(clause, TEXTS | NULLS, str), dialect)))


def experiment_number(text: str) -> str:
    """The id as it is kept: a whole number without leading zeros. Raises InvalidInput."""
    if not _NUMBER.fullmatch(text):
        raise InvalidInput(f"Invalid experiment ID '{text[:100]}'. Experiment ID must be a valid integer.")
    return str(int(text))


def _term(ordering: Ordering, dialect: str) -> Term:
    if ordering.entity != "attribute" or ordering.key not in ATTRIBUTES:
        raise InvalidInput.choice("Experiment attribute", ordering.key, ATTRIBUTES)
    if ordering.key == "experiment_id":
        return Term(ID.column, ordering.ascending, int)
    if ordering.key == "name":
        return Term(exact(experiments.c.name, dialect), ordering.ascending, str)
    return Term(NUMERIC[ordering.key], ordering.ascending, int)
