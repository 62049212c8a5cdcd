"""What an MLflow server says, as records that can arrive here. Raises Unavailable for what no MLflow server says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bailiwick.adapters.mlflow.connection import Record
from bailiwick.core.canonical import sha256_hex
from bailiwick.core.errors import Unavailable
from bailiwick.registry.arrivals import ArrivedVersion
from bailiwick.tracking.imports.model import ArrivedExperiment, ArrivedModel, ArrivedRun
from bailiwick.tracking.lineage.model import Dataset, DatasetInput, ModelOutput
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.model import MAX_USER_LENGTH, MetricPoint

_STATUS = "LOGGED_MODEL_"


@dataclass(frozen=True, slots=True)
class RemoteExperiment:
    """An experiment there."""

    id: str
    name: str
    location: str
    record: ArrivedExperiment


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """A run there: what arrives, where its files are, and which metrics it has."""

    record: ArrivedRun
    location: str
    metrics: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A logged model there."""

    record: ArrivedModel
    location: str
    digest: str


@dataclass(frozen=True, slots=True)
class RemoteRegistered:
    """A registered model there; versions in order of their numbers, stages that are not None."""

    name: str
    description: str
    created: int
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    versions: tuple[ArrivedVersion, ...]
    stages: Mapping[int, str]
    digest: str


def digest_of(record: object) -> str:
    """A digest of what was said, the same whenever the same is said."""
    return sha256_hex(json.dumps(record, sort_keys=True).encode())


def experiment(record: Record) -> RemoteExperiment:
    """One of `experiments/search`."""
    name, location = _text(record, "name"), _text(record, "artifact_location", "")
    arrived = ArrivedExperiment(
        id=_text(record, "experiment_id"),
        name=name,
        lifecycle=_text(record, "lifecycle_stage", "active"),
        created=_whole(record, "creation_time", 0),
        updated=_whole(record, "last_update_time", 0),
        tags=_pairs(record, "tags"),
        location=location,
        digest=digest_of(record),
    )
    return RemoteExperiment(arrived.id, name, location, arrived)


def run(record: Record) -> RemoteRun:
    """One of `runs/search`."""
    info, data = _inner(record, "info"), _inner(record, "data")
    inputs, outputs = _inner(record, "inputs"), _inner(record, "outputs")
    tags = _pairs(data, "tags")
    arrived = ArrivedRun(
        id=_text(info, "run_id", "") or _text(info, "run_uuid"),
        name=_text(info, "run_name", "") or tags.get("mlflow.runName", ""),
        status=_text(info, "status", "RUNNING"),
        lifecycle=_text(info, "lifecycle_stage", "active"),
        started=_whole(info, "start_time", 0),
        ended=_whole(info, "end_time", 0) or None,
        user=_text(info, "user_id", "")[:MAX_USER_LENGTH],
        params=_pairs(data, "params"),
        tags=tags,
        datasets=[_dataset_input(each) for each in _list(inputs, "dataset_inputs")],
        models_read=[_text(each, "model_id") for each in _list(inputs, "model_inputs")],
        models_made=[
            ModelOutput(_text(each, "model_id"), _whole(each, "step", 0)) for each in _list(outputs, "model_outputs")
        ],
    )
    keys = tuple(dict.fromkeys(_text(each, "key") for each in _list(data, "metrics")))
    return RemoteRun(arrived, _text(info, "artifact_uri", ""), keys, digest_of(record))


def point(record: Record, key: str) -> MetricPoint:
    """One of `metrics/get-history`."""
    value = record.get("value", 0.0)
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise _garbage("the value of a metric", value) from None
    return MetricPoint(key, number, _whole(record, "timestamp", 0), _whole(record, "step", 0))


def logged_model(record: Record) -> RemoteModel:
    """One of `logged-models/search`."""
    info, data = _inner(record, "info"), _inner(record, "data")
    status = info.get("status", "LOGGED_MODEL_STATUS_UNSPECIFIED")
    said = status.removeprefix(_STATUS).removeprefix("STATUS_") if isinstance(status, str) else "UNSPECIFIED"
    model_id = _text(info, "model_id")
    arrived = ArrivedModel(
        id=model_id,
        name=_text(info, "name"),
        type=_text(info, "model_type", ""),
        source_run=_text(info, "source_run_id", ""),
        status="FAILED" if said == "UPLOAD_FAILED" else said,
        created=_whole(info, "creation_timestamp_ms", 0) or _whole(info, "creation_timestamp", 0),
        updated=_whole(info, "last_updated_timestamp_ms", 0) or _whole(info, "last_updated_timestamp", 0),
        params=_pairs(data, "params"),
        tags=_pairs(info, "tags"),
        metrics=[_model_metric(model_id, each) for each in _list(data, "metrics")],
    )
    return RemoteModel(arrived, _text(info, "artifact_uri", ""), digest_of(record))


