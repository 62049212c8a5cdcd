"""Searching logged models: clauses and orderings as SQL, and keyset pages over any ordering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    Table,
    and_,
    case,
    exists,
    false,
    or_,
    select,
)

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.core.filters import Clause
from bailiwick.core.paging import page_position, page_token
from bailiwick.tracking.logged_models.model import (
    DatasetScope,
    LoggedModelStatus,
    ModelOrder,
)
from bailiwick.tracking.logged_models.tables import logged_models, model_metrics, model_params, model_tags
from bailiwick.tracking.matching import measured_condition, number_condition, text_condition
from bailiwick.tracking.model import Lifecycle

columns = logged_models.c

TEXTS: Mapping[str, ColumnElement[str]] = {
    "artifact_location": columns.artifact_location,
    "artifact_uri": columns.artifact_location,
    "experiment_id": columns.experiment_id,
    "model_id": columns.id,
    "model_type": columns.type,
    "name": columns.name,
    "source_run_id": columns.source_run,
    "status": columns.status,
}
TIMES: Mapping[str, ColumnElement[int]] = {
    "creation_time": columns.created,
    "creation_timestamp": columns.created,
    "creation_timestamp_ms": columns.created,
    "last_updated_time": columns.updated,
    "last_updated_timestamp": columns.updated,
    "last_updated_timestamp_ms": columns.updated,
}
METRIC, PARAM, TAG, ATTRIBUTE = "metrics", "params", "tags", "attributes"
ENTITIES: Mapping[str, str] = {
    "attribute": ATTRIBUTE,
    "attributes": ATTRIBUTE,
    "attr": ATTRIBUTE,
    "metric": METRIC,
    "metrics": METRIC,
    "param": PARAM,
    "params": PARAM,
    "parameter": PARAM,
    "tag": TAG,
    "tags": TAG,
}
"""For `parse_filter`, together with ATTRIBUTE as the default."""

MAX_EXPERIMENTS = 30_000
MAX_DATASETS = 100
MAX_ORDERINGS = 10

_STATUS_PREFIX = "LOGGED_MODEL_"
_INTEGER = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_TEXT = Annotated[str, Meta(pattern="^[^\x00]*$")]
_PROGRESS = case({str(status): place for place, status in enumerate(LoggedModelStatus)}, value=columns.status, else_=-1)
"""A status as MLflow sorts it: by its number there, which is how far the model has come."""
_MISSING = 2  # ranks after a number (0) and NaN (1), whichever way the numbers are sorted


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for, without where in the pages one is. No experiment ids: nothing."""

    experiment_ids: tuple[str, ...]
    clauses: tuple[Clause, ...] = ()
    datasets: tuple[DatasetScope, ...] = ()
    order_by: tuple[ModelOrder, ...] = ()

    def __post_init__(self) -> None:
        """Raises InvalidInput for a dataset without a name, LimitExceeded for more than a database takes."""
        if not all(scope.name for scope in self.datasets):
            raise InvalidInput("`dataset_name` in the `datasets` clause must be specified.")
        for what, given, limit in (
            ("experiments", self.experiment_ids, MAX_EXPERIMENTS),
            ("datasets", self.datasets, MAX_DATASETS),
            ("orderings", self.order_by, MAX_ORDERINGS),
        ):
            if len(given) > limit:
                raise LimitExceeded(f"A search names at most {limit} {what}; this one has {len(given)}.")


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column of the ordering; `kind` is what its values are in a page token."""

    column: ColumnElement[Any]
    ascending: bool
    kind: Any


def page_of_ids(
    connection: Connection, workspace: str, query: Query, *, limit: int, token: str
) -> tuple[list[str], str]:
    """Ids of one page, and the token of the next ("" on the last): as fast on the last page as on the first.

    Raises InvalidInput for a clause or ordering that logged models do not have, or for another query's token.
    """
    keys, bound = sort_keys(query.order_by, query.datasets), _bound(query)
    after = page_position(token, bound, tuple(key.kind for key in keys)) if token else []
    page = page_query(workspace, query, connection.dialect.name, keys=keys, after=after)
    rows = connection.execute(page.limit(limit + 1)).all()
    ids = [row.id for row in rows[:limit]]
    return ids, page_token(list(rows[limit - 1][1:]), bound) if len(rows) > limit else ""


def page_query(
    workspace: str, query: Query, dialect: str, *, keys: Sequence[SortKey], after: Sequence[Any] = ()
) -> Select[Any]:
    """Id and sort columns of the models that are looked for, in order, after those values."""
    matching = matching_ids(workspace, query, dialect)
    found = matching.add_columns(*[key.column.label(f"k{place}") for place, key in enumerate(keys)])
    looked_up = any(not isinstance(key.column, Column) for key in keys)
    # Without this a database looks the latest measurement up again for each comparison with the last row of a page.
    labelled = found.cte("found").prefix_with("MATERIALIZED") if looked_up else found.subquery()
    placed = [SortKey(labelled.c[f"k{place}"], key.ascending, key.kind) for place, key in enumerate(keys)]
    page = select(labelled).order_by(*[key.column.asc() if key.ascending else key.column.desc() for key in placed])
    return page.where(_after(placed, after)) if after else page


def matching_ids(workspace: str, query: Query, dialect: str) -> Select[Any]:
    """Ids of the models that are looked for, in no order."""
    conditions = [_condition(clause, query.datasets, dialect) for clause in query.clauses]
    if query.datasets and not any(clause.entity == METRIC for clause in query.clauses):
        conditions.append(_measured(_within(query.datasets)))
    here = columns.experiment_id.in_(query.experiment_ids) if query.experiment_ids else false()
    return select(columns.id).where(
        columns.workspace == workspace, here, columns.lifecycle == Lifecycle.ACTIVE, *conditions
    )


def sort_keys(order_by: Sequence[ModelOrder], datasets: Sequence[DatasetScope] = ()) -> list[SortKey]:
    """The columns to sort by, the last ones newest first and then by id, so that no two models are equal."""
    keys: list[SortKey] = []
    for order in order_by:
        keys += _keys_of(order, datasets)
    return [*keys, SortKey(columns.created, False, _INTEGER), SortKey(columns.id, True, _TEXT)]


def _keys_of(order: ModelOrder, datasets: Sequence[DatasetScope]) -> list[SortKey]:
    entity, dot, key = order.field.partition(".")
    if not dot:
        if order.field in TIMES:
            return [SortKey(TIMES[order.field], order.ascending, _INTEGER)]
        if order.field == "status":
            return [SortKey(_PROGRESS, order.ascending, _INTEGER)]
        if order.field not in TEXTS:
            known = ", ".join([*TEXTS, *TIMES, "metrics.<key>"])
            raise InvalidInput(f"Invalid order by field name: {order.field!r}. Use one of: {known}.")
        return [SortKey(TEXTS[order.field], order.ascending, _TEXT)]
    if ENTITIES.get(entity) != METRIC:
        raise InvalidInput(f"Invalid order by field name: {order.field!r}. Only metrics are supported.")
    here = _points(key.strip("`"), datasets)
    if order.dataset_name:
        here.append(model_metrics.c.dataset_name == order.dataset_name)
    if order.dataset_digest:
        here.append(model_metrics.c.dataset_digest == order.dataset_digest)
    value, is_nan = _latest(model_metrics.c.value, here), _latest(model_metrics.c.is_nan, here)
    rank = case((is_nan.is_(None), _MISSING), else_=is_nan)
    return [SortKey(rank, True, _INTEGER), SortKey(case((value.is_(None), 0.0), else_=value), order.ascending, float)]


def _points(key: str, datasets: Sequence[DatasetScope]) -> list[ColumnElement[bool]]:
    """Measurements of that key: on one of the datasets, where they are given."""
    return [model_metrics.c.key == key, *([_within(datasets)] if datasets else [])]


def _latest(column: ColumnElement[Any], here: list[ColumnElement[bool]]) -> ScalarSelect[Any]:
    """Of the model's measurements the one that tells a metric: the last by step, time and value, as with runs."""
    order = model_metrics.c
    query = select(column).where(order.model_id == columns.id, *here).correlate(logged_models)
    last = query.order_by(order.step.desc(), order.time.desc(), order.value.desc(), order.run_id, order.dataset)
    return last.order_by(order.is_nan).limit(1).scalar_subquery()


