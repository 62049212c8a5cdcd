"""What a run read and made, as it is shown with the run; whatever shows a page of runs asks for all of them at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bailiwick.server.mlflow.pairs import pairs_json
from bailiwick.server.mlflow.route import MlflowCall
from bailiwick.tracking.lineage.model import CONTEXT_TAG, Dataset, DatasetInput, RunLinks
from bailiwick.tracking.model import RunInput

SNAPSHOT_TAG = "bailiwick.snapshot"
SNAPSHOT_SOURCE = "bailiwick"


def links_of(call: MlflowCall[Any], run_ids: Sequence[str]) -> Mapping[str, RunLinks]:
    """What `inputs_json` and `outputs_json` show, for a page of runs at once; a run without any is left out."""
    return call.platform.run_lineage.links(call.workspace, run_ids)


def inputs_json(links: RunLinks | None, own: Iterable[RunInput] = ()) -> dict[str, Any]:
    """A run's `inputs`, without what is not set: what was logged, then those of our own snapshots it read (`Run.inputs`) that are not among it."""
    known = links or RunLinks()
    told = {each.dataset.snapshot for each in known.datasets}
    datasets = [*known.datasets, *(_snapshot_input(each) for each in own if each.snapshot not in told)]
    shown: dict[str, Any] = {}
    if datasets:
        shown["dataset_inputs"] = [_input_json(each) for each in datasets]
    if known.models_read:
        shown["model_inputs"] = [{"model_id": each} for each in known.models_read]
    return shown


def outputs_json(links: RunLinks | None) -> dict[str, Any]:
    """A run's `outputs`."""
    made = (links or RunLinks()).models_made
    return {"model_outputs": [{"model_id": each.model_id, "step": each.step} for each in made]} if made else {}


def _input_json(read: DatasetInput) -> dict[str, Any]:
    dataset = read.dataset
    fields = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "schema": dataset.schema,
        "profile": dataset.profile,
    }
    tags = {**read.tags, SNAPSHOT_TAG: dataset.snapshot} if dataset.snapshot else read.tags
    shown: dict[str, Any] = {"dataset": {name: value for name, value in fields.items() if value is not None}}
    if tags:
        shown["tags"] = pairs_json(dict(sorted(tags.items())))
    return shown


def _snapshot_input(read: RunInput) -> DatasetInput:
    """A snapshot that a run of our own read and nobody described as a dataset, under its id."""
    source = json.dumps({"snapshot": read.snapshot})
    dataset = Dataset(read.snapshot, read.snapshot, SNAPSHOT_SOURCE, source, snapshot=read.snapshot)
    return DatasetInput(dataset, {CONTEXT_TAG: read.role})
