"""Rows of the registry, read and locked. The row of a model is the lock of everything below it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.registry.model import AliasChange, Model, ModelVersion, StageChange
from bailiwick.registry.tables import (
    alias_changes,
    aliases,
    model_tags,
    models,
    stage_changes,
    version_tags,
    versions,
)
from bailiwick.store.records import Change

MAX_NUMBER = 2**31 - 1
BATCH = 500
Item = TypeVar("Item")
AnyRow = Row[*tuple[Any, ...]]
DOCUMENTS = ("signature", "metrics", "slices", "parity", "environment", "parameters", "content")


def encode(what: str, document: Mapping[str, Any]) -> str:
    """JSON text; NaN and infinities, which JSON lacks, become null. Raises InvalidInput naming the document."""
    try:
        return msgspec.json.encode(dict(document), enc_hook=_plain_number, order="deterministic").decode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The {what} of a version must be JSON: {error}.") from error


def _plain_number(value: object) -> float:
    """NumPy's scalars are numbers to Python, and not to JSON encoders."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


def version_of(row: AnyRow, tags: Mapping[str, str], aliases_: Iterable[str]) -> ModelVersion:
    """The record of a row."""
    found = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
    found |= {name: msgspec.json.decode(found[name]) for name in DOCUMENTS}
    found["metrics"] = {name: math.nan if value is None else value for name, value in found["metrics"].items()}
    return ModelVersion(**found, tags=tags, aliases=tuple(aliases_))


def versions_of(connection: Connection, workspace: str, rows: Sequence[AnyRow]) -> list[ModelVersion]:
    """The records of rows with their tags and aliases, in two more queries for each few hundred."""
    tags: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    pointing: dict[tuple[str, int], list[str]] = defaultdict(list)
    for some in _batches(rows):
        names, numbers = {row.model for row in some}, {row.number for row in some}
        here = (version_tags.c.model.in_(names), version_tags.c.number.in_(numbers))
        tagged = select(version_tags).where(version_tags.c.workspace == workspace, *here)
        for row in connection.execute(tagged.order_by(version_tags.c.key)):
            tags[row.model, row.number][row.key] = row.value
        there = (aliases.c.model.in_(names), aliases.c.number.in_(numbers))
        pointed = select(aliases).where(aliases.c.workspace == workspace, *there)
        for row in connection.execute(pointed.order_by(aliases.c.alias)):
            pointing[row.model, row.number].append(row.alias)
    places = [(row, (row.model, row.number)) for row in rows]
    return [version_of(row, tags.get(place, {}), pointing.get(place, ())) for row, place in places]


def load_versions(connection: Connection, workspace: str, *conditions: ColumnElement[bool]) -> list[ModelVersion]:
    """Versions that meet the conditions, highest number first."""
    query = select(versions).where(versions.c.workspace == workspace, *conditions)
    rows = connection.execute(query.order_by(versions.c.model, versions.c.number.desc())).all()
    return versions_of(connection, workspace, rows)


def models_of(connection: Connection, workspace: str, rows: Sequence[AnyRow]) -> list[Model]:
    """The records of rows with their tags, aliases and counts, in three more queries for each few hundred."""
    counts: dict[str, int] = {}
    tags: dict[str, dict[str, str]] = {row.name: {} for row in rows}
    pointers: dict[str, dict[str, int]] = {row.name: {} for row in rows}
    for some in _batches(sorted(tags)):
        living = (versions.c.workspace == workspace, versions.c.model.in_(some), versions.c.deleted.is_(None))
        live = select(versions.c.model, func.count().label("live")).where(*living).group_by(versions.c.model)
        counts |= {row.model: row.live for row in connection.execute(live)}
        there = (aliases.c.workspace == workspace, aliases.c.model.in_(some))
        for row in connection.execute(select(aliases).where(*there).order_by(aliases.c.alias)):
            pointers[row.model][row.alias] = row.number
        here = (model_tags.c.workspace == workspace, model_tags.c.model.in_(some))
        for row in connection.execute(select(model_tags).where(*here).order_by(model_tags.c.key)):
            tags[row.model][row.key] = row.value
    return [
        Model(**row._mapping, versions=counts.get(row.name, 0), aliases=pointers[row.name], tags=tags[row.name])  # noqa: SLF001
        for row in rows
    ]


