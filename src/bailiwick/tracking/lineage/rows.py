"""Rows of datasets and edges: written once each, read for a page of runs in two queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from bailiwick.core.canonical import sha256_hex
from bailiwick.store.prepared import Prepared, among
from bailiwick.store.records import Change
from bailiwick.tracking.lineage.model import Dataset, DatasetInput, DatasetSummary, Direction, ModelOutput, RunLinks
from bailiwick.tracking.lineage.tables import datasets, run_datasets, run_models
from bailiwick.tracking.tables import insert_into

IDS_PER_QUERY = 500

_INPUTS = Prepared(
    lambda dialect: (
        select(datasets, run_datasets.c.run_id, run_datasets.c.tags)
        .join(run_datasets, run_datasets.c.dataset_id == datasets.c.id)
        .where(run_datasets.c.workspace == bindparam("workspace"), among(dialect, run_datasets.c.run_id, "ids"))
        .order_by(run_datasets.c.run_id, run_datasets.c.position)
    )
)
_MODELS = Prepared(
    lambda dialect: (
        select(run_models)
        .where(run_models.c.workspace == bindparam("workspace"), among(dialect, run_models.c.run_id, "ids"))
        .order_by(run_models.c.run_id, run_models.c.direction, run_models.c.model_id)
    )
)


def dataset_id(workspace: str, experiment_id: str, name: str, digest: str) -> str:
    """32 hex digits, the same wherever the same dataset is logged in an experiment."""
    return sha256_hex(msgspec.json.encode([workspace, experiment_id, name, digest]))[:32]


def write_datasets(
    change: Change, experiment_id: str, inputs: Sequence[DatasetInput], snapshots: Mapping[tuple[str, str], str]
) -> list[str]:
    """Make the datasets that are not there yet, and return the id of each. `snapshots` is by name and digest.

    A dataset that is there keeps its description, and gains the snapshot if it had none.
    """
    rows = [_dataset_row(change, experiment_id, each.dataset, snapshots) for each in inputs]
    if rows:
        statement = insert_into(change.connection, datasets)
        linked = statement.on_conflict_do_update(
            index_elements=[datasets.c.id],
            set_={"snapshot": statement.excluded.snapshot},
            where=(datasets.c.snapshot == "") & (statement.excluded.snapshot != ""),
        )
        change.execute(linked, rows)
    return [str(row["id"]) for row in rows]


def write_dataset_edges(change: Change, run_id: str, ids: Sequence[str], inputs: Sequence[DatasetInput]) -> None:
    """Say that the run read these datasets; what was said about one before stays."""
    if not ids:
        return
    last = select(func.coalesce(func.max(run_datasets.c.position), -1)).where(run_datasets.c.run_id == run_id)
    first: int = change.execute(last).scalar_one() + 1
    rows = [
        {
            "workspace": change.workspace,
            "run_id": run_id,
            "dataset_id": each_id,
            "position": first + place,
            "context": each.context,
            "tags": msgspec.json.encode(dict(each.tags)).decode(),
        }
        for place, (each_id, each) in enumerate(zip(ids, inputs, strict=True))
    ]
    change.execute(insert_into(change.connection, run_datasets).on_conflict_do_nothing(), rows)


def write_model_edges(change: Change, run_id: str, direction: Direction, models: Sequence[ModelOutput]) -> None:
    """Say that models went into a run or came out of it; a model said again has the step that was said last."""
    if not models:
        return
    here = {"workspace": change.workspace, "run_id": run_id, "direction": direction}
    rows = [{**here, "model_id": each.model_id, "step": each.step} for each in models]
    statement = insert_into(change.connection, run_models)
    key = [run_models.c.run_id, run_models.c.direction, run_models.c.model_id]
    change.execute(statement.on_conflict_do_update(index_elements=key, set_={"step": statement.excluded.step}), rows)


def load_links(connection: Connection, workspace: str, run_ids: Sequence[str]) -> dict[str, RunLinks]:
    """What each of these runs read and made, by run id; two queries per 500 runs. A run without any is not in it."""
    found: dict[str, RunLinks] = {}
    for start in range(0, len(run_ids), IDS_PER_QUERY):
        chunk = run_ids[start : start + IDS_PER_QUERY]
        read = _inputs(connection, workspace, chunk)
        models = _models(connection, workspace, chunk)
        for run_id in {*read, *models}:
            edges = models[run_id]
            found[run_id] = RunLinks(
                datasets=tuple(read[run_id]),
                models_read=tuple(each.model_id for way, each in edges if way == Direction.INPUT),
                models_made=tuple(each for way, each in edges if way == Direction.OUTPUT),
            )
    return found


def load_summaries(
    connection: Connection, workspace: str, experiment_ids: Sequence[str], limit: int
) -> list[DatasetSummary]:
    """Datasets that runs of these experiments read, once per context, by experiment, name, digest and context."""
    columns = (datasets.c.experiment_id, datasets.c.name, datasets.c.digest, run_datasets.c.context)
    query = (
        select(*columns)
        .join(run_datasets, run_datasets.c.dataset_id == datasets.c.id)
        .where(datasets.c.workspace == workspace, datasets.c.experiment_id.in_(experiment_ids))
        .distinct()
        .order_by(*columns)
        .limit(limit)
    )
    return [DatasetSummary(row.experiment_id, row.name, row.digest, row.context) for row in connection.execute(query)]


def _dataset_row(
    change: Change, experiment_id: str, dataset: Dataset, snapshots: Mapping[tuple[str, str], str]
) -> dict[str, object]:
    return {
        "id": dataset_id(change.workspace, experiment_id, dataset.name, dataset.digest),
        "workspace": change.workspace,
        "experiment_id": experiment_id,
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "schema": dataset.schema,
        "profile": dataset.profile,
        "snapshot": snapshots.get((dataset.name, dataset.digest), ""),
        "created": change.time,
    }


def _inputs(connection: Connection, workspace: str, run_ids: Sequence[str]) -> dict[str, list[DatasetInput]]:
    read: dict[str, list[DatasetInput]] = defaultdict(list)
    for row in _INPUTS.named(connection, {"workspace": workspace, "ids": run_ids}):
        dataset = Dataset(
            name=row.name,
            digest=row.digest,
            source_type=row.source_type,
            source=row.source,
            schema=row.schema,
            profile=row.profile,
            snapshot=row.snapshot,
        )
        read[row.run_id].append(DatasetInput(dataset, msgspec.json.decode(row.tags)))
    return read


def _models(connection: Connection, workspace: str, run_ids: Sequence[str]) -> dict[str, list[tuple[str, ModelOutput]]]:
    edges: dict[str, list[tuple[str, ModelOutput]]] = defaultdict(list)
    for row in _MODELS.named(connection, {"workspace": workspace, "ids": run_ids}):
        edges[row.run_id].append((row.direction, ModelOutput(row.model_id, row.step)))
    return edges
