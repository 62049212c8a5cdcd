"""Choosing runs by what they read: `datasets.name`, `datasets.digest` and `datasets.context` of a search."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, true

from bailiwick.core.errors import InvalidInput
from bailiwick.core.filters import Clause
from bailiwick.tracking.lineage.tables import datasets, run_datasets
from bailiwick.tracking.matching import text_condition
from bailiwick.tracking.tables import run_inputs, runs

KEYS = ("name", "digest", "context")


def runs_that_read(
    workspace: str, clauses: Iterable[Clause], dialect: str, run_id: ColumnElement[str] = runs.c.id
) -> ColumnElement[bool]:
    """The condition on `run_id` that every clause holds for some input of the run, not necessarily the same one.

    A snapshot of our own that a run read and that none of its datasets describes has its id as name and digest, and as
    context the role it was read in. Raises InvalidInput for another key, or for a comparator that texts do not have.
    """
    return and_(true(), *[_condition(workspace, clause, dialect, run_id) for clause in clauses])


def _condition(workspace: str, clause: Clause, dialect: str, run_id: ColumnElement[str]) -> ColumnElement[bool]:
    if clause.key not in KEYS:
        raise InvalidInput.choice("Dataset key", clause.key, KEYS)
    edges = select(run_datasets.c.run_id).where(run_datasets.c.workspace == workspace)
    if clause.key == "context":
        described = edges.where(text_condition(run_datasets.c.context, clause, dialect))
        own = _own(workspace, text_condition(run_inputs.c.role, clause, dialect))
    else:
        column = datasets.c.name if clause.key == "name" else datasets.c.digest
        named = select(datasets.c.id).where(datasets.c.workspace == workspace, text_condition(column, clause, dialect))
        described = edges.where(run_datasets.c.dataset_id.in_(named))
        own = _own(workspace, text_condition(run_inputs.c.snapshot, clause, dialect))
    return or_(run_id.in_(described), run_id.in_(own))


def _own(workspace: str, condition: ColumnElement[bool]) -> Select[tuple[str]]:
    """Runs that read a snapshot which meets the condition and which none of their datasets describes."""
    described = (
        exists()
        .where(
            run_datasets.c.run_id == run_inputs.c.run_id,
            run_datasets.c.dataset_id == datasets.c.id,
            datasets.c.snapshot == run_inputs.c.snapshot,
        )
        .correlate(run_inputs)
    )
    return select(run_inputs.c.run_id).where(run_inputs.c.workspace == workspace, condition, ~described)
