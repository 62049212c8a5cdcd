"""Measurements of logged models, as they are kept and read. NaN and infinities are kept as those of runs are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, select

from bailiwick.core.canonical import sha256_hex
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.logged_models.tables import model_metrics
from bailiwick.tracking.metrics import normal
from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.tables import insert_into


def dataset_key(name: str, digest: str) -> str:
    """32 hex digits for a dataset's name and digest; "" for no dataset. It stands in keys, where the texts are too long."""
    return sha256_hex(f"{len(name)}:{name}{digest}".encode())[:32] if name or digest else ""


def write_model_metrics(connection: Connection, metrics: Sequence[ModelMetric]) -> None:
    """Add measurements; exact repeats are dropped. The caller knows that the models exist."""
    if metrics:
        statement = insert_into(connection, model_metrics).on_conflict_do_nothing()
        connection.execute(statement, [_row(each) for each in metrics])


def load_metrics(connection: Connection, ids: Sequence[str]) -> dict[str, list[ModelMetric]]:
    """Every measurement of these models, by key, time and step."""
    found: dict[str, list[ModelMetric]] = defaultdict(list)
    columns = model_metrics.c
    order = (columns.model_id, columns.key, columns.time, columns.step, columns.run_id, columns.dataset)
    for row in connection.execute(select(model_metrics).where(columns.model_id.in_(ids)).order_by(*order)):
        found[row.model_id].append(
            ModelMetric(
                model_id=row.model_id,
                run_id=row.run_id,
                key=row.key,
                value=math.nan if row.is_nan else row.value,
                time=row.time,
                step=row.step,
                dataset_name=row.dataset_name,
                dataset_digest=row.dataset_digest,
            )
        )
    return found


def _row(metric: ModelMetric) -> dict[str, object]:
    value = normal(MetricPoint(metric.key, metric.value, metric.time, metric.step)).value
    return {
        "model_id": metric.model_id,
        "key": metric.key,
        "time": metric.time,
        "step": metric.step,
        "run_id": metric.run_id,
        "dataset": dataset_key(metric.dataset_name, metric.dataset_digest),
        "value": 0.0 if math.isnan(value) else value,
        "is_nan": int(math.isnan(value)),
        "dataset_name": metric.dataset_name,
        "dataset_digest": metric.dataset_digest,
    }
