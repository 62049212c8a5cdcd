"""Records as they arrive from another server, and the marks that make moving them something that can be repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bailiwick.core.errors import InvalidInput
from bailiwick.tracking.lineage.model import (
    DatasetInput,
    ModelOutput,
    check_inputs,
    check_model_ids,
    check_outputs,
)
from bailiwick.tracking.logged_models.model import (
    MAX_TYPE_LENGTH,
    LoggedModelStatus,
    ModelMetric,
    check_logged_model_name,
    check_model_id,
    check_model_texts,
)
from bailiwick.tracking.model import (
    MAX_ID_LENGTH,
    MAX_TAG_LENGTH,
    MAX_USER_LENGTH,
    PARENT_TAG,
    Lifecycle,
    RunStatus,
    check_text,
    check_texts,
    check_time,
)

MAX_SOURCE = 500
MAX_SOURCE_ID = 600
MAX_RUN_LOCATION = 2_400
MAX_ARRIVED_TEXT = 1_000_000
"""Longest param or tag of a run that arrives: longer than may be logged, since other servers keep longer ones."""

_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]*")


class Kind(StrEnum):
    """What is marked as moved. An alias is marked `model@alias`, a version and its stage `model/number`."""

    EXPERIMENT = "experiment"
    RUN = "run"
    LOGGED_MODEL = "logged_model"
    MODEL = "model"
    VERSION = "version"
    ALIAS = "alias"
    STAGE = "stage"


@dataclass(frozen=True, slots=True)
class Mark:
    """That a record of a source is here: `id` there, `local` here.

    `digest` is that of the record when the last of what belongs to it had been moved, "" until then; the counts are of
    what was moved by then, and `location` is where its files went, "" for none.
    """

    id: str
    local: str
    digest: str = ""
    points: int = 0
    files: int = 0
    size_bytes: int = 0
    location: str = ""


@dataclass(frozen=True, slots=True)
class ArrivedExperiment:
    """An experiment of another server under the name it is to have here. `location` "" is a place of our own."""

    id: str
    name: str
    lifecycle: str
    created: int
    updated: int
    tags: Mapping[str, str]
    location: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ArrivedRun:
    """A run of another server, without its points. `artifact_uri` "" is a place of our own."""

    id: str
    name: str
    status: str
    lifecycle: str
    started: int
    ended: int | None
    user: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    datasets: Sequence[DatasetInput] = ()
    models_read: Sequence[str] = ()
    models_made: Sequence[ModelOutput] = ()
    artifact_uri: str = ""


@dataclass(frozen=True, slots=True)
class ArrivedModel:
    """A logged model of another server. `artifact_uri` "" is a place of our own."""

    id: str
    name: str
    type: str
    source_run: str
    status: str
    created: int
    updated: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Sequence[ModelMetric] = ()
    artifact_uri: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much of a source is here, counted anew: only what arrived from it, and all that these records now hold."""

    experiments: int = 0
    runs: int = 0
    params: int = 0
    tags: int = 0
    points: int = 0
    datasets: int = 0
    logged_models: int = 0


def check_source(source: str) -> str:
    """Raises InvalidInput for a blank one, LimitExceeded past 500 characters."""
    if not source.strip():
        raise InvalidInput("Records arrive from somewhere; the source is blank.")
    return check_text("A source", source, MAX_SOURCE)


def check_run(run: ArrivedRun) -> ArrivedRun:
    """A run that can be stored. Raises InvalidInput, LimitExceeded."""
    check_text("A run id", run.id, MAX_ID_LENGTH)
    if not _RUN_ID.fullmatch(run.id):
        raise InvalidInput(f"The run id {run.id[:80]!r} does not consist of letters, digits, _ and -.")
    if run.status not in set(RunStatus):
        raise InvalidInput.choice("Run status", run.status, map(str, RunStatus))
    _check_lifecycle(run.lifecycle)
    check_time("A start time", run.started)
    check_time("An end time", run.ended or 0)
    check_text("A run name", run.name, MAX_TAG_LENGTH)
    check_text("A user's name", run.user, MAX_USER_LENGTH)
    check_text("An artifact location", run.artifact_uri, MAX_RUN_LOCATION)
    check_texts("param", run.params, MAX_ARRIVED_TEXT)
    check_texts("tag", run.tags, MAX_ARRIVED_TEXT)
    check_text("A parent run id", run.tags.get(PARENT_TAG, ""), MAX_ID_LENGTH)
    check_inputs(run.datasets)
    check_model_ids(list(run.models_read))
    check_outputs(run.models_made)
    return run


def check_model(model: ArrivedModel) -> ArrivedModel:
    """A logged model that can be stored. Raises InvalidInput, LimitExceeded."""
    check_model_id(model.id)
    check_logged_model_name(model.name)
    if model.status not in set(LoggedModelStatus):
        raise InvalidInput.choice("The status of a model", model.status, map(str, LoggedModelStatus))
    check_time("A creation time", model.created)
    check_time("An update time", model.updated)
    check_text("The type of a logged model", model.type, MAX_TYPE_LENGTH)
    check_text("A source run id", model.source_run, MAX_ID_LENGTH)
    check_text("An artifact location", model.artifact_uri, MAX_RUN_LOCATION)
    check_model_texts("param", model.params)
    check_model_texts("tag", model.tags)
    return model


def check_experiment(experiment: ArrivedExperiment) -> ArrivedExperiment:
    """The lifecycle and times of an experiment; the rest is checked where experiments are made."""
    _check_lifecycle(experiment.lifecycle)
    check_time("A creation time", experiment.created)
    check_time("An update time", experiment.updated)
    return experiment


def _check_lifecycle(lifecycle: str) -> None:
    if lifecycle not in set(Lifecycle):
        raise InvalidInput.choice("Lifecycle", lifecycle, map(str, Lifecycle))
