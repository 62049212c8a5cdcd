"""From rows to records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from bailiwick.core.canonical import from_canonical
from bailiwick.core.errors import NotFound
from bailiwick.pipelines.model import JSON, PipelineRun, PipelineStep, RunStatus, StepStatus
from bailiwick.pipelines.tables import runs, steps

ACTIVE = (RunStatus.PENDING, RunStatus.RUNNING)
"""States in which a run's steps may be claimed."""


def load_run(connection: Connection, workspace: str, run_id: str) -> PipelineRun:
    """One run with its steps. Raises NotFound, also for a run of another workspace."""
    row = connection.execute(select(runs).where(runs.c.workspace == workspace, runs.c.id == run_id)).mappings().first()
    if row is None:
        raise NotFound.of("Pipeline run", run_id)
    return load_runs(connection, [row])[0]


def load_runs(connection: Connection, found: Sequence[RowMapping]) -> list[PipelineRun]:
    """The runs of these rows, in their order, with one query for all steps."""
    by_run: dict[str, list[PipelineStep]] = defaultdict(list)
    wanted = select(steps).where(steps.c.run_id.in_([row["id"] for row in found])).order_by(steps.c.position)
    for row in connection.execute(wanted).mappings():
        by_run[row["run_id"]].append(step_of(row))
    return [_run_of(row, by_run[row["id"]]) for row in found]


def load_step(connection: Connection, run_id: str, name: str) -> PipelineStep:
    """One step of a run that is known to have it."""
    return step_of(
        connection.execute(select(steps).where(steps.c.run_id == run_id, steps.c.name == name)).mappings().one()
    )


def step_of(row: RowMapping) -> PipelineStep:
    """The record of a step's row."""
    return PipelineStep(
        run_id=row["run_id"],
        name=row["name"],
        needs=tuple(json.loads(row["needs"])),
        status=StepStatus(row["status"]),
        version=row["version"],
        attempt=row["attempt"],
        progress=row["progress"],
        message=row["message"],
        outputs=mapping(row["outputs"]),
        cached_from=row["cached_from"],
        owner=row["owner"],
        started=row["started"],
        ended=row["ended"],
    )


def mapping(text: str) -> Mapping[str, JSON]:
    """A stored JSON object; empty text is the empty object."""
    value: dict[str, Any] = from_canonical(text) if text else {}
    return value


def _run_of(row: RowMapping, of_run: Sequence[PipelineStep]) -> PipelineRun:
    return PipelineRun(
        id=row["id"],
        workspace=row["workspace"],
        pipeline=row["pipeline"],
        digest=row["digest"],
        params=mapping(row["params"]),
        trigger=row["trigger"],
        key=row["key"],
        status=RunStatus(row["status"]),
        message=row["message"],
        submitted_by=row["submitted_by"],
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        steps=tuple(of_run),
    )
