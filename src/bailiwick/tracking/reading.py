"""The reading verbs of tracking: each is asked for a workspace and sees nothing of the others."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, or_, select

from bailiwick.core.errors import InvalidInput, LimitExceeded, NotFound
from bailiwick.core.filters import Clause, Ordering
from bailiwick.store.records import Records
from bailiwick.tracking.batches import IDS_PER_QUERY
from bailiwick.tracking.comparison import MAX_COMPARED, RunComparison, compare
from bailiwick.tracking.errors import ExperimentNotFound, RunNotFound
from bailiwick.tracking.experiment_search import find_experiments
from bailiwick.tracking.experiments import load_experiments
from bailiwick.tracking.history import (
    CHART_POINTS,
    Curve,
    RunPoint,
    read_curves,
    read_histories,
    read_history,
    read_history_page,
    read_samples,
)
from bailiwick.tracking.locations import DEFAULT_ROOT, checked_location
from bailiwick.tracking.model import Experiment, Lifecycle, MetricPoint, Page, Run, RunInfo, View
from bailiwick.tracking.runs import ONE_RUN, checked_row, info_of, load_runs, page_of_ids
from bailiwick.tracking.search import RunSearch, find_runs
from bailiwick.tracking.tables import experiments, run_inputs, runs
from bailiwick.tracking.tallies import Activity, count_parts, count_runs

MAX_PAGE = 50_000
MAX_HISTORIES = 100
"""Runs whose histories are read at once."""
MAX_CURVES = 1_000
"""Metrics times runs that are sampled at once."""


class TrackingReader:
    """Experiments, runs and what they measured. Safe to share between threads.

    `artifact_root` is where experiments that are given no place keep artifacts.
    """

    def __init__(self, records: Records, *, artifact_root: str = "") -> None:
        self._records = records
        self._root = checked_location(artifact_root) or DEFAULT_ROOT

    # -- experiments ---------------------------------------------------------------------------------------------

    def experiments(self, workspace: str, *, lifecycle: str = Lifecycle.ACTIVE) -> list[Experiment]:
        """Newest first."""
        with self._records.read() as connection:
            return load_experiments(connection, workspace, experiments.c.lifecycle == lifecycle, root=self._root)

    def experiment(self, workspace: str, experiment_id: str) -> Experiment:
        """By id, deleted or not. Raises ExperimentNotFound."""
        with self._records.read() as connection:
            found = load_experiments(connection, workspace, experiments.c.id == experiment_id, root=self._root)
        if not found:
            raise ExperimentNotFound(experiment_id)
        return found[0]

    def experiments_of(self, workspace: str, ids: Sequence[str]) -> dict[str, Experiment]:
        """By id, deleted or not; those that are not there are left out."""
        found: list[Experiment] = []
        with self._records.read() as connection:
            for start in range(0, len(ids), IDS_PER_QUERY):
                some = experiments.c.id.in_(ids[start : start + IDS_PER_QUERY])
                found += load_experiments(connection, workspace, some, root=self._root)
        return {each.id: each for each in found}

    def experiment_named(self, workspace: str, name: str) -> Experiment:
        """By name, deleted or not. Raises NotFound with the nearest name there is."""
        with self._records.read() as connection:
            found = load_experiments(connection, workspace, experiments.c.name == name, root=self._root)
        if not found:
            raise NotFound.of("Experiment", name, [each.name for each in self.experiments(workspace)])
        return found[0]

    def search_experiments(
        self,
        workspace: str,
        clauses: Sequence[Clause] = (),
        orderings: Sequence[Ordering] = (),
        *,
        view: View = View.ACTIVE_ONLY,
        limit: int = 1_000,
        token: str = "",
    ) -> Page[Experiment]:
        """One page, newest first unless `orderings` say otherwise. Raises InvalidInput for what makes no sense."""
        _check_limit(limit)
        with self._records.read() as connection:
            return find_experiments(
                connection, workspace, clauses, orderings, view=view, limit=limit, token=token, root=self._root
            )

    def activity(self, workspace: str, experiment_ids: Sequence[str]) -> dict[str, Activity]:
        """How many active runs each experiment has and when the newest began; those without any are left out."""
        found: dict[str, Activity] = {}
        with self._records.read() as connection:
            for start in range(0, len(experiment_ids), IDS_PER_QUERY):
                found |= count_runs(connection, workspace, experiment_ids[start : start + IDS_PER_QUERY])
        return found

    # -- runs ----------------------------------------------------------------------------------------------------

    def run(self, workspace: str, run_id: str) -> Run:
        """By id, deleted or not. Raises RunNotFound."""
        with self._records.read() as connection:
            found = load_runs(connection, workspace, [run_id], root=self._root)
        if not found:
            raise RunNotFound(run_id)
        return found[0]

    def run_info(self, workspace: str, run_id: str) -> RunInfo:
        """A run without what it logged, in one query. Raises RunNotFound."""
        with self._records.read() as connection:
            row = ONE_RUN.first(connection, {"workspace": workspace, "run": run_id})
        return info_of(checked_row(row, run_id, deleted=True), self._root)

    def runs(
        self,
        workspace: str,
        experiment: str | None = None,
        limit: int = 100,
        *,
        after: str = "",
        lifecycle: str = Lifecycle.ACTIVE,
    ) -> list[Run]:
        """One page of runs, newest first. The id of the last run of a page, as `after`, gets the next page.

        Raises NotFound for an unknown experiment name, InvalidInput for a token that is not a run.
        """
        _check_limit(limit)
        found = None if experiment is None else self.experiment_named(workspace, experiment).id
        with self._records.read() as connection:
            ids = page_of_ids(connection, workspace, experiment_id=found, lifecycle=lifecycle, limit=limit, after=after)
            return load_runs(connection, workspace, ids, root=self._root)

    def search_runs(self, workspace: str, search: RunSearch, *, limit: int = 1_000, token: str = "") -> Page[Run]:
        """One page of the runs that meet every clause, in a handful of queries however many runs there are.

        Raises InvalidInput for a clause or an order that makes no sense, and for a token of another search.
        """
        _check_limit(limit)
        with self._records.read() as connection:
            ids, onward = find_runs(connection, workspace, search, limit=limit, token=token)
            return Page(load_runs(connection, workspace, ids, root=self._root), onward)

    def ids_like(self, workspace: str, part: str) -> list[str]:
        """Ids of runs, deleted ones too, that begin or end with `part`: a few, enough to tell that it is not one."""
        ends = or_(runs.c.id.startswith(part, autoescape=True), runs.c.id.endswith(part, autoescape=True))
        query = select(runs.c.id).where(runs.c.workspace == workspace, ends).order_by(runs.c.id).limit(10)
        with self._records.read() as connection:
            return list(connection.scalars(query))

    def compare_runs(self, workspace: str, run_ids: Sequence[str]) -> RunComparison:
        """Runs side by side, in the order given. Raises RunNotFound, and LimitExceeded past 100 runs."""
        chosen = list(dict.fromkeys(run_ids))
        if not chosen:
            raise InvalidInput("No run is named; name the runs to compare.")
        if len(chosen) > MAX_COMPARED:
            raise LimitExceeded(f"At most {MAX_COMPARED} runs are compared at once; {len(chosen)} are named.")
        with self._records.read() as connection:
            found = load_runs(connection, workspace, chosen, root=self._root)
        missing = set(chosen) - {run.id for run in found}
        if missing:
            raise RunNotFound(min(missing))
        return compare(found)

    def children(self, workspace: str, run_id: str, *, limit: int | None = None) -> list[Run]:
        """Active runs whose parent is this run, oldest first; with a `limit`, the first of them."""
        query = select(runs.c.id).where(
            runs.c.workspace == workspace, runs.c.parent == run_id, runs.c.lifecycle == Lifecycle.ACTIVE
        )
        return self._load(workspace, query.order_by(runs.c.started, runs.c.id).limit(limit))

    def part_counts(self, workspace: str, run_ids: Sequence[str]) -> dict[str, int]:
        """How many active runs each run is the parent of; those without any are left out."""
        found: dict[str, int] = {}
        with self._records.read() as connection:
            for start in range(0, len(run_ids), IDS_PER_QUERY):
                found |= count_parts(connection, workspace, run_ids[start : start + IDS_PER_QUERY])
        return found

    def runs_of_snapshot(self, workspace: str, snapshot: str) -> list[Run]:
        """Runs that read a dataset snapshot, in any role, deleted or not, oldest first."""
        reading = select(run_inputs.c.run_id).where(
            run_inputs.c.workspace == workspace, run_inputs.c.snapshot == snapshot
        )
        query = select(runs.c.id).where(runs.c.id.in_(reading)).order_by(runs.c.started, runs.c.id)
        return self._load(workspace, query)

    def _load(self, workspace: str, query: Select[tuple[str]]) -> list[Run]:
        with self._records.read() as connection:
            return load_runs(connection, workspace, list(connection.scalars(query)), root=self._root)

    # -- metric histories ----------------------------------------------------------------------------------------

    def metric_history(self, workspace: str, run_id: str, key: str) -> list[MetricPoint]:
        """Every point of one metric by time, step, value; empty for a metric that was not logged. Raises RunNotFound."""
        with self._records.read() as connection:
            points = read_history(connection, workspace, run_id, key)
        if not points:
            self.run_info(workspace, run_id)
        return points

    def metric_history_page(
        self, workspace: str, run_id: str, key: str, *, limit: int | None = None, token: str = ""
    ) -> Page[MetricPoint]:
        """A page of a history, or with no limit all that follows the token. Raises RunNotFound, InvalidInput."""
        if limit is not None and limit < 1:
            raise InvalidInput(f"limit {limit} is not positive.")
        with self._records.read() as connection:
            page = read_history_page(connection, workspace, run_id, key, limit=limit, token=token)
        if not page.items:
            self.run_info(workspace, run_id)
        return page

    def metric_histories(self, workspace: str, run_ids: Sequence[str], key: str, *, limit: int) -> list[RunPoint]:
        """The first points of one metric of several runs, by run id, time, step, value; at most `limit` together."""
        _check_runs(run_ids)
        with self._records.read() as connection:
            return read_histories(connection, workspace, run_ids, key, limit=limit)

    def metric_samples(
        self,
        workspace: str,
        run_ids: Sequence[str],
        key: str,
        *,
        limit: int = CHART_POINTS,
        steps: tuple[int, int] | None = None,
    ) -> dict[str, list[MetricPoint]]:
        """A metric of each run by step, thinned out for a chart: `limit` points at most, the last always among them.

        `steps` is the first and the last step to look at. A run that does not exist has no points.
        """
        _check_runs(run_ids)
        if limit < 1:
            raise InvalidInput(f"limit {limit} is not positive.")
        with self._records.read() as connection:
            return read_samples(connection, workspace, run_ids, key, limit=limit, steps=steps)

    def metric_curves(
        self, workspace: str, run_ids: Sequence[str], keys: Sequence[str], *, limit: int = CHART_POINTS
    ) -> dict[Curve, list[MetricPoint]]:
        """Several metrics of several runs, each as in `metric_samples`, in one query; by run id and key, without empty ones.

        Raises LimitExceeded for more than 1,000 metrics times runs.
        """
        if len(run_ids) * len(keys) > MAX_CURVES:
            raise LimitExceeded(f"At most {MAX_CURVES} curves are read at once; {len(run_ids) * len(keys)} are named.")
        if limit < 1:
            raise InvalidInput(f"limit {limit} is not positive.")
        if not run_ids or not keys:
            return {}
        with self._records.read() as connection:
            return read_curves(connection, workspace, run_ids, list(dict.fromkeys(keys)), limit=limit)


def _check_limit(limit: int) -> None:
    if not 0 < limit <= MAX_PAGE:
        raise InvalidInput(f"limit {limit} is not from 1 to {MAX_PAGE}.")


def _check_runs(run_ids: Sequence[str]) -> None:
    if not 0 < len(run_ids) <= MAX_HISTORIES:
        raise LimitExceeded(f"Histories of 1 to {MAX_HISTORIES} runs are read at once; {len(run_ids)} are named.")
