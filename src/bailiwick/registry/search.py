"""Searching models and versions: parsed clauses as SQL conditions, and pages that go on where the last one ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    exists,
    func,
    not_,
    or_,
    select,
)

from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Clause, Ordering
from bailiwick.core.paging import page_position, page_token
from bailiwick.registry.model import Model, ModelVersion
from bailiwick.registry.rows import MAX_NUMBER, AnyRow, models_of, versions_of
from bailiwick.registry.sources import PROMPT_TAG
from bailiwick.registry.tables import model_tags, models, version_tags, versions

ATTRIBUTE, TAG = "attribute", "tag"
ENTITIES: Mapping[str, str] = {"attribute": ATTRIBUTE, "attributes": ATTRIBUTE, "tag": TAG, "tags": TAG}
"""Words that may stand before the dot in a filter of models or versions."""

TEXT_COMPARATORS = ("=", "!=", "LIKE", "ILIKE")
NUMBER_COMPARATORS = ("=", "!=", ">", ">=", "<", "<=")
T = TypeVar("T")
_GLOB_SIGNS = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of what was found; `token` fetches the next page and is empty on the last one."""

    items: list[T]
    token: str


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is searched: its rows, their tags, and which columns go by which names. `listed` take IN and NOT IN."""

    table: Table
    tags: Table
    tag_columns: tuple[tuple[Column[Any], Column[Any]], ...]
    model: Column[Any]
    attributes: Mapping[str, Column[Any]]
    listed: frozenset[str]
    sortable: Mapping[str, Column[Any]]
    tie: tuple[tuple[Column[Any], bool], ...]


_MODELS = _Subject(
    table=models,
    tags=model_tags,
    tag_columns=((model_tags.c.model, models.c.name),),
    model=models.c.name,
    attributes={"name": models.c.name},
    listed=frozenset({"name"}),
    sortable={
        "name": models.c.name,
        "timestamp": models.c.updated,
        "last_updated_timestamp": models.c.updated,
        "creation_timestamp": models.c.created,
    },
    tie=((models.c.name, True),),
)
_VERSIONS = _Subject(
    table=versions,
    tags=version_tags,
    tag_columns=((version_tags.c.model, versions.c.model), (version_tags.c.number, versions.c.number)),
    model=versions.c.model,
    attributes={
        "name": versions.c.model,
        "version_number": versions.c.number,
        "run_id": versions.c.run_id,
        "source_path": versions.c.source,
    },
    listed=frozenset({"name", "run_id"}),
    sortable={
        "name": versions.c.model,
        "version_number": versions.c.number,
        "creation_timestamp": versions.c.created,
        "last_updated_timestamp": versions.c.updated,
    },
    tie=((versions.c.model, True), (versions.c.number, False)),
)
NEWEST_VERSIONS_FIRST = (Ordering(ATTRIBUTE, "last_updated_timestamp", ascending=False),)


def find_models(
    connection: Connection,
    workspace: str,
    clauses: Sequence[Clause],
    orderings: Sequence[Ordering],
    *,
    limit: int,
    token: str,
) -> Page[Model]:
    """A page of models, by name unless another order is asked for."""
    rows, following = _page(connection, workspace, _MODELS, clauses, orderings, limit=limit, token=token)
    return Page(models_of(connection, workspace, rows), following)


def find_versions(
    connection: Connection,
    workspace: str,
    clauses: Sequence[Clause],
    orderings: Sequence[Ordering],
    *,
    limit: int,
    token: str,
) -> Page[ModelVersion]:
    """A page of versions that are not deleted, the last changed first unless another order is asked for."""
    chosen = orderings or NEWEST_VERSIONS_FIRST
    rows, following = _page(connection, workspace, _VERSIONS, clauses, chosen, limit=limit, token=token)
    return Page(versions_of(connection, workspace, rows), following)


def _page(
    connection: Connection,
    workspace: str,
    subject: _Subject,
    clauses: Sequence[Clause],
    orderings: Sequence[Ordering],
    *,
    limit: int,
    token: str,
) -> tuple[list[AnyRow], str]:
    keys = _sort_keys(subject, orderings)
    query: Select[Any] = select(subject.table).where(*_conditions(connection, workspace, subject, clauses))
    asked = [str(subject.table.name), workspace, *map(astuple, clauses), *map(astuple, orderings)]
    if token:
        position = page_position(token, asked, tuple(column.type.python_type for column, _ in keys))
        query = query.where(_after(keys, [_storable(value) for value in position]))
    ordered = query.order_by(*(column.asc() if ascending else column.desc() for column, ascending in keys))
    rows = list(connection.execute(ordered.limit(limit + 1)))
    if len(rows) <= limit:
        return rows, ""
    last = rows[limit - 1]._mapping  # noqa: SLF001 - the documented way to a row's columns by name
    return rows[:limit], page_token([last[column.name] for column, _ in keys], asked)


def _storable(value: Any) -> Any:
    """What a driver can send, of a token that anyone may have written."""
    if isinstance(value, str) and "\x00" in value:
        raise InvalidInput("A page_token holds a NUL; it is not one that was given here.")
    return max(-(2**62), min(value, 2**62)) if isinstance(value, int) else value


def _sort_keys(subject: _Subject, orderings: Sequence[Ordering]) -> list[tuple[Column[Any], bool]]:
    keys: dict[Column[Any], bool] = {}
    for ordering in orderings:
        column = subject.sortable.get(ordering.key) if ordering.entity == ATTRIBUTE else None
        if column is None:
            raise InvalidInput.choice("Invalid order by key", ordering.key, subject.sortable)
        if column in keys:
            raise InvalidInput(f"order_by contains duplicate fields: {ordering.key!r} is given twice.")
        keys[column] = ordering.ascending
    for column, ascending in subject.tie:
        keys.setdefault(column, ascending)
    return list(keys.items())


def _after(keys: Sequence[tuple[Column[Any], bool]], position: Sequence[Any]) -> ColumnElement[bool]:
    """Rows behind a position in the order of the keys, whose directions may differ."""
    (column, ascending), *rest = keys
    if column.type.python_type is int and not isinstance(column.type, BigInteger):
        position = [max(0, min(position[0], MAX_NUMBER)), *position[1:]]
    beyond = column > position[0] if ascending else column < position[0]
    return or_(beyond, and_(column == position[0], _after(rest, position[1:]))) if rest else beyond


def _conditions(
    connection: Connection, workspace: str, subject: _Subject, clauses: Sequence[Clause]
) -> list[ColumnElement[bool]]:
    sqlite = connection.dialect.name == "sqlite"
    conditions = [subject.table.c.workspace == workspace, subject.table.c.deleted.is_(None)]
    of_prompts = [clause for clause in clauses if clause.entity == TAG and clause.key == PROMPT_TAG]
    conditions.append(_kind_of_text(subject, of_prompts))
    for clause in clauses:
        if clause.entity == ATTRIBUTE:
            conditions.append(_attribute(subject, clause, sqlite=sqlite))
        elif clause not in of_prompts:
            conditions.append(_tag(subject, clause, sqlite=sqlite))
    return conditions


def _kind_of_text(subject: _Subject, clauses: Sequence[Clause]) -> ColumnElement[bool]:
    """Prompts are found only when they are asked for; a model without the tag is none. So does every MLflow client expect."""
    wanted = any(
        (clause.comparator, str(clause.value).lower()) in {("=", "true"), ("!=", "false")} for clause in clauses
    )
    prompt = exists().where(
        model_tags.c.workspace == subject.table.c.workspace,
        model_tags.c.model == subject.model,
        model_tags.c.key == PROMPT_TAG,
        func.lower(model_tags.c.value) == "true",
    )
    return prompt if wanted else not_(prompt)


def _attribute(subject: _Subject, clause: Clause, *, sqlite: bool) -> ColumnElement[bool]:
    column = subject.attributes.get(clause.key)
    if column is None:
        raise InvalidInput.choice("Invalid attribute key", clause.key, subject.attributes)
    if column.type.python_type is int:
        return _number(column, clause)
    if clause.comparator in {"IN", "NOT IN"} and clause.key in subject.listed:
        assert isinstance(clause.value, tuple)
        return column.in_(clause.value) if clause.comparator == "IN" else column.not_in(clause.value)
    return _text(column, clause, sqlite=sqlite)


def _tag(subject: _Subject, clause: Clause, *, sqlite: bool) -> ColumnElement[bool]:
    """`!=` finds what has the tag with another value, as everywhere in MLflow."""
    tags = subject.tags
    joined = [tag_column == column for tag_column, column in subject.tag_columns]
    value = _text(tags.c.value, clause, sqlite=sqlite)
    return exists().where(tags.c.workspace == subject.table.c.workspace, *joined, tags.c.key == clause.key, value)


def _text(column: Column[Any], clause: Clause, *, sqlite: bool) -> ColumnElement[bool]:
    if clause.comparator not in TEXT_COMPARATORS:
        raise InvalidInput.choice(
            f"Invalid comparator for {clause.entity} {clause.key!r}:", clause.comparator, TEXT_COMPARATORS
        )
    if not isinstance(clause.value, str):
        raise InvalidInput(f"{clause.entity} {clause.key!r} is compared with a text in quotes, not {clause.value!r}.")
    if "\x00" in clause.value:
        raise InvalidInput(f"The value for {clause.key!r} holds a NUL, which no text here can.")
    if clause.comparator == "=":
        return column == clause.value
    if clause.comparator == "!=":
        return column != clause.value
    if clause.comparator == "ILIKE":
        return func.lower(column).like(func.lower(clause.value), escape=None if sqlite else "")
    # SQLite's LIKE looks at no case and has no setting for one statement; its GLOB does look.
    return column.op("GLOB")(_glob(clause.value)) if sqlite else column.like(clause.value, escape="")


def _glob(pattern: str) -> str:
    """A LIKE pattern in the signs of GLOB. A backslash is a letter like any other, on both databases."""
    return pattern.translate(_GLOB_SIGNS)


def _number(column: Column[Any], clause: Clause) -> ColumnElement[bool]:
    if clause.comparator not in NUMBER_COMPARATORS:
        raise InvalidInput.choice(
            f"Invalid comparator for attribute {clause.key}:", clause.comparator, NUMBER_COMPARATORS
        )
    try:
        value = int(clause.value) if isinstance(clause.value, int | str) else None
    except ValueError:
        value = None
    if value is None:
        raise InvalidInput(f"Invalid value for numeric attribute {clause.key!r}: {clause.value!r} is no whole number.")
    bounded = max(0, min(value, MAX_NUMBER))  # neither is a version, and both are within what a driver can send
    outcomes: Mapping[str, ColumnElement[bool]] = {
        "=": column == bounded,
        "!=": column != bounded,
        ">": column > bounded,
        ">=": column >= bounded,
        "<": column < bounded,
        "<=": column <= bounded,
    }
    return outcomes[clause.comparator]
