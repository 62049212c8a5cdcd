"""The verbs of tracking. Every write is one transaction: a batch of metrics, params and tags is kept whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import AlreadyExists, BailiwickError, Conflict, InvalidInput, NotFound
from bailiwick.store.records import Change, Records
from bailiwick.store.together import Together
from bailiwick.tracking.batches import Batch, Locked, lock_runs, mirror_tags, refusals, write_batches
from bailiwick.tracking.errors import TagNotFound
from bailiwick.tracking.experiments import (
    active,
    experiment_for,
    experiment_with,
    insert_experiment,
    lock_experiment,
    move_lifecycle,
    rename,
    set_tags,
)
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.logged_models.service import log_model_metrics
from bailiwick.tracking.model import (
    DEFAULT_EXPERIMENT,
    ENDED,
    MAX_EXPERIMENT_TAG_LENGTH,
    MAX_ID_LENGTH,
    MAX_KEY_LENGTH,
    MAX_PARAM_LENGTH,
    MAX_TAG_LENGTH,
    MAX_USER_LENGTH,
    PARENT_TAG,
    RUN_NAME_TAG,
    Experiment,
    Lifecycle,
    MetricPoint,
    Run,
    RunInfo,
    RunInput,
    RunStatus,
    check_experiment_name,
    check_inputs,
    check_points,
    check_text,
    check_texts,
    check_time,
)
from bailiwick.tracking.names import run_name
from bailiwick.tracking.reading import TrackingReader
from bailiwick.tracking.runs import info_of, insert_run, load_runs, lock_run, revise_row, snapshots_of, write_inputs
from bailiwick.tracking.tables import experiment_tags, experiments, run_tags, runs

Metrics = Mapping[str, float] | Iterable[MetricPoint]


class TrackingService(TrackingReader):
    """Experiments, runs and what they measured. Safe to share between threads."""

    def __init__(self, records: Records, *, artifact_root: str = "") -> None:
        super().__init__(records, artifact_root=artifact_root)
        self._prepared: set[str] = set()
        self._logging = Together(self._log_together)

    # -- experiments ---------------------------------------------------------------------------------------------

    def prepare_workspace(self, actor: Actor) -> None:
        """Make sure that the workspace has the experiment `Default`, with id 0; costs nothing from the second call on."""
        if actor.workspace in self._prepared:
            return
        here = (experiments.c.workspace == actor.workspace, experiments.c.name == DEFAULT_EXPERIMENT)
        with self._records.read() as connection:
            found = connection.scalar(select(experiments.c.id).where(*here))
        if found is None:
            with suppress(AlreadyExists):  # another process was first
                self.create_experiment(actor, DEFAULT_EXPERIMENT)
        self._prepared.add(actor.workspace)

    def create_experiment(
        self, actor: Actor, name: str, *, tags: Mapping[str, str] | None = None, artifact_location: str = ""
    ) -> Experiment:
        """A new experiment. Raises AlreadyExists, also while a deleted experiment owns the name.

        `artifact_location` is a URI, or a path that is resolved against the working directory of this process.
        """
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            return insert_experiment(change, name, tags=tags, artifact_location=artifact_location, root=self._root)

    def rename_experiment(self, actor: Actor, experiment_id: str, name: str) -> Experiment:
        """Raises AlreadyExists for a name that is taken, ExperimentDeleted. Giving the name it has changes nothing."""
        check_experiment_name(name)
        actor.require(Permission.TRACKING_WRITE)
        before = self.experiment(actor.workspace, experiment_id)
        if (before.name, before.lifecycle) == (name, Lifecycle.ACTIVE):
            return before
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            rename(change, lock_experiment(change, experiment_id), name)
        return self.experiment(actor.workspace, experiment_id)

    def tag_experiment(self, actor: Actor, experiment_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing the values of those that exist. Raises ExperimentDeleted."""
        checked = check_texts("experiment tag", tags, MAX_EXPERIMENT_TAG_LENGTH)
        if not checked:
            raise InvalidInput(f"No tags were given for experiment {experiment_id}; name at least one.")
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            set_tags(change, lock_experiment(change, experiment_id), checked)

    def delete_experiment_tag(self, actor: Actor, experiment_id: str, key: str) -> None:
        """Raises TagNotFound, ExperimentDeleted."""
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            row = active(lock_experiment(change, experiment_id))
            columns = experiment_tags.c
            here = (columns.workspace == change.workspace, columns.experiment_id == row.id, columns.key == key)
            if change.execute(experiment_tags.delete().where(*here)).rowcount == 0:
                raise TagNotFound(key, "experiment", row.id)
            change.record("experiment.tag_deleted", f"experiment/{row.name}", id=row.id, key=key)

    def delete_experiment(self, actor: Actor, experiment_id: str) -> Experiment:
        """Hide an experiment and its runs. It keeps its name, and can be restored."""
        return self._set_lifecycle(actor, experiment_id, Lifecycle.DELETED)

    def restore_experiment(self, actor: Actor, experiment_id: str) -> Experiment:
        """Show an experiment again, with the runs that were hidden together with it."""
        return self._set_lifecycle(actor, experiment_id, Lifecycle.ACTIVE)

    def _set_lifecycle(self, actor: Actor, experiment_id: str, lifecycle: Lifecycle) -> Experiment:
        found = self.experiment(actor.workspace, experiment_id)
        actor.require(Permission.TRACKING_WRITE)
        if found.lifecycle == lifecycle:
            return found
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            move_lifecycle(change, lock_experiment(change, experiment_id), lifecycle)
        return self.experiment(actor.workspace, experiment_id)

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
                if PARENT_TAG in new_tags:
                    _check_parent(change, new_tags[PARENT_TAG])
                into = experiment_for(change, experiment, root=self._root)
                return insert_run(change, into, tags=new_tags, inputs=read, user=actor.name, started=None, key=key)
        except IntegrityError:
            existing = self._run_of_key(actor, key)  # another thread started it since we looked
            if existing is None:
                raise
            return existing

    def create_run(
        self,
        actor: Actor,
        experiment_id: str,
        *,
        name: str = "",
        user: str = "",
        started: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """A RUNNING run in the experiment with that id, begun at `started`, now if left out.

        `user` is whom the client works for, the actor if left out. The parent is what the tag says, whether or not there
        is such a run. Long tags are cut. Raises ExperimentNotFound, ExperimentDeleted, Conflict for two names.
        """
        new_tags = _start_tags(name, None, tags or {}, truncate=True)
        check_text("A parent run id", new_tags.get(PARENT_TAG, ""), MAX_ID_LENGTH)
        whom = check_text("A user's name", user, MAX_USER_LENGTH) or actor.name[:MAX_USER_LENGTH]
        if started is not None:
            check_time("A start time", started)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            into = experiment_with(change, experiment_id, root=self._root)
            return insert_run(change, into, tags=new_tags, inputs=(), user=whom, started=started, key="")

    def _run_of_key(self, actor: Actor, key: str) -> Run | None:
        if not key:
            return None
        check_text("The key of a run", key, MAX_KEY_LENGTH)
        query = select(runs.c.id).where(runs.c.workspace == actor.workspace, runs.c.key == key)
        with self._records.read() as connection:
            found = load_runs(connection, actor.workspace, list(connection.scalars(query)), root=self._root)
        if not found:
            return None
        if found[0].status in {RunStatus.FAILED, RunStatus.KILLED}:
            return self.update_run(actor, found[0].id, status=RunStatus.RUNNING)
        return found[0]

    def log(
        self,
        actor: Actor,
        run_id: str,
        *,
        metrics: Metrics = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        truncate: bool = False,
        of_models: Iterable[ModelMetric] = (),
    ) -> None:
        """Write a batch, whole or not at all. `metrics` as a mapping means step 0, now.

        Points that were logged before are dropped, params are written once, tags are replaced; so a batch may be sent
        again. Params over 6,000 and tags over 8,000 characters are refused, or with `truncate` cut. `of_models` are
        those of the metrics that measure logged models, kept for these as well. Raises RunNotFound, RunDeleted,
        ParamChanged, NotFound for a logged model.
        """
        batch = self._batch(actor, run_id, metrics, params or {}, tags or {}, truncate=truncate)
        measured = tuple(of_models)
        if measured:
            self._log_of_models(actor, batch, measured)
        elif batch:
            self._logging.submit((actor, batch))

    def begin_log(
        self,
        actor: Actor,
        run_id: str,
        executor: Executor,
        *,
        metrics: Metrics = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        truncate: bool = False,
    ) -> Future[None]:
        """As `log`, without waiting: what is wrong with the batch itself is raised, the future says what came of it."""
        batch = self._batch(actor, run_id, metrics, params or {}, tags or {}, truncate=truncate)
        if batch:
            return self._logging.begin((actor, batch), executor)
        nothing: Future[None] = Future()
        nothing.set_result(None)
        return nothing

    def _batch(
        self,
        actor: Actor,
        run_id: str,
        metrics: Metrics,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        *,
        truncate: bool,
    ) -> Batch:
        """What an actor may log, checked."""
        batch = Batch(
            actor.workspace,
            run_id,
            metrics=check_points(self._points(metrics)),
            params=check_texts("param", params, MAX_PARAM_LENGTH, truncate=truncate),
            tags=check_texts("tag", tags, MAX_TAG_LENGTH, truncate=truncate),
        )
        check_text("A parent run id", batch.tags.get(PARENT_TAG, ""), MAX_ID_LENGTH)
        actor.require(Permission.TRACKING_WRITE)
        return batch

    def _log_of_models(self, actor: Actor, batch: Batch, of_models: Sequence[ModelMetric]) -> None:
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            locked = lock_runs(change.connection, [batch.run_id])
            for refusal in refusals(change.connection, [batch], locked):
                if refusal is not None:
                    raise refusal
            _write(change.connection, [batch], locked)
            log_model_metrics(change, of_models)
            _record(change, batch)

    def _log_together(self, logged: Sequence[tuple[Actor, Batch]]) -> list[BailiwickError | None]:
        """What several callers log, in one transaction; what is refused is left out. Outcomes in order."""
        batches = [batch for _, batch in logged]
        with self._records.together() as joint:
            locked = lock_runs(joint.connection, [batch.run_id for batch in batches])
            said = refusals(joint.connection, batches, locked)
            taken = [each for each, error in zip(logged, said, strict=True) if error is None]
            _write(joint.connection, [batch for _, batch in taken], locked)
            for actor, batch in taken:
                _record(joint.by(actor, Permission.TRACKING_WRITE), batch)
        return said

    def _points(self, metrics: Metrics) -> Iterable[MetricPoint]:
        if isinstance(metrics, Mapping):
            now = self._records.clock()
            return [MetricPoint(key, value, now) for key, value in metrics.items()]
        return metrics

    def add_inputs(self, actor: Actor, run_id: str, inputs: Sequence[RunInput]) -> None:
        """Say which snapshots the run read; saying it again changes nothing."""
        if not check_inputs(inputs):
            raise InvalidInput(f"No inputs were given for run {run_id}; name at least one snapshot.")
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            write_inputs(change.connection, change.workspace, run_id, inputs)
            change.record("run.read", f"run/{run_id}", inputs=snapshots_of(inputs))

    def delete_tag(self, actor: Actor, run_id: str, key: str) -> None:
        """Raises TagNotFound when the run has no such tag."""
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_run(change, run_id)
            here = (run_tags.c.run_id == run_id, run_tags.c.key == key)
            if change.execute(run_tags.delete().where(*here)).rowcount == 0:
                raise TagNotFound(key, "run", run_id)
            change.record("run.tag_deleted", f"run/{run_id}", key=key)

    def finish_run(self, actor: Actor, run_id: str, status: str = RunStatus.FINISHED) -> Run:
        """End a run as FINISHED, FAILED or KILLED. Ending it again the same way keeps the first end time."""
        if status not in ENDED:
            raise InvalidInput.choice("The status of an ended run", status, map(str, ENDED))
        return self.update_run(actor, run_id, status=status)

    def update_run(
        self, actor: Actor, run_id: str, *, status: str | None = None, name: str | None = None, ended: int | None = None
    ) -> Run:
        """As `revise_run`, and returns the whole run."""
        self.revise_run(actor, run_id, status=status, name=name, ended=ended)
        return self.run(actor.workspace, run_id)

    def revise_run(
        self, actor: Actor, run_id: str, *, status: str | None = None, name: str | None = None, ended: int | None = None
    ) -> RunInfo:
        """Change status, name or end time; an ended status gets the end time now unless `ended` is given."""
        if status is not None and status not in set(RunStatus):
            raise InvalidInput.choice("Run status", status, map(str, RunStatus))
        if ended is not None:
            check_time("An end time", ended)
        if name is not None:
            check_text("A run name", name, MAX_TAG_LENGTH)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            row = lock_run(change, run_id)
            if status in {None, row.status} and name in {None, row.name} and ended in {None, row.ended}:
                change.nothing()
                return info_of(row, self._root)
            values: dict[str, Any] = {}
            if status is not None:
                values |= {"status": str(status), "ended": change.time if status in ENDED else None}
            if ended is not None:
                values["ended"] = ended
            if name is not None:
                values["name"] = name
                renamed = Batch(change.workspace, run_id, tags={RUN_NAME_TAG: name})
                write_batches(change.connection, [renamed], {run_id: row.experiment_id})
            revise_row(change, row, values)
            change.record("run.updated", f"run/{run_id}", **values)
            return info_of(row, self._root, **values)

    def delete_run(self, actor: Actor, run_id: str) -> Run:
        """Hide a run; it can still be read by id. Deleting it again changes nothing."""
        return self._set_run_lifecycle(actor, run_id, Lifecycle.DELETED)

    def restore_run(self, actor: Actor, run_id: str) -> Run:
        """Show a run again."""
        return self._set_run_lifecycle(actor, run_id, Lifecycle.ACTIVE)

    def _set_run_lifecycle(self, actor: Actor, run_id: str, lifecycle: Lifecycle) -> Run:
        actor.require(Permission.TRACKING_WRITE)
        if self.run_info(actor.workspace, run_id).lifecycle != lifecycle:
            with self._records.change(actor, Permission.TRACKING_WRITE) as change:
                lock_run(change, run_id, deleted=True)
                deleted = change.time if lifecycle is Lifecycle.DELETED else None
                change.execute(update(runs).where(runs.c.id == run_id).values(lifecycle=lifecycle, deleted=deleted))
                change.record("run.deleted" if deleted is not None else "run.restored", f"run/{run_id}")
        return self.run(actor.workspace, run_id)


def _check_parent(change: Change, parent: str) -> None:
    query = select(runs.c.id).where(runs.c.workspace == change.workspace, runs.c.id == parent)
    if change.execute(query).one_or_none() is None:
        raise NotFound.of("Parent run", parent)


def _start_tags(name: str, parent: str | None, tags: Mapping[str, str], *, truncate: bool = False) -> dict[str, str]:
    """The tags of a new run, among them the two that mirror its name and its parent, as MLflow clients expect."""
    mirrored = dict(tags)
    for tag, value in ((RUN_NAME_TAG, name), (PARENT_TAG, parent)):
        if value and (mirrored.get(tag) or value) != value:
            raise Conflict(f"The run is given {value!r} and its tag {tag} says {mirrored[tag]!r}; give one of them.")
        if value:
            mirrored[tag] = value
    mirrored[RUN_NAME_TAG] = mirrored.get(RUN_NAME_TAG) or run_name()
    return check_texts("tag", mirrored, MAX_TAG_LENGTH, truncate=truncate)


def _write(connection: Connection, batches: Sequence[Batch], locked: Locked) -> None:
    write_batches(connection, batches, {run_id: row.experiment_id for run_id, row in locked.items()})
    mirror_tags(connection, batches)


def _record(change: Change, batch: Batch) -> None:
    counts = {"metrics": len(batch.metrics), "params": len(batch.params), "tags": len(batch.tags)}
    change.record("run.logged", f"run/{batch.run_id}", **counts)
