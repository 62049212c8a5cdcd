"""What runs read and made, in MLflow's words: `runs/log-inputs`, `runs/outputs`, `runs/log-model`, datasets of experiments."""

from __future__ import annotations

import json
from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.server.mlflow.errors import INVALID, MlflowError
from bailiwick.server.mlflow.message import Int64, Message
from bailiwick.server.mlflow.pairs import Pair, texts_of
from bailiwick.server.mlflow.route import MlflowCall, MlflowRoute
from bailiwick.tracking.lineage.model import Dataset, DatasetInput, ModelOutput

MAX_EXPERIMENTS = 20

_MODEL_FIELDS = ("run_id", "utc_time_created", "artifact_path", "model_uuid")
_NEEDED = {"artifact_path", "flavors", "run_id", "utc_time_created"}


class DatasetFields(Message):
    """A dataset; of these, name and digest must be there."""

    name: str | None = None
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class LoggedInput(Message):
    """A dataset and what is said about reading it."""

    tags: list[Pair] | None = None
    dataset: DatasetFields | None = None


class LoggedModelId(Message):
    """A model that a run read."""

    model_id: str | None = None


class LoggedOutput(Message):
    """A model that a run made."""

    model_id: str | None = None
    step: Int64 | None = None


class LogInputs(Message):
    """`runs/log-inputs`."""

    required = ("run_id",)
    run_id: str | None = None
    datasets: list[LoggedInput] | None = None
    models: list[LoggedModelId] | None = None


class LogOutputs(Message):
    """`runs/outputs`; `models` must be said, and may be empty."""

    required = ("run_id", "models")
    run_id: str | None = None
    models: list[LoggedOutput] | None = None


class LogModel(Message):
    """`runs/log-model`, which clients before MLflow 3 send: the model's `MLmodel` file as JSON."""

    required = ("run_id", "model_json")
    run_id: str | None = None
    model_json: str | None = None


class SearchDatasets(Message):
    """`experiments/search-datasets`, which pages send."""

    experiment_ids: list[str] | None = None


def log_inputs(call: MlflowCall[LogInputs]) -> dict[str, Any]:
    """Datasets and models in one."""
    asked = call.message
    call.platform.run_lineage.log_inputs(
        call.actor,
        asked.run_id or "",
        datasets=[_input(each) for each in asked.datasets or []],
        models=[each.model_id or "" for each in asked.models or []],
    )
    return {}


def log_outputs(call: MlflowCall[LogOutputs]) -> dict[str, Any]:
    """A model that is said again moves to the new step."""
    made = [ModelOutput(each.model_id or "", each.step or 0) for each in call.message.models or []]
    call.platform.run_lineage.log_outputs(call.actor, call.message.run_id or "", made)
    return {}


def log_model(call: MlflowCall[LogModel]) -> dict[str, Any]:
    """Kept in a tag of the run, where those clients look for it."""
    info = _model_info(call.message.model_json or "")
    call.platform.run_lineage.record_model_file(call.actor, call.message.run_id or "", info)
    return {}


def search_datasets(call: MlflowCall[SearchDatasets]) -> dict[str, Any]:
    """At most 1,000, without a page after them."""
    ids = call.message.experiment_ids or []
    if not ids:
        raise MlflowError(INVALID, "SearchDatasets request must specify at least one experiment_id.")
    if len(ids) > MAX_EXPERIMENTS:
        raise MlflowError(
            INVALID,
            f"SearchDatasets request cannot specify more than {MAX_EXPERIMENTS} experiment_ids. "
            f"Received {len(ids)} experiment_ids.",
        )
    found = [
        {"experiment_id": each.experiment_id, "name": each.name, "digest": each.digest, "context": each.context}
        for each in call.platform.run_lineage.datasets(call.workspace, ids)
    ]
    return {"dataset_summaries": found or None}


def _input(said: LoggedInput) -> DatasetInput:
    fields = said.dataset or DatasetFields()
    dataset = Dataset(
        name=fields.name or "",
        digest=fields.digest or "",
        source_type=fields.source_type or "",
        source=fields.source or "",
        schema=fields.schema,
        profile=fields.profile,
    )
    return DatasetInput(dataset, texts_of(said.tags))


def _model_info(text: str) -> dict[str, Any]:
    """The part of a model's description that is kept: where it is, when it was made and its flavours."""
    try:
        model = json.loads(text)
    except (ValueError, RecursionError):
        model = None
    if not isinstance(model, dict):
        raise MlflowError(INVALID, f"Malformed model info. \n {text[:500]} \n is not a valid JSON.")
    missing = sorted(_NEEDED - model.keys())
    if missing:
        raise MlflowError(INVALID, f"Model json is missing mandatory fields: {{{', '.join(map(repr, missing))}}}")
    flavors = model["flavors"] if isinstance(model["flavors"], dict) else {}
    kept = {name: model[name] for name in _MODEL_FIELDS if model.get(name) is not None}
    return {**kept, "flavors": {name: _without_config(each) for name, each in flavors.items()}}


def _without_config(flavor: Any) -> Any:
    return {key: value for key, value in flavor.items() if key != "config"} if isinstance(flavor, dict) else flavor


ROUTES = (
    MlflowRoute("POST", "/mlflow/runs/log-inputs", LogInputs, Permission.TRACKING_WRITE, log_inputs),
    MlflowRoute("POST", "/mlflow/runs/outputs", LogOutputs, Permission.TRACKING_WRITE, log_outputs),
    MlflowRoute("POST", "/mlflow/runs/log-model", LogModel, Permission.TRACKING_WRITE, log_model),
    MlflowRoute("POST", "/mlflow/experiments/search-datasets", SearchDatasets, Permission.READ, search_datasets),
)
