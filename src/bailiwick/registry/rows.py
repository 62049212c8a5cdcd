"""Rows of the registry, read and locked. The row of a model is the lock of everything below it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, insert, select
from sqlalchemy.exc import IntegrityError

from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.registry.model import AliasChange, Model, ModelVersion
from bailiwick.registry.tables import alias_changes, aliases, models, versions
from bailiwick.store.records import Change

MAX_NUMBER = 2**31 - 1
AnyRow = Row[*tuple[Any, ...]]
DOCUMENTS = ("signature", "metrics", "slices", "parity", "environment", "parameters")


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


def version_of(row: AnyRow) -> ModelVersion:
    """The record of a row."""
    found = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
    found |= {name: msgspec.json.decode(found[name]) for name in DOCUMENTS}
    found["metrics"] = {name: math.nan if value is None else value for name, value in found["metrics"].items()}
    return ModelVersion(**found)


def load_versions(connection: Connection, workspace: str, *conditions: ColumnElement[bool]) -> list[ModelVersion]:
    """Versions that meet the conditions, highest number first."""
    query = select(versions).where(versions.c.workspace == workspace, *conditions)
    return [version_of(row) for row in connection.execute(query.order_by(versions.c.model, versions.c.number.desc()))]


def load_models(connection: Connection, workspace: str, *conditions: ColumnElement[bool]) -> list[Model]:
    """Models that meet the conditions by name, in three queries however many there are."""
    rows = connection.execute(
        select(models).where(models.c.workspace == workspace, *conditions).order_by(models.c.name)
    ).all()
    live = select(versions.c.model, func.count().label("live")).where(
        versions.c.workspace == workspace, versions.c.deleted.is_(None)
    )
    counts = {row.model: row.live for row in connection.execute(live.group_by(versions.c.model))}
    pointers: dict[str, dict[str, int]] = {row.name: {} for row in rows}
    pointing = select(aliases).where(aliases.c.workspace == workspace).order_by(aliases.c.alias)
    for row in connection.execute(pointing):
        pointers.setdefault(row.model, {})[row.alias] = row.number
    return [
        Model(**row._mapping, versions=counts.get(row.name, 0), aliases=pointers[row.name])  # noqa: SLF001
        for row in rows
    ]


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


def ensure_model(change: Change, name: str, description: str = "") -> bool:
    """Insert the model's row unless it is there; True when it was new."""
    row = {
        "workspace": change.workspace,
        "name": name,
        "description": description,
        "newest": 0,
        "created": change.time,
        "updated": change.time,
        "created_by": change.actor.identity,
    }
    here = (models.c.workspace == change.workspace, models.c.name == name)
    if change.execute(select(models.c.name).where(*here)).first() is not None:
        return False
    try:
        with change.connection.begin_nested():
            change.execute(insert(models).values(row))
    except IntegrityError:  # another transaction made it between the look and the insert
        return False
    return True


def lock_model(change: Change, name: str) -> None:
    """Hold the model until the transaction ends: writers of one model take turns. Raises NotFound."""
    here = (models.c.workspace == change.workspace, models.c.name == name)
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
    """Raises NotFound, with the nearest name there is."""
    names = list(connection.scalars(select(models.c.name).where(models.c.workspace == workspace)))
    if model not in names:
        raise NotFound.of("Model", model, names)
