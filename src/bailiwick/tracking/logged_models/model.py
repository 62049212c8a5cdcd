"""What a logged model is, the words for how far it has come, and the rules for its name and texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bailiwick.core.errors import InvalidInput, LimitExceeded, NotFound
from bailiwick.core.ids import new_id
from bailiwick.tracking.model import MAX_KEY_LENGTH, MetricPoint, check_points, check_text

MAX_MODEL_NAME = 500
MAX_TYPE_LENGTH = 500
MAX_MODEL_TEXT = 100_000
MAX_DATASET_NAME = 500
MAX_DATASET_DIGEST = 36

_ID = re.compile(r"m-[0-9a-f]{32}")
_FORBIDDEN_IN_NAMES = "/:.%\"'"


class LoggedModelStatus(StrEnum):
    """PENDING until its files are all there; READY and FAILED are said by whoever uploads them."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


FINAL = frozenset({LoggedModelStatus.READY, LoggedModelStatus.FAILED})


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """One measurement of a model by a run, on a dataset where `dataset_name` is not "". `time` in UTC milliseconds."""

    model_id: str
    run_id: str
    key: str
    value: float
    time: int
    step: int = 0
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model that was saved to tracking. `source_run` is a reference, and may name a run that is not known here.

    `metrics` holds every point that was logged for it, by key, time and step.
    """

    id: str
    workspace: str
    experiment_id: str
    name: str
    type: str
    source_run: str
    status: str
    lifecycle: str
    artifact_location: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[ModelMetric, ...]
    created: int
    updated: int
    created_by: str


@dataclass(frozen=True, slots=True)
class DatasetScope:
    """Measurements on one dataset: of that name, and of that digest unless it is ""."""

    name: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """A field to sort by: an attribute's name or `metrics.<key>`, the latter on a dataset where one is named."""

    field: str
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class LoggedModelPage:
    """One page of a search; `token` gets the next one, and is "" on the last."""

    models: tuple[LoggedModel, ...]
    token: str


def not_found(model_id: str) -> NotFound:
    """The error for a model that is not there, or that is deleted."""
    return NotFound(f"Logged model with ID {model_id!r} not found.")


def new_model_id() -> str:
    """`m-` and 32 hex digits, which sort by time."""
    return f"m-{new_id()}"


def is_model_id(text: str) -> bool:
    """Whether a text has the form of an id; one that has not names no model, and need not be looked up."""
    return _ID.fullmatch(text) is not None


def check_model_id(model_id: str) -> str:
    """Raises InvalidInput unless it is `m-` and 32 lower-case hex digits."""
    if not is_model_id(model_id):
        raise InvalidInput(f"The id {model_id!r} of a logged model is not m- and 32 lower-case hex digits.")
    return model_id


def check_logged_model_name(name: str) -> str:
    """Raises InvalidInput for a name that is blank or could not stand in a model's URI; LimitExceeded past 500."""
    check_text("The name of a logged model", name, MAX_MODEL_NAME)
    if not name.strip() or any(letter in _FORBIDDEN_IN_NAMES for letter in name):
        raise InvalidInput(
            f"Invalid model name {name!r}: the name of a logged model is not blank and holds none of "
            f"{' '.join(_FORBIDDEN_IN_NAMES)}"
        )
    return name


def check_model_texts(kind: str, texts: Mapping[str, str]) -> dict[str, str]:
    """A checked copy of a model's params or tags. Keys are any text of 1 to 250 characters."""
    for key in texts:
        if not key:
            raise InvalidInput(f"A {kind} of a logged model has an empty key.")
        check_text(f"The key of a {kind}", key, MAX_KEY_LENGTH)
    return {key: check_text(f"The value of {kind} {key!r}", text, MAX_MODEL_TEXT) for key, text in texts.items()}


def check_model_metrics(metrics: Iterable[ModelMetric]) -> list[ModelMetric]:
    """Measurements whose key, time, step and dataset can be stored. Raises InvalidInput, LimitExceeded."""
    checked = list(metrics)
    check_points(MetricPoint(each.key, each.value, each.time, each.step) for each in checked)
    for each in checked:
        check_dataset_name(each.dataset_name, each.dataset_digest)
    return checked


def check_dataset_name(name: str, digest: str) -> None:
    """Raises LimitExceeded past 500 characters of name or 36 of digest."""
    for word, text, limit in (("name", name, MAX_DATASET_NAME), ("digest", digest, MAX_DATASET_DIGEST)):
        if len(text) > limit:
            raise LimitExceeded(
                f"A dataset's '{word}' exceeds the maximum length of {limit} characters: {text[:40]!r}…"
            )
        check_text(f"A dataset's {word}", text, limit)
