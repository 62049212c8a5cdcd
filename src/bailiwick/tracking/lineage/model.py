"""Datasets as a run describes them, and the edges between runs, datasets and logged models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bailiwick.core.errors import InvalidInput, LimitExceeded
from bailiwick.tracking.model import INT64_MAX, MAX_ID_LENGTH, check_text

CONTEXT_TAG = "mlflow.data.context"
MODEL_HISTORY_TAG = "mlflow.log-model.history"

MAX_INPUTS = 1_000
MAX_NAME = 500
MAX_DIGEST = 36
MAX_SOURCE_TYPE = 250
MAX_SOURCE = 65_535
MAX_SCHEMA = 1_048_575
MAX_PROFILE = 16_777_215
MAX_INPUT_TAG_KEY = 255
MAX_INPUT_TAG = 500
MAX_MODEL_HISTORY = 1_000_000

_SNAPSHOT_WORD = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{36}|[0-9a-f]{32}|[0-9a-f]{16})(?![0-9A-Za-z])")


class Direction(StrEnum):
    """Which way a model went: into a run, as one that is evaluated does, or out of it."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as whoever read it described it: one of that name and digest in an experiment, first description kept.

    `snapshot` is the id of our own snapshot that its digest or source names, "" where it names none.
    """

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    snapshot: str = ""


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A dataset that a run read, and what was said about that: tags in the order they were given."""

    dataset: Dataset
    tags: Mapping[str, str]

    @property
    def context(self) -> str | None:
        """What the dataset was read for: `training`, `eval` …"""
        return self.tags.get(CONTEXT_TAG)


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A logged model that a run made, at a step of its training."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class RunLinks:
    """Everything a run read and made: datasets in the order they were logged, models in that of their ids."""

    datasets: tuple[DatasetInput, ...] = ()
    models_read: tuple[str, ...] = ()
    models_made: tuple[ModelOutput, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset that some run of an experiment read; one per context it was read in."""

    experiment_id: str
    name: str
    digest: str
    context: str | None


def check_inputs(inputs: Iterable[DatasetInput]) -> list[DatasetInput]:
    """Inputs that can be stored, one per dataset: the first counts. Raises InvalidInput, LimitExceeded."""
    given = list(inputs)
    if len(given) > MAX_INPUTS:
        raise LimitExceeded(f"At most {MAX_INPUTS} datasets are logged at once; there are {len(given)}.")
    kept: dict[tuple[str, str], DatasetInput] = {}
    for each in given:
        _check_dataset(each.dataset)
        for key, value in each.tags.items():
            _check_length("key", key, MAX_INPUT_TAG_KEY)
            _check_length("value", value, MAX_INPUT_TAG)
        kept.setdefault((each.dataset.name, each.dataset.digest), each)
    return list(kept.values())


def check_model_ids(ids: Sequence[str]) -> list[str]:
    """Ids of models, each once. They are references: a run may evaluate a model that was logged elsewhere."""
    if len(ids) > MAX_INPUTS:
        raise LimitExceeded(f"At most {MAX_INPUTS} models are logged at once; there are {len(ids)}.")
    for model_id in ids:
        if not model_id:
            raise InvalidInput("A model of a run needs its id; it is blank.")
        check_text("The id of a model", model_id, MAX_ID_LENGTH)
    return list(dict.fromkeys(ids))


def check_outputs(outputs: Sequence[ModelOutput]) -> list[ModelOutput]:
    """Outputs that can be stored, one per model: the last counts. Raises InvalidInput, LimitExceeded."""
    check_model_ids([each.model_id for each in outputs])
    for each in outputs:
        if not -INT64_MAX <= each.step <= INT64_MAX:
            raise InvalidInput(f"Step {each.step} of model {each.model_id} does not fit 64 bits.")
    return list({each.model_id: each for each in outputs}.values())


def snapshot_words(dataset: Dataset) -> set[str]:
    """Words in a dataset's digest and source that could name a snapshot: its id, its digest, or how that begins."""
    return set(_SNAPSHOT_WORD.findall(f"{dataset.digest} {dataset.source}"))


def _check_dataset(dataset: Dataset) -> None:
    if not dataset.name or not dataset.digest:
        raise InvalidInput(f"A dataset needs a name and a digest; {dataset.name!r} and {dataset.digest!r} are given.")
    _check_length("name", dataset.name, MAX_NAME)
    _check_length("digest", dataset.digest, MAX_DIGEST)
    _check_length("source_type", dataset.source_type, MAX_SOURCE_TYPE)
    _check_length("source", dataset.source, MAX_SOURCE)
    _check_length("schema", dataset.schema or "", MAX_SCHEMA)
    _check_length("profile", dataset.profile or "", MAX_PROFILE)


def _check_length(what: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise LimitExceeded(f"'{what}' exceeds the maximum length of {limit} characters")
    check_text(f"A dataset's {what}", text, limit)