def _after(keys: Sequence[SortKey], values: Sequence[Any]) -> ColumnElement[bool]:
    """Rows that come after these values. The first comparison alone bounds a range of an index."""
    key, value = keys[0], values[0]
    beyond: ColumnElement[bool] = key.column > value if key.ascending else key.column < value
    if len(keys) == 1:
        return beyond
    bound = key.column >= value if key.ascending else key.column <= value
    return and_(bound, or_(beyond, _after(keys[1:], values[1:])))


def _condition(clause: Clause, datasets: Sequence[DatasetScope], dialect: str) -> ColumnElement[bool]:
    if clause.entity == METRIC:
        meets = measured_condition(model_metrics.c.value, model_metrics.c.is_nan, clause)
        return _latest(case((meets, 1), else_=0), _points(clause.key, datasets)) == 1
    if clause.entity in {PARAM, TAG}:
        return _has_text(model_params if clause.entity == PARAM else model_tags, clause, dialect)
    if clause.key in TIMES:
        return number_condition(TIMES[clause.key], clause)
    if clause.key not in TEXTS:
        raise InvalidInput.choice("Attribute of logged models", clause.key, [*TEXTS, *TIMES])
    return text_condition(TEXTS[clause.key], _said_plainly(_as_text(clause)), dialect)


