"""Looking at fitted features: what each has learnt, and what it makes of a row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from bailiwick.core.clock import from_text
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.features.columns import MOMENTS, TEXTS
from bailiwick.features.derived import Derived, Pipelined
from bailiwick.features.model import LIMIT, FittedFeature
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.matrices import Fitted, Matrix, read
from bailiwick.lifecycle.training.pipeline import pipeline_name

_MOST_RUNS = 200
_KINDS = {TEXTS: "text", MOMENTS: "moment", "FP32": "number"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One fitted feature: what it reads, what was learnt, the columns that it makes."""

    name: str
    transform: str
    reads: tuple[str, ...]
    learnt: dict[str, Any]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """The features of a project as a run fitted them; `inputs` has number, text or moment by column that the graph takes."""

    project: str
    run: str
    digest: str
    inputs: dict[str, str]
    features: tuple[Feature, ...]
    output: tuple[str, ...]


def look(platform: Platform, workspace: str, project: str) -> Looked:
    """What the newest run that got so far has fitted. Raises NotFound."""
    run, fitted = _newest(platform, workspace, project)
    kept = [
        Feature(each.column, "sklearn (Python)", tuple(each.reads), {"stays Python": each.reason}, each.names)
        for each in fitted.kept
    ]
    made = (*fitted.features.features, *fitted.features.derived)
    return Looked(
        project,
        run,
        fitted.features.digest,
        {name: _KINDS[datatype] for name, datatype in fitted.inputs.items()},
        (*(_told(each, fitted) for each in made), *kept),
        fitted.names,
    )


def try_row(platform: Platform, workspace: str, project: str, row: Mapping[str, Any]) -> dict[str, float]:
    """What every column of the feature matrix is for a row; what the row lacks is missing. Raises InvalidInput, NotFound."""
    _, fitted = _newest(platform, workspace, project)
    for name in row:
        if name not in fitted.inputs:
            raise InvalidInput.choice("Column of the row", name, fitted.inputs)
    columns = {name: _column(name, datatype, row.get(name)) for name, datatype in fitted.inputs.items()}
    with closing(Matrix(platform, fitted)) as matrix:
        values = matrix.run(pa.table(columns))[0]
    return dict(zip(fitted.names, (float(value) for value in values), strict=True))


def _newest(platform: Platform, workspace: str, project: str) -> tuple[str, Fitted]:
    platform.projects.project(workspace, project)
    for run in platform.pipelines.runs(workspace, _MOST_RUNS, pipeline=pipeline_name(project)):
        step = next((each for each in run.steps if each.name == "features"), None)
        if step is not None and step.status.is_done and "kept" in step.outputs:
            return run.id, read(platform, step.outputs)
    raise NotFound(f"No run of {project!r} has fitted its features yet.", hint="bailiwick run features")


def _told(feature: FittedFeature | Derived, fitted: Fitted) -> Feature:
    learnt: dict[str, Any] = msgspec.to_builtins(feature)
    for known in ("column", "source", "sources", "reads", "datatype", "datatypes", "transform", "type"):
        learnt.pop(known, None)
    if isinstance(feature, FittedFeature):
        transform = feature.transform
        learnt = {
            name: value for name, value in learnt.items() if not (isinstance(value, float) and abs(value) == LIMIT)
        }
    else:
        transform = str(type(feature).__struct_config__.tag)
    if isinstance(feature, Pipelined):
        learnt = {name: value for name, value in fitted.judged.get(feature.column, {}).items() if name != "worst"}
    return Feature(feature.column, transform, tuple(name for name, _ in feature.inputs), learnt, feature.names)


def _column(name: str, datatype: str, value: object) -> pa.Array:
    if datatype == MOMENTS and isinstance(value, str):
        try:
            value = from_text(value)
        except ValueError:
            raise InvalidInput(f"Column {name!r} is a moment, and {value!r} is not an ISO 8601 time.") from None
    number = isinstance(value, int | float)
    if value is not None and not (isinstance(value, str) if datatype == TEXTS else number):
        raise InvalidInput(f"Column {name!r} is a {_KINDS[datatype]}, and {value!r} is none.")
    if datatype == TEXTS:
        return pa.array([value], pa.string())
    return pa.array([None if value is None else float(value)], pa.float64())  # type: ignore[arg-type]
