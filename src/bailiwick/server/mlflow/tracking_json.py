"""Experiments, runs and metric points as MLflow's clients read them; what is not set is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from msgspec import Struct

from bailiwick.server.mlflow.errors import INVALID, MlflowError
from bailiwick.server.mlflow.message import number
from bailiwick.server.mlflow.run_links import inputs_json, outputs_json
from bailiwick.tracking.lineage.model import RunLinks
from bailiwick.tracking.model import Experiment, MetricPoint, Run, RunInfo, RunStatus, View

VIEWS = {1: View.ACTIVE_ONLY, 2: View.DELETED_ONLY, 3: View.ALL}
STATUSES = dict(enumerate(RunStatus, start=1))


class KeyValue(Struct, gc=False):
    """A param or a tag."""

    key: str
    value: str


class Metric(Struct, omit_defaults=True, gc=False):
    """A point; `run_id` only where points of several runs are given together."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str | None = None


class Info(Struct, omit_defaults=True, gc=False):
    """What is known of a run beside what it logged; clients before 2.0 read `run_uuid`."""

    run_uuid: str
    run_id: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | None = None


class Data(Struct, omit_defaults=True):
    """What a run logged, metrics at their latest."""

    metrics: list[Metric] | None = None
    params: list[KeyValue] | None = None
    tags: list[KeyValue] | None = None


class RunJson(Struct):
    """One run; `inputs` and `outputs` are objects, empty where there are none."""

    info: Info
    data: Data
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


class ExperimentJson(Struct, omit_defaults=True):
    """One experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    workspace: str
    tags: list[KeyValue] | None = None


def runs_json(runs: Sequence[Run], links: Mapping[str, RunLinks]) -> list[RunJson]:
    """Runs in their order. Everything that is told of runs beyond what tracking keeps joins in here, a page at a time."""
    return [
        RunJson(info_json(run), _data(run), inputs_json(links.get(run.id), run.inputs), outputs_json(links.get(run.id)))
        for run in runs
    ]


def info_json(run: Run | RunInfo) -> Info:
    """The `info` of a run."""
    return Info(
        run_uuid=run.id,
        run_id=run.id,
        run_name=run.name,
        experiment_id=run.experiment_id,
        user_id=run.user,
        status=run.status,
        start_time=run.started,
        artifact_uri=run.artifact_uri,
        lifecycle_stage=run.lifecycle,
        end_time=run.ended,
    )


def _data(run: Run) -> Data:
    return Data(points_json(run.latest) or None, pairs_json(run.params) or None, pairs_json(run.tags) or None)


def points_json(points: Sequence[MetricPoint]) -> list[Metric]:
    """Points of one run."""
    return [
        Metric(point.key, point.value if isfinite(point.value) else number(point.value), point.time, point.step)
        for point in points  # of which a page has tens of thousands
    ]


def run_point_json(run_id: str, point: MetricPoint) -> Metric:
    """A point among those of other runs."""
    return Metric(point.key, number(point.value), point.time, point.step, run_id)


def pairs_json(texts: Mapping[str, str]) -> list[KeyValue]:
    """Params or tags."""
    return [KeyValue(key, value) for key, value in texts.items()]


def experiment_json(experiment: Experiment) -> ExperimentJson:
    """One experiment."""
    return ExperimentJson(
        experiment_id=experiment.id,
        name=experiment.name,
        artifact_location=experiment.artifact_location,
        lifecycle_stage=experiment.lifecycle,
        last_update_time=experiment.updated,
        creation_time=experiment.created,
        workspace=experiment.workspace,
        tags=pairs_json(experiment.tags) or None,
    )


def view_of(value: str | int | None) -> View:
    """An enum's name or number; ACTIVE_ONLY when it is not set. Raises MlflowError."""
    return View.ACTIVE_ONLY if value is None else _enum(value, VIEWS, "view_type")


def status_of(value: str | int | None) -> RunStatus | None:
    """An enum's name or number. Raises MlflowError."""
    return None if value is None else _enum(value, STATUSES, "status")


def _enum(value: str | int, names: Mapping[int, Any], parameter: str) -> Any:
    for number_of, name in names.items():
        if value in {number_of, str(number_of), str(name)}:
            return name
    choices = ", ".join(str(name) for name in names.values())
    raise MlflowError(
        INVALID, f"Invalid value {str(value)[:100]!r} for parameter '{parameter}' supplied: choose one of {choices}."
    )


def page_size(value: int | None, *, default: int = 1_000, largest: int = 50_000) -> int:
    """`max_results` as asked for. Raises MlflowError outside 1 to `largest`."""
    if value is None:
        return default
    if value < 1:
        said = f"Invalid value {value} for parameter 'max_results' supplied. It must be a positive integer."
        raise MlflowError(INVALID, said)
    if value > largest:
        said = f"Invalid value {value} for parameter 'max_results' supplied. It must be at most {largest}."
        raise MlflowError(INVALID, said)
    return value