def _as_text(clause: Clause) -> Clause:
    """MLflow takes an unquoted number for the text that was written: it advises `params.lr = 0.01` itself."""
    return replace(clause, value=clause.written) if clause.written else clause


def _said_plainly(clause: Clause) -> Clause:
    """A status may be named as its enum on the wire has it: LOGGED_MODEL_READY is READY."""
    if clause.key != "status" or clause.comparator not in {"=", "!=", "IN", "NOT IN"}:
        return clause
    if isinstance(clause.value, tuple):
        return replace(clause, value=tuple(map(_status, clause.value)))
    return replace(clause, value=_status(str(clause.value)))


def _status(word: str) -> str:
    plain = word.upper().removeprefix(_STATUS_PREFIX)
    failed = {"UPLOAD_FAILED": LoggedModelStatus.FAILED, "STATUS_UNSPECIFIED": LoggedModelStatus.UNSPECIFIED}
    return str(failed.get(plain, plain))


def _has_text(table: Table, clause: Clause, dialect: str) -> ColumnElement[bool]:
    here = (table.c.model_id == columns.id, table.c.key == clause.key)
    if clause.comparator in {"IS NULL", "IS NOT NULL"}:
        found = exists().where(*here).correlate(logged_models)
        return ~found if clause.comparator == "IS NULL" else found
    condition = text_condition(table.c.value, _as_text(clause), dialect)
    return exists().where(*here, condition).correlate(logged_models)


def _measured(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(model_metrics.c.model_id == columns.id, *conditions).correlate(logged_models)


def _within(datasets: Sequence[DatasetScope]) -> ColumnElement[bool]:
    return or_(
        *[
            and_(
                model_metrics.c.dataset_name == scope.name,
                *([model_metrics.c.dataset_digest == scope.digest] if scope.digest else []),
            )
            for scope in datasets
        ]
    )


def _bound(query: Query) -> list[Any]:
    """What a page token is good for, as JSON values."""
    return [
        list(query.experiment_ids),
        [[clause.entity, clause.key, clause.comparator, clause.value] for clause in query.clauses],
        [[scope.name, scope.digest] for scope in query.datasets],
        [[order.field, order.ascending, order.dataset_name, order.dataset_digest] for order in query.order_by],
    ]
