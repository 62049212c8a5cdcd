"""Rows of logged models: read a page at a time with everything that belongs to them, held before they are changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from bailiwick.core.errors import Conflict
from bailiwick.store.records import Change
from bailiwick.tracking.logged_models.metrics import load_metrics
from bailiwick.tracking.logged_models.model import LoggedModel, is_model_id, not_found
from bailiwick.tracking.logged_models.tables import logged_models, model_params, model_tags
from bailiwick.tracking.model import Lifecycle
from bailiwick.tracking.tables import insert_into

IDS_PER_QUERY = 500
AnyRow = Row[*tuple[Any, ...]]


def load_models(connection: Connection, workspace: str, ids: Sequence[str]) -> list[LoggedModel]:
    """The models with these ids, deleted ones too, in the order of `ids`. Four queries per 500 models."""
    found: dict[str, LoggedModel] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        chunk = ids[start : start + IDS_PER_QUERY]
        query = select(logged_models).where(logged_models.c.workspace == workspace, logged_models.c.id.in_(chunk))
        params, tags = _texts(connection, model_params, chunk), _texts(connection, model_tags, chunk)
        metrics = load_metrics(connection, chunk)
        for row in connection.execute(query):
            values: dict[str, Any] = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
            found[row.id] = LoggedModel(
                **values, params=params[row.id], tags=tags[row.id], metrics=tuple(metrics[row.id])
            )
    return [found[model_id] for model_id in ids if model_id in found]


def load_model(connection: Connection, workspace: str, model_id: str, *, deleted: bool = False) -> LoggedModel:
    """One model; a deleted one only with `deleted`. Raises NotFound."""
    found = load_models(connection, workspace, [model_id]) if is_model_id(model_id) else []
    if not found or (found[0].lifecycle == Lifecycle.DELETED and not deleted):
        raise not_found(model_id)
    return found[0]


def lock_model(change: Change, model_id: str, *, deleted: bool = False) -> AnyRow:
    """The model's row, held until the transaction ends, so that writers of one model take turns. Raises NotFound."""
    if not is_model_id(model_id):
        raise not_found(model_id)
    query = select(logged_models).where(logged_models.c.workspace == change.workspace, logged_models.c.id == model_id)
    row: AnyRow | None = change.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None or (row.lifecycle == Lifecycle.DELETED and not deleted):
        raise not_found(model_id)
    return row


def require_models(connection: Connection, workspace: str, ids: Iterable[str]) -> None:
    """Raises NotFound naming the first id that is no model of this workspace; deleted ones count as known."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), IDS_PER_QUERY):
        chunk = wanted[start : start + IDS_PER_QUERY]
        here = (logged_models.c.workspace == workspace, logged_models.c.id.in_(chunk))
        missing = {each for each in chunk if not is_model_id(each)} or set(chunk) - set(
            connection.scalars(select(logged_models.c.id).where(*here))
        )
        if missing:
            raise not_found(min(missing))


def write_model_params(connection: Connection, model_id: str, params: Mapping[str, str]) -> None:
    """Add params; the same value again changes nothing. Raises Conflict for another value: params are written once."""
    if not params:
        return
    known = select(model_params.c.key, model_params.c.value).where(model_params.c.model_id == model_id)
    before = {row.key: row.value for row in connection.execute(known)}
    for key, value in params.items():
        if before.get(key, value) != value:
            raise Conflict(
                f"Param {key!r} of logged model {model_id} is {before[key]!r} and cannot become {value!r}.",
                hint="Params are written once; set a changing value as a tag, or log another model.",
            )
    fresh = [{"model_id": model_id, "key": key, "value": params[key]} for key in params if key not in before]
    if fresh:
        connection.execute(insert_into(connection, model_params), fresh)


def write_model_tags(connection: Connection, model_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, replacing the values of those that exist."""
    if not tags:
        return
    statement = insert_into(connection, model_tags)
    upsert = statement.on_conflict_do_update(
        index_elements=[model_tags.c.model_id, model_tags.c.key], set_={"value": statement.excluded.value}
    )
    connection.execute(upsert, [{"model_id": model_id, "key": key, "value": value} for key, value in tags.items()])


def _texts(connection: Connection, table: Table, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    query = select(table).where(table.c.model_id.in_(ids)).order_by(table.c.model_id, table.c.key)
    for row in connection.execute(query):
        texts[row.model_id][row.key] = row.value
    return texts
