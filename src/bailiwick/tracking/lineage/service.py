"""The verbs of lineage at the level of runs. Each write is one transaction, and may be sent again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import LimitExceeded, NotFound
from bailiwick.store.records import Records
from bailiwick.tracking.batches import Batch, write_batches
from bailiwick.tracking.lineage.model import (
    MAX_MODEL_HISTORY,
    MODEL_HISTORY_TAG,
    Dataset,
    DatasetInput,
    DatasetSummary,
    Direction,
    ModelOutput,
    RunLinks,
    check_inputs,
    check_model_ids,
    check_outputs,
    snapshot_words,
)
from bailiwick.tracking.lineage.ports import NoSnapshots, SnapshotFinder
from bailiwick.tracking.lineage.rows import dataset_id as id_of_dataset
from bailiwick.tracking.lineage.rows import (
    load_links,
    load_summaries,
    write_dataset_edges,
    write_datasets,
    write_model_edges,
)
from bailiwick.tracking.lineage.tables import datasets, run_datasets, run_models
from bailiwick.tracking.model import RunInput, check_text
from bailiwick.tracking.runs import lock_run, write_inputs
from bailiwick.tracking.tables import run_inputs, run_tags

MAX_SUMMARIES = 1_000
IDS_IN_JOURNAL = 100
UNSAID_ROLE = "training"


class RunLineageService:
    """What runs read and made. Safe to share between threads."""

    def __init__(self, records: Records, snapshots: SnapshotFinder | None = None) -> None:
        self._records = records
        self._snapshots = snapshots or NoSnapshots()

    def log_inputs(
        self, actor: Actor, run_id: str, *, datasets: Sequence[DatasetInput] = (), models: Sequence[str] = ()
    ) -> None:
        """Say which datasets and models the run read; saying it again changes nothing.

        A dataset is one per name and digest in the run's experiment, and keeps the description it was first logged
        with; so do the tags of an input. One that names a snapshot of ours is linked to it, in both directions. Raises
        NotFound for an unknown run, Conflict for a deleted one, LimitExceeded past 1,000 datasets or models.
        """
        actor.require(Permission.TRACKING_WRITE)
        inputs, read = check_inputs(datasets), check_model_ids(models)
        named = self._named(actor.workspace, [each.dataset for each in inputs])
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            run = lock_run(change, run_id)
            ids = write_datasets(change, run.experiment_id, inputs, named)
            write_dataset_edges(change, run_id, ids, inputs)
            own = [
                RunInput(named[_pair(each.dataset)], each.context or UNSAID_ROLE)
                for each in inputs
                if _pair(each.dataset) in named
            ]
            write_inputs(change.connection, change.workspace, run_id, own)
            write_model_edges(change, run_id, Direction.INPUT, [ModelOutput(model_id) for model_id in read])
            told = {"datasets": ids[:IDS_IN_JOURNAL], "models": read[:IDS_IN_JOURNAL]}
            change.record("run.read", f"run/{run_id}", inputs=[each.snapshot for each in own][:IDS_IN_JOURNAL], **told)

    def log_outputs(self, actor: Actor, run_id: str, models: Sequence[ModelOutput]) -> None:
        """Say which logged models the run made; a model said again has the step that is said last.

        Raises NotFound for an unknown run, Conflict for a deleted one, LimitExceeded past 1,000 models.
        """
        made = check_outputs(models)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            write_model_edges(change, run_id, Direction.OUTPUT, made)
            ids = [each.model_id for each in made]
            change.record("run.produced", f"run/{run_id}", models=ids[:IDS_IN_JOURNAL])

    def record_model_file(self, actor: Actor, run_id: str, info: Mapping[str, Any]) -> None:
        """Add a model's description to the tag in which MLflow 2 clients list the models among a run's artifacts.

        The same description again changes nothing. Raises NotFound, Conflict; LimitExceeded once the list is a million
        characters long.
        """
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            run = lock_run(change, run_id)
            here = (run_tags.c.run_id == run_id, run_tags.c.key == MODEL_HISTORY_TAG)
            listed = _listed(change.execute(select(run_tags.c.value).where(*here)).scalar())
            text = json.dumps(listed if info in listed else [*listed, dict(info)])
            if len(text) > MAX_MODEL_HISTORY:
                raise LimitExceeded(f"Run {run_id} lists as many models as fit {MAX_MODEL_HISTORY} characters.")
            check_text("A model's description", text, MAX_MODEL_HISTORY)
            tagged = Batch(change.workspace, run_id, tags={MODEL_HISTORY_TAG: text})
            write_batches(change.connection, [tagged], {run_id: run.experiment_id})
            change.record("run.model_recorded", f"run/{run_id}", path=str(info.get("artifact_path", ""))[:1000])

    def links(self, workspace: str, run_ids: Sequence[str]) -> dict[str, RunLinks]:
        """What each of these runs read and made; a run without any is left out. Two queries for 500 runs."""
        with self._records.read() as connection:
            return load_links(connection, workspace, run_ids)

    def datasets(self, workspace: str, experiment_ids: Sequence[str]) -> list[DatasetSummary]:
        """Datasets that runs of these experiments read, once per context; at most 1,000."""
        with self._records.read() as connection:
            return load_summaries(connection, workspace, experiment_ids, MAX_SUMMARIES)

    def runs_of_model(self, workspace: str, model_id: str) -> dict[Direction, list[str]]:
        """Ids of the runs that a model went into and of those that it came out of."""
        here = (run_models.c.workspace == workspace, run_models.c.model_id == model_id)
        found: dict[Direction, list[str]] = {way: [] for way in Direction}
        with self._records.read() as connection:
            for row in connection.execute(select(run_models).where(*here).order_by(run_models.c.run_id)):
                found[Direction(row.direction)].append(row.run_id)
        return found

    def dataset(self, workspace: str, dataset_id: str) -> Dataset:
        """One dataset by its id. Raises NotFound."""
        here = (datasets.c.workspace == workspace, datasets.c.id == dataset_id)
        with self._records.read() as connection:
            row = connection.execute(select(*[datasets.c[name] for name in Dataset.__slots__]).where(*here)).first()
        if row is None:
            raise NotFound.of("Dataset", dataset_id)
        return Dataset(**row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name

    def id_of_dataset(self, workspace: str, experiment_id: str, dataset: Dataset) -> str:
        """The id of a dataset that a run of the experiment read."""
        return id_of_dataset(workspace, experiment_id, dataset.name, dataset.digest)

    def runs_of_dataset(self, workspace: str, dataset_id: str) -> list[tuple[str, str]]:
        """Ids of the runs that read a dataset, each with what it was read for ("" where nothing was said)."""
        here = (run_datasets.c.workspace == workspace, run_datasets.c.dataset_id == dataset_id)
        query = select(run_datasets.c.run_id, run_datasets.c.context).where(*here).order_by(run_datasets.c.run_id)
        with self._records.read() as connection:
            return [(row.run_id, row.context or "") for row in connection.execute(query)]

    def datasets_of_snapshot(self, workspace: str, snapshot: str) -> list[str]:
        """Ids of the datasets that name one of our snapshots."""
        runs = select(run_inputs.c.run_id).where(run_inputs.c.workspace == workspace, run_inputs.c.snapshot == snapshot)
        read = select(run_datasets.c.dataset_id).where(run_datasets.c.run_id.in_(runs))
        query = select(datasets.c.id).where(datasets.c.id.in_(read), datasets.c.snapshot == snapshot)
        with self._records.read() as connection:
            return list(connection.scalars(query.order_by(datasets.c.id)))

    def _named(self, workspace: str, datasets: Sequence[Dataset]) -> dict[tuple[str, str], str]:
        """The snapshot's id by name and digest of each dataset that names one."""
        words = {_pair(each): snapshot_words(each) for each in datasets}
        asked = set().union(*words.values())
        known = self._snapshots.snapshots_named(workspace, asked) if asked else {}
        return {pair: known[max(found, key=len)] for pair, each in words.items() if (found := each & known.keys())}


def _pair(dataset: Dataset) -> tuple[str, str]:
    return dataset.name, dataset.digest


def _listed(text: str | None) -> list[Any]:
    """What the tag lists; a tag that somebody set to something else lists nothing."""
    try:
        value = json.loads(text or "[]")
    except ValueError:
        return []
    return value if isinstance(value, list) else []