def load_models(connection: Connection, workspace: str, *conditions: ColumnElement[bool]) -> list[Model]:
    """Models that are not deleted and meet the conditions, by name."""
    query = select(models).where(models.c.workspace == workspace, models.c.deleted.is_(None), *conditions)
    return models_of(connection, workspace, connection.execute(query.order_by(models.c.name)).all())


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Few enough at a time for the parameters of one statement."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def load_aliases(connection: Connection, workspace: str, model: str) -> dict[str, int]:
    """Version number by alias, in order of the alias."""
    here = (aliases.c.workspace == workspace, aliases.c.model == model)
    return {row.alias: row.number for row in connection.execute(select(aliases).where(*here).order_by(aliases.c.alias))}


def load_history(connection: Connection, workspace: str, model: str, alias: str | None = None) -> list[AliasChange]:
    """Changes of one alias, or of all aliases of a model, oldest first."""
    changed = alias_changes.c
    query = select(*[changed[name] for name in AliasChange.__slots__])
    query = query.where(changed.workspace == workspace, changed.model == model)
    if alias is not None:
        query = query.where(changed.alias == alias)
    return [AliasChange(**row._mapping) for row in connection.execute(query.order_by(changed.sequence))]  # noqa: SLF001


def load_stage_history(connection: Connection, workspace: str, model: str) -> list[StageChange]:
    """Every change of stage of a model's versions, oldest first."""
    changed = stage_changes.c
    query = select(*[changed[name] for name in StageChange.__slots__])
    query = query.where(changed.workspace == workspace, changed.model == model)
    return [StageChange(**row._mapping) for row in connection.execute(query.order_by(changed.sequence))]  # noqa: SLF001


def ensure_model(change: Change, name: str, description: str = "") -> bool:
    """Make the model unless it is there; True when it was new. A deleted name is taken up anew, its numbers are not."""
    here = (models.c.workspace == change.workspace, models.c.name == name)
    fresh = {
        "description": description,
        "created": change.time,
        "updated": change.time,
        "created_by": change.actor.identity,
        "deleted": None,
    }
    found = change.execute(select(models.c.deleted).where(*here).with_for_update(key_share=True)).first()
    if found is not None and found.deleted is None:
        return False
    if found is not None:
        change.execute(update(models).where(*here).values(fresh))
        change.execute(delete(model_tags).where(model_tags.c.workspace == change.workspace, model_tags.c.model == name))
        return True
    try:
        with change.connection.begin_nested():
            change.execute(insert(models).values(workspace=change.workspace, name=name, newest=0, **fresh))
    except IntegrityError:  # another transaction made it between the look and the insert
        return False
    return True


def lock_model(change: Change, name: str) -> None:
    """Hold the model until the transaction ends: writers of one model take turns. Raises NotFound."""
    here = (models.c.workspace == change.workspace, models.c.name == name, models.c.deleted.is_(None))
    if change.execute(select(models.c.name).where(*here).with_for_update(key_share=True)).first() is None:
        require_model(change.connection, change.workspace, name)


def find_version(
    connection: Connection, workspace: str, model: str, number: int, *, deleted: bool = False
) -> ModelVersion:
    """One version; a deleted one only with `deleted`. Raises NotFound, saying what there is."""
    here = (versions.c.model == model, versions.c.number == number)
    found = load_versions(connection, workspace, *here) if 0 < number <= MAX_NUMBER else []
    if found and (deleted or found[0].deleted is None):
        return found[0]
    if found:
        raise NotFound(f"Version {number} of model {model!r} is deleted.", hint="Restore it to use it again.")
    numbers = select(versions.c.number).where(
        versions.c.workspace == workspace, versions.c.model == model, versions.c.deleted.is_(None)
    )
    listed = ", ".join(map(str, connection.scalars(numbers.order_by(versions.c.number.desc()).limit(12))))
    require_model(connection, workspace, model)
    raise NotFound(f"Model {model!r} has no version {number}. There are: {listed or 'none'}.")


def require_model(connection: Connection, workspace: str, model: str) -> None:
    """Raises NotFound, with the nearest name there is (of a thousand)."""
    living = (models.c.workspace == workspace, models.c.deleted.is_(None))
    if connection.execute(select(models.c.name).where(*living, models.c.name == model)).first() is None:
        names = select(models.c.name).where(*living).order_by(models.c.name).limit(1_000)
        raise NotFound.of("Model", model, connection.scalars(names))


def require_live(version: ModelVersion) -> ModelVersion:
    """The version, unless it is a tombstone. Raises Conflict."""
    if version.purged is not None:
        raise Conflict(
            f"Version {version.number} of model {version.model!r} was purged; what it was cannot be brought back."
        )
    return version
