"""Experiments, runs and metric points, in MLflow's words, and the rules for the texts they carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from bailiwick.core.errors import InvalidInput, LimitExceeded

DEFAULT_EXPERIMENT = "Default"
DEFAULT_EXPERIMENT_ID = "0"
RUN_NAME_TAG = "mlflow.runName"
PARENT_TAG = "mlflow.parentRunId"

MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6_000
MAX_TAG_LENGTH = 8_000
MAX_EXPERIMENT_NAME = 500
MAX_EXPERIMENT_TAG_LENGTH = 20_000
MAX_USER_LENGTH = 250
MAX_ID_LENGTH = 64
MAX_LOCATION_LENGTH = 2_048
INT64_MAX = 2**63 - 1

T = TypeVar("T")

_KEY = re.compile(r"[/\w.\- :]+")


class RunStatus(StrEnum):
    """MLflow's words for how far a run has come."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


ENDED = frozenset({RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED})


class Lifecycle(StrEnum):
    """Whether a record is shown; a deleted one still owns its name and can be restored."""

    ACTIVE = "active"
    DELETED = "deleted"


class View(StrEnum):
    """Which records a search looks at, in MLflow's words."""

    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"

    @property
    def lifecycles(self) -> tuple[Lifecycle, ...]:
        """The lifecycles that are seen."""
        if self is View.ALL:
            return (Lifecycle.ACTIVE, Lifecycle.DELETED)
        return (Lifecycle.ACTIVE,) if self is View.ACTIVE_ONLY else (Lifecycle.DELETED,)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A named group of runs. `id` is a decimal integer as text, as MLflow clients expect; `Default` is `0` everywhere."""

    id: str
    workspace: str
    name: str
    lifecycle: str
    artifact_location: str
    tags: Mapping[str, str]
    created: int
    updated: int
    created_by: str


class MetricPoint(Struct, frozen=True, gc=False):
    """One measurement: `time` in UTC milliseconds. NaN is kept; infinities become the largest finite doubles.

    A struct, because a page of runs has tens of thousands, and a frozen dataclass takes five times as long to make.
    """

    key: str
    value: float
    time: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a search; `next` is the token of the page after it, empty at the end."""

    items: Sequence[T]
    next: str


@dataclass(frozen=True, slots=True)
class RunInput:
    """A dataset snapshot that a run read, and what for: `training`, `validation`, `test` …"""

    snapshot: str
    role: str = "training"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run without what it logged."""

    id: str
    workspace: str
    experiment_id: str
    name: str
    status: str
    lifecycle: str
    started: int
    ended: int | None
    user: str
    artifact_uri: str


class Run(Struct, frozen=True):
    """One execution. `metrics` holds the latest value per key: the largest by (step, time, value), not the last written.

    `user` is who the client said it worked for; `created_by` is the identity that was checked. A struct, as points are.
    """

    id: str
    workspace: str
    experiment: str
    experiment_id: str
    name: str
    status: str
    lifecycle: str
    started: int
    ended: int | None
    parent: str | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    latest: tuple[MetricPoint, ...]
    inputs: tuple[RunInput, ...]
    user: str
    artifact_uri: str
    created_by: str


def check_key(kind: str, key: str) -> str:
    """The key of a metric, param or tag, by MLflow's rule. Raises InvalidInput, LimitExceeded."""
    if len(key) > MAX_KEY_LENGTH:
        raise LimitExceeded(f"A {kind} key has at most {MAX_KEY_LENGTH} characters; {key[:40]!r}… has {len(key)}.")
    parts = key.split("/")
    if not _KEY.fullmatch(key) or any(part in {"", ".", ".."} for part in parts):
        raise InvalidInput(
            f"{kind} key {key!r} may hold letters, digits, _ - . : space, and single slashes between parts."
        )
    return key


def check_text(kind: str, text: str, limit: int) -> str:
    """A value that both databases can store: valid Unicode without NUL, at most `limit` characters."""
    if len(text) > limit:
        raise LimitExceeded(f"{kind} has at most {limit} characters; this one has {len(text)}.")
    if "\x00" in text or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise InvalidInput(f"{kind} holds a NUL or half of a surrogate pair, which cannot be stored as text.")
    return text


def check_texts(kind: str, texts: Mapping[str, str], limit: int, *, truncate: bool = False) -> dict[str, str]:
    """A checked copy of params or tags. A value over the limit is refused, or with `truncate` cut to it."""
    kept = {key: value[:limit] for key, value in texts.items()} if truncate else texts
    return {
        check_key(kind, key): check_text(f"The value of {kind} {key!r}", str(value), limit)
        for key, value in kept.items()
    }


def check_experiment_name(name: str) -> str:
    """Raises InvalidInput for a blank name, LimitExceeded past 500 characters."""
    if not name.strip():
        raise InvalidInput(f"An experiment needs a name; {name!r} is blank.")
    return check_text("An experiment name", name, MAX_EXPERIMENT_NAME)


def check_inputs(inputs: Iterable[RunInput]) -> list[RunInput]:
    """Inputs whose snapshot and role can be stored. Raises InvalidInput for a blank one."""
    checked = list(inputs)
    for read in checked:
        if not read.snapshot.strip() or not read.role.strip():
            raise InvalidInput(
                f"An input needs a snapshot id and a role; {read.snapshot!r} and {read.role!r} are given."
            )
        check_text("A snapshot id", read.snapshot, MAX_ID_LENGTH)
        check_text("An input's role", read.role, MAX_KEY_LENGTH)
    return checked


def check_time(kind: str, time: int) -> int:
    """Raises InvalidInput outside 1970 to the end of 64 bits, in milliseconds."""
    if not 0 <= time <= INT64_MAX:
        raise InvalidInput(f"{kind} {time} is not a time in milliseconds from 1970 on.")
    return time


def check_points(points: Iterable[MetricPoint]) -> list[MetricPoint]:
    """Points whose key, time and step can be stored. Raises InvalidInput naming the point."""
    checked = list(points)
    for key in {point.key for point in checked}:
        check_key("metric", key)
    for point in checked:
        if not 0 <= point.time <= INT64_MAX or not -INT64_MAX <= point.step <= INT64_MAX:
            raise InvalidInput(
                f"Metric {point.key!r} has time {point.time} and step {point.step}: "
                "time is milliseconds from 1970 on, and both fit 64 bits."
            )
    return checked
