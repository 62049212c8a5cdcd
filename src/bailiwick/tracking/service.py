"""The verbs of tracking. Every write is one transaction: a batch of metrics, params and tags is kept whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.core.ids import new_id
from bailiwick.store.records import Change, Records
from bailiwick.tracking.experiments import experiment_for, insert_experiment, load_experiments
from bailiwick.tracking.metrics import read_history, write_metrics
from bailiwick.tracking.model import (
    ENDED,
    MAX_ID_LENGTH,
    MAX_KEY_LENGTH,
    MAX_PARAM_LENGTH,
    MAX_TAG_LENGTH,
    PARENT_TAG,
    RUN_NAME_TAG,
    Experiment,
    Lifecycle,
    MetricPoint,
    Run,
    RunInput,
    RunStatus,
    check_inputs,
    check_points,
    check_text,
    check_texts,
    check_time,
)
from bailiwick.tracking.names import run_name
from bailiwick.tracking.runs import (
    load_runs,
    lock_run,
    page_of_ids,
    write_inputs,
    write_params,
    write_tags,
)
from bailiwick.tracking.tables import experiments, run_inputs, run_tags, runs

MAX_PAGE = 50_000
Metrics = Mapping[str, float] | Iterable[MetricPoint]


class TrackingService:
    """Experiments, runs and what they measured. Safe to share between threads: it holds nothing but `records`."""

    def __init__(self, records: Records) -> None:
        self._records = records

    # -- experiments ---------------------------------------------------------------------------------------------

    def create_experiment(
        self, actor: Actor, name: str, *, tags: Mapping[str, str] | None = None, artifact_location: str = ""
    ) -> Experiment:
        """A new experiment. Raises AlreadyExists, also while a deleted experiment owns the name."""
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            return insert_experiment(change, name, tags=tags, artifact_location=artifact_location)

    def experiments(self, workspace: str, *, lifecycle: str = Lifecycle.ACTIVE) -> list[Experiment]:
        """Newest first."""
        with self._records.read() as connection:
            return load_experiments(connection, workspace, experiments.c.lifecycle == lifecycle)

    def experiment(self, workspace: str, experiment_id: str) -> Experiment:
        """By id, deleted or not. Raises NotFound."""
        with self._records.read() as connection:
            found = load_experiments(connection, workspace, experiments.c.id == experiment_id)
        if not found:
            raise NotFound.of("Experiment", experiment_id)
        return found[0]

    def experiment_named(self, workspace: str, name: str) -> Experiment:
        """By name, deleted or not. Raises NotFound with the nearest name there is."""
        with self._records.read() as connection:
            found = load_experiments(connection, workspace, experiments.c.name == name)
        if not found:
            raise NotFound.of("Experiment", name, [each.name for each in self.experiments(workspace)])
        return found[0]

    def delete_experiment(self, actor: Actor, experiment_id: str) -> Experiment:
        """Hide an experiment and its runs. It keeps its name, and can be restored."""
        return self._set_lifecycle(actor, experiment_id, Lifecycle.DELETED)

    def restore_experiment(self, actor: Actor, experiment_id: str) -> Experiment:
        """Show an experiment again, with the runs that were hidden together with it."""
        return self._set_lifecycle(actor, experiment_id, Lifecycle.ACTIVE)

    def _set_lifecycle(self, actor: Actor, experiment_id: str, lifecycle: Lifecycle) -> Experiment:
        found = self.experiment(actor.workspace, experiment_id)
        if found.lifecycle == lifecycle:
            actor.require(Permission.TRACKING_WRITE)
            return found
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            here = (experiments.c.workspace == change.workspace, experiments.c.id == experiment_id)
            before = change.execute(select(experiments.c.deleted).where(*here).with_for_update()).scalar_one()
            deleted = change.time if lifecycle is Lifecycle.DELETED else None
            change.execute(
                update(experiments).where(*here).values(lifecycle=lifecycle, deleted=deleted, updated=change.time)
            )
            of_runs = (runs.c.workspace == change.workspace, runs.c.experiment_id == experiment_id)
            moved = runs.c.lifecycle == Lifecycle.ACTIVE if deleted is not None else runs.c.deleted == before
            change.execute(update(runs).where(*of_runs, moved).values(lifecycle=lifecycle, deleted=deleted))
            verb = "deleted" if deleted is not None else "restored"
            change.record(f"experiment.{verb}", f"experiment/{found.name}", id=experiment_id)
            return load_experiments(change.connection, change.workspace, experiments.c.id == experiment_id)[0]

    # -- runs ----------------------------------------------------------------------------------------------------

    def start_run(
        self,
        actor: Actor,
        experiment: str,
        *,
        name: str = "",
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        inputs: Sequence[RunInput] = (),
        key: str = "",
    ) -> Run:
        """A RUNNING run in the experiment of that name, which is made if there is none.

        With a `key`, unique in the workspace, starting again returns the run that was started before; one that had
        FAILED or was KILLED runs again. Raises NotFound for an unknown parent, Conflict for a deleted experiment.
        """
        actor.require(Permission.TRACKING_WRITE)
        existing = self._run_of_key(actor, key)
        if existing:
            return existing
        new_tags, read = _start_tags(name, parent, tags or {}), check_inputs(inputs)
        try:
            with self._records.change(actor, Permission.TRACKING_WRITE) as change:
                return self._insert_run(change, experiment, tags=new_tags, inputs=read, key=key)
        except IntegrityError:
            existing = self._run_of_key(actor, key)  # another thread started it since we looked
            if existing is None:
                raise
            return existing

    def _run_of_key(self, actor: Actor, key: str) -> Run | None:
        if not key:
            return None
        check_text("The key of a run", key, MAX_KEY_LENGTH)
        query = select(runs.c.id).where(runs.c.workspace == actor.workspace, runs.c.key == key)
        with self._records.read() as connection:
            found = load_runs(connection, actor.workspace, list(connection.scalars(query)))
        if not found:
            return None
        if found[0].status in {RunStatus.FAILED, RunStatus.KILLED}:
            return self.update_run(actor, found[0].id, status=RunStatus.RUNNING)
        return found[0]

    def _insert_run(
        self, change: Change, experiment: str, *, tags: dict[str, str], inputs: Sequence[RunInput], key: str
    ) -> Run:
        parent = tags.get(PARENT_TAG)
        if parent is not None and not load_runs(change.connection, change.workspace, [parent]):
            raise NotFound.of("Parent run", parent)
        owner = experiment_for(change, experiment)
        run_id = new_id()
        change.execute(
            insert(runs).values(
                id=run_id,
                workspace=change.workspace,
                experiment_id=owner.id,
                name=tags[RUN_NAME_TAG],
                status=RunStatus.RUNNING,
                lifecycle=Lifecycle.ACTIVE,
                started=change.time,
                parent=parent,
                key=key or None,
                created_by=change.actor.identity,
            )
        )
        write_tags(change.connection, change.workspace, run_id, tags)
        write_inputs(change.connection, change.workspace, run_id, inputs)
        snapshots = sorted({read.snapshot for read in inputs})[:100]
        change.record("run.started", f"run/{run_id}", experiment=experiment, name=tags[RUN_NAME_TAG], inputs=snapshots)
        return load_runs(change.connection, change.workspace, [run_id])[0]

    def log(
        self,
        actor: Actor,
        run_id: str,
        *,
        metrics: Metrics = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write a batch, whole or not at all. `metrics` as a mapping means step 0, now.

        Points that were logged before are dropped, params are written once, tags are replaced; so a batch may be sent
        again. Raises Conflict for a changed param or a deleted run.
        """
        points = check_points(self._points(metrics))
        new_params = check_texts("param", params or {}, MAX_PARAM_LENGTH)
        new_tags = check_texts("tag", tags or {}, MAX_TAG_LENGTH)
        if not (points or new_params or new_tags):
            actor.require(Permission.TRACKING_WRITE)
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            write_params(change.connection, change.workspace, run_id, new_params)
            write_tags(change.connection, change.workspace, run_id, new_tags)
            self._mirror_tags(change, run_id, new_tags)
            write_metrics(change.connection, change.workspace, run_id, points)
            counts = {"metrics": len(points), "params": len(new_params), "tags": len(new_tags)}
            change.record("run.logged", f"run/{run_id}", **counts)

    def _points(self, metrics: Metrics) -> Iterable[MetricPoint]:
        if isinstance(metrics, Mapping):
            now = self._records.clock()
            return [MetricPoint(key, value, now) for key, value in metrics.items()]
        return metrics

    def _mirror_tags(self, change: Change, run_id: str, tags: Mapping[str, str]) -> None:
        mirrored = {"name": tags.get(RUN_NAME_TAG), "parent": tags.get(PARENT_TAG)}
        check_text("A parent run id", mirrored["parent"] or "", MAX_ID_LENGTH)
        values = {column: value for column, value in mirrored.items() if value is not None}
        if values:
            change.execute(update(runs).where(runs.c.id == run_id).values(values))

    def add_inputs(self, actor: Actor, run_id: str, inputs: Sequence[RunInput]) -> None:
        """Say which snapshots the run read; saying it again changes nothing."""
        if not check_inputs(inputs):
            raise InvalidInput(f"No inputs were given for run {run_id}; name at least one snapshot.")
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            write_inputs(change.connection, change.workspace, run_id, inputs)
            snapshots = sorted({read.snapshot for read in inputs})[:100]
            change.record("run.read", f"run/{run_id}", inputs=snapshots)

    def delete_tag(self, actor: Actor, run_id: str, key: str) -> None:
        """Raises NotFound when the run has no such tag."""
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            here = (run_tags.c.run_id == run_id, run_tags.c.key == key)
            if change.execute(run_tags.delete().where(*here)).rowcount == 0:
                raise NotFound.of("Tag", key)
            change.record("run.tag_deleted", f"run/{run_id}", key=key)

    def finish_run(self, actor: Actor, run_id: str, status: str = RunStatus.FINISHED) -> Run:
        """End a run as FINISHED, FAILED or KILLED. Ending it again the same way keeps the first end time."""
        if status not in ENDED:
            raise InvalidInput.choice("The status of an ended run", status, map(str, ENDED))
        return self.update_run(actor, run_id, status=status)

    def update_run(
        self, actor: Actor, run_id: str, *, status: str | None = None, name: str | None = None, ended: int | None = None
    ) -> Run:
        """Change status, name or end time; an ended status gets the end time now unless `ended` is given."""
        if status is not None and status not in set(RunStatus):
            raise InvalidInput.choice("Run status", status, map(str, RunStatus))
        actor.require(Permission.TRACKING_WRITE)
        before = self.run(actor.workspace, run_id)
        if ended is None and status in {None, before.status} and name in {None, before.name}:
            return before
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            values: dict[str, object] = {}
            if status is not None:
                values |= {"status": status, "ended": change.time if status in ENDED else None}
            if ended is not None:
                values["ended"] = check_time("An end time", ended)
            if name is not None:
                values["name"] = check_text("A run name", name, MAX_TAG_LENGTH)
                write_tags(change.connection, change.workspace, run_id, {RUN_NAME_TAG: name})
            change.execute(update(runs).where(runs.c.id == run_id).values(values))
            change.record("run.updated", f"run/{run_id}", **values)
            return load_runs(change.connection, change.workspace, [run_id])[0]

    def delete_run(self, actor: Actor, run_id: str) -> Run:
        """Hide a run; it can still be read by id. Deleting it again changes nothing."""
        return self._set_run_lifecycle(actor, run_id, Lifecycle.DELETED)

    def restore_run(self, actor: Actor, run_id: str) -> Run:
        """Show a run again."""
        return self._set_run_lifecycle(actor, run_id, Lifecycle.ACTIVE)

    def _set_run_lifecycle(self, actor: Actor, run_id: str, lifecycle: Lifecycle) -> Run:
        actor.require(Permission.TRACKING_WRITE)
        before = self.run(actor.workspace, run_id)
        if before.lifecycle == lifecycle:
            return before
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id, deleted=True)
            deleted = change.time if lifecycle is Lifecycle.DELETED else None
            change.execute(update(runs).where(runs.c.id == run_id).values(lifecycle=lifecycle, deleted=deleted))
            change.record("run.deleted" if deleted is not None else "run.restored", f"run/{run_id}")
            return load_runs(change.connection, change.workspace, [run_id])[0]

    # -- reading -------------------------------------------------------------------------------------------------

    def run(self, workspace: str, run_id: str) -> Run:
        """By id, deleted or not. Raises NotFound."""
        with self._records.read() as connection:
            found = load_runs(connection, workspace, [run_id])
        if not found:
            raise NotFound.of("Run", run_id)
        return found[0]

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
        if not 0 < limit <= MAX_PAGE:
            raise InvalidInput(f"limit {limit} is not from 1 to {MAX_PAGE}.")
        found = None if experiment is None else self.experiment_named(workspace, experiment).id
        with self._records.read() as connection:
            ids = page_of_ids(connection, workspace, experiment_id=found, lifecycle=lifecycle, limit=limit, after=after)
            return load_runs(connection, workspace, ids)

    def children(self, workspace: str, run_id: str) -> list[Run]:
        """Active runs whose parent is this run, oldest first."""
        query = select(runs.c.id).where(
            runs.c.workspace == workspace, runs.c.parent == run_id, runs.c.lifecycle == Lifecycle.ACTIVE
        )
        return self._load(workspace, query.order_by(runs.c.started, runs.c.id))

    def runs_of_snapshot(self, workspace: str, snapshot: str) -> list[Run]:
        """Runs that read a dataset snapshot, in any role, deleted or not, oldest first."""
        reading = select(run_inputs.c.run_id).where(
            run_inputs.c.workspace == workspace, run_inputs.c.snapshot == snapshot
        )
        query = select(runs.c.id).where(runs.c.id.in_(reading)).order_by(runs.c.started, runs.c.id)
        return self._load(workspace, query)

    def metric_history(self, workspace: str, run_id: str, key: str) -> list[MetricPoint]:
        """Every point of one metric by time, step, value; empty for a metric that was not logged. Raises NotFound."""
        with self._records.read() as connection:
            points = read_history(connection, workspace, run_id, key)
        if not points:
            self.run(workspace, run_id)
        return points

    def _load(self, workspace: str, query: Select[tuple[str]]) -> list[Run]:
        with self._records.read() as connection:
            return load_runs(connection, workspace, list(connection.scalars(query)))


def _start_tags(name: str, parent: str | None, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a new run, among them the two that mirror its name and its parent, as MLflow clients expect."""
    mirrored = dict(tags)
    for tag, value in ((RUN_NAME_TAG, name), (PARENT_TAG, parent)):
        if value and mirrored.setdefault(tag, value) != value:
            raise Conflict(f"The run is given {value!r} and its tag {tag} says {mirrored[tag]!r}; give one of them.")
    mirrored[RUN_NAME_TAG] = mirrored.get(RUN_NAME_TAG) or run_name()
    return check_texts("tag", mirrored, MAX_TAG_LENGTH)
