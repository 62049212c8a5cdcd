"""How much there is: runs of experiments, and parts of runs; one query for a whole page of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from bailiwick.tracking.model import Lifecycle
from bailiwick.tracking.tables import runs


@dataclass(frozen=True, slots=True)
class Activity:
    """How many active runs an experiment has, and when the newest began (UTC milliseconds)."""

    runs: int
    newest: int


def count_runs(connection: Connection, workspace: str, experiment_ids: Sequence[str]) -> dict[str, Activity]:
    """By experiment; one without active runs is left out."""
    columns = runs.c
    query = (
        select(columns.experiment_id, func.count(), func.max(columns.started))
        .where(columns.workspace == workspace, columns.experiment_id.in_(experiment_ids))
        .where(columns.lifecycle == Lifecycle.ACTIVE)
        .group_by(columns.experiment_id)
    )
    return {experiment: Activity(count, newest) for experiment, count, newest in connection.execute(query)}


def count_parts(connection: Connection, workspace: str, run_ids: Sequence[str]) -> dict[str, int]:
    """How many active runs are part of each run; one without parts is left out."""
    columns = runs.c
    query = (
        select(columns.parent, func.count())
        .where(columns.workspace == workspace, columns.parent.in_(run_ids), columns.lifecycle == Lifecycle.ACTIVE)
        .group_by(columns.parent)
    )
    return {parent: count for parent, count in connection.execute(query) if parent is not None}