def registered(model: Record, versions: Sequence[tuple[Record, tuple[str, str]]]) -> RemoteRegistered:
    """A registered model and its versions, each with its source and storage as they are from here."""
    numbered = sorted(versions, key=lambda each: _whole(each[0], "version"))
    aliases = {_text(each, "alias"): _whole(each, "version") for each in _list(model, "aliases")}
    stages = {_whole(each, "version"): _text(each, "current_stage", "None") for each, _ in numbered}
    return RemoteRegistered(
        name=_text(model, "name"),
        description=_text(model, "description", ""),
        created=_whole(model, "creation_timestamp", 0),
        tags=_pairs(model, "tags"),
        aliases=aliases,
        versions=tuple(_version(each, *place) for each, place in numbered),
        stages={number: stage for number, stage in stages.items() if stage not in {"None", ""}},
        digest=digest_of([model, numbered]),
    )


def _version(record: Record, source: str, storage: str) -> ArrivedVersion:
    return ArrivedVersion(
        number=_whole(record, "version"),
        source=source,
        storage=storage,
        run_id=_text(record, "run_id", ""),
        model_id=_text(record, "model_id", "") or model_of(source),
        run_link=_text(record, "run_link", ""),
        description=_text(record, "description", ""),
        status=_text(record, "status", "READY"),
        status_message=_text(record, "status_message", ""),
        created=_whole(record, "creation_timestamp", 0),
        updated=_whole(record, "last_updated_timestamp", 0),
        tags=_pairs(record, "tags"),
    )


def model_of(source: str) -> str:
    """The logged model's id in a source `models:/m-…`; "" in any other."""
    rest = source.removeprefix("models:/")
    return rest if rest != source and rest.startswith("m-") and "/" not in rest else ""


def text_of(record: Record, name: str) -> str:
    """A text that may be missing."""
    return _text(record, name, "")


def _dataset_input(record: Record) -> DatasetInput:
    dataset = _inner(record, "dataset")
    described = Dataset(
        name=_text(dataset, "name"),
        digest=_text(dataset, "digest"),
        source_type=_text(dataset, "source_type", ""),
        source=_text(dataset, "source", ""),
        schema=_text(dataset, "schema", "") if "schema" in dataset else None,
        profile=_text(dataset, "profile", "") if "profile" in dataset else None,
    )
    return DatasetInput(described, _pairs(record, "tags"))


def _model_metric(model_id: str, record: Record) -> ModelMetric:
    at = point(record, _text(record, "key"))
    return ModelMetric(
        model_id=model_id,
        run_id=_text(record, "run_id", ""),
        key=at.key,
        value=at.value,
        time=at.time,
        step=at.step,
        dataset_name=_text(record, "dataset_name", ""),
        dataset_digest=_text(record, "dataset_digest", ""),
    )


def _inner(record: Record, name: str) -> Record:
    value = record.get(name) or {}
    if not isinstance(value, dict):
        raise _garbage(name, value)
    return value


def _list(record: Record, name: str) -> list[Record]:
    value = record.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _garbage(name, value)
    return value


def _pairs(record: Record, name: str) -> dict[str, str]:
    return {_text(each, "key"): _text(each, "value", "") for each in _list(record, name)}


def _text(record: Record, name: str, otherwise: str | None = None) -> str:
    value = record.get(name, otherwise)
    if value is None and otherwise is not None:
        return otherwise
    if not isinstance(value, str) or (otherwise is None and not value):
        raise _garbage(name, value)
    return value


def _whole(record: Record, name: str, otherwise: int | None = None) -> int:
    """A whole number; 64-bit ones may come as texts."""
    value: Any = record.get(name, otherwise)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) <= 20:
        return int(value)
    if value is None and otherwise is not None:
        return otherwise
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _garbage(name, value)
    return value


def _garbage(name: str, value: object) -> Unavailable:
    said = "missing" if value is None else f"{str(value)[:100]!r}"
    return Unavailable(
        f"The server does not answer as MLflow does: {name} is {said}.", hint="Is this the address of an MLflow server?"
    )
