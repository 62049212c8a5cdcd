"""The verbs of moving: each is one transaction, says where the records come from, and may be done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, LimitExceeded
from bailiwick.store.faults import reach
from bailiwick.store.records import Change, Records
from bailiwick.tracking.batches import Batch, lock_runs, write_batches
from bailiwick.tracking.errors import RunNotFound
from bailiwick.tracking.experiments import experiment_of, insert_experiment, lock_experiment, write_tags
from bailiwick.tracking.imports.model import (
    ArrivedExperiment,
    ArrivedModel,
    ArrivedRun,
    Kind,
    Mark,
    Tally,
    check_experiment,
    check_model,
    check_run,
    check_source,
)
from bailiwick.tracking.imports.rows import (
    count_arrived,
    known_runs,
    load_locations,
    load_marks,
    refuse_foreign,
    write_marks,
    write_model,
    write_runs,
)
from bailiwick.tracking.locations import DEFAULT_ROOT, checked_location, experiment_location
from bailiwick.tracking.logged_models.metrics import write_model_metrics
from bailiwick.tracking.logged_models.model import check_model_metrics
from bailiwick.tracking.logged_models.rows import write_model_params, write_model_tags
from bailiwick.tracking.logged_models.tables import logged_models
from bailiwick.tracking.model import (
    DEFAULT_EXPERIMENT,
    MAX_EXPERIMENT_TAG_LENGTH,
    Experiment,
    Lifecycle,
    MetricPoint,
    check_points,
    check_texts,
)
from bailiwick.tracking.tables import experiments

MAX_RUNS = 1_000
AnyRow = Row[*tuple[Any, ...]]


class ImportService:
    """Records of other tracking servers. Safe to share between threads.

    `source` names the server, always in the same letters. Nothing is made twice: each record that arrives is marked in
    the transaction that makes it, and one that comes again is brought up to date.
    """

    def __init__(self, records: Records, *, artifact_root: str = "") -> None:
        self._records = records
        self._root = checked_location(artifact_root) or DEFAULT_ROOT

    # -- marks ---------------------------------------------------------------------------------------------------

    def marks(self, workspace: str, source: str, kind: Kind, ids: Sequence[str] | None = None) -> dict[str, Mark]:
        """What arrived from a source, by its id there: of `ids`, or all."""
        with self._records.read() as connection:
            return load_marks(connection, workspace, source, kind, ids)

    def mark(self, actor: Actor, source: str, kind: Kind, marks: Sequence[Mark]) -> None:
        """Say how far records have come; what is said last counts. One entry in the journal for all of them."""
        check_source(source)
        actor.require(Permission.TRACKING_WRITE)
        if not marks:
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            write_marks(change, source, kind, marks)
            told = {"kind": kind.value, "records": len(marks), "complete": sum(bool(each.digest) for each in marks)}
            change.record("import.advanced", f"import/{source}", **told)
        reach("imports.marked")

    def tally(self, workspace: str, source: str, experiment_ids: Sequence[str] | None = None) -> Tally:
        """How much of a source is here, counted anew: in these experiments (ids here), or in all."""
        with self._records.read() as connection:
            return count_arrived(connection, workspace, source, experiment_ids)

    def locations(self, workspace: str, source: str, experiment_ids: Sequence[str]) -> list[str]:
        """Artifact URIs to which files of a source were moved, in these experiments (ids here)."""
        with self._records.read() as connection:
            return load_locations(connection, workspace, source, experiment_ids)

    # -- experiments ---------------------------------------------------------------------------------------------

    def import_experiment(self, actor: Actor, source: str, arrived: ArrivedExperiment) -> Experiment:
        """Make an experiment, or bring the one that arrived before up to date: tags and lifecycle, not the name.

        `Default`, which is everywhere, becomes ours, and is never deleted. Raises AlreadyExists for the name of an
        experiment that is not from this source.
        """
        check_source(source)
        check_experiment(arrived)
        tags = check_texts("experiment tag", arrived.tags, MAX_EXPERIMENT_TAG_LENGTH)
        actor.require(Permission.TRACKING_WRITE)
        known = self.marks(actor.workspace, source, Kind.EXPERIMENT, [arrived.id]).get(arrived.id)
        if known is not None and known.digest and known.digest == arrived.digest:
            with self._records.read() as connection:
                here = (experiments.c.workspace == actor.workspace, experiments.c.id == known.local)
                row = connection.execute(select(experiments).where(*here)).one()
            return experiment_of(row, {}, root=self._root)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            row = self._held(change, source, arrived)
            if tags:
                write_tags(change, row.id, tags)
            if arrived.name != DEFAULT_EXPERIMENT and row.lifecycle != arrived.lifecycle:
                _set_lifecycle(change, row.number, arrived)
            marked = Mark(arrived.id, row.id, arrived.digest)
            write_marks(change, source, Kind.EXPERIMENT, [marked])
            detail = {"id": row.id, "source": source, "source_id": arrived.id}
            change.record("experiment.imported", f"experiment/{row.name}", **detail)
            made = experiment_of(lock_experiment(change, row.id), tags, root=self._root)
        reach("imports.experiment")
        return made

    def _held(self, change: Change, source: str, arrived: ArrivedExperiment) -> AnyRow:
        """The row of an experiment that arrives, made if need be."""
        known = load_marks(change.connection, change.workspace, source, Kind.EXPERIMENT, [arrived.id])
        if arrived.id in known:
            return lock_experiment(change, known[arrived.id].local)
        here = (experiments.c.workspace == change.workspace, experiments.c.name == arrived.name)
        row: AnyRow | None = change.execute(select(experiments).where(*here)).one_or_none()
        if row is not None and arrived.name == DEFAULT_EXPERIMENT:
            return lock_experiment(change, row.id)
        made = insert_experiment(change, arrived.name, artifact_location=arrived.location, root=self._root)
        moment = {"created": arrived.created, "updated": arrived.updated}
        this = (experiments.c.workspace == change.workspace, experiments.c.id == made.id)
        change.execute(update(experiments).where(*this).values(moment))
        return lock_experiment(change, made.id)

    # -- runs ----------------------------------------------------------------------------------------------------

    def import_runs(self, actor: Actor, source: str, experiment_id: str, arrived: Sequence[ArrivedRun]) -> None:
        """Make runs with their ids, times, params, tags and inputs, or bring those that arrived before up to date.

        All of them or none, at most 1,000; the experiment may be deleted. Raises InvalidInput for what cannot be
        stored, Conflict for an id that is taken by another run, ExperimentNotFound.
        """
        check_source(source)
        checked = list({run.id: check_run(run) for run in arrived}.values())
        if len(checked) > MAX_RUNS:
            raise LimitExceeded(f"At most {MAX_RUNS} runs are moved at once; there are {len(checked)}.")
        actor.require(Permission.TRACKING_WRITE)
        if not checked:
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            row = lock_experiment(change, experiment_id)
            refuse_foreign(change, source, experiment_id, checked)
            experiment = self._placed(experiment_of(row, {}, root=self._root))
            write_runs(change, experiment, row.deleted, checked)
            write_marks(change, source, Kind.RUN, [Mark(run.id, run.id) for run in checked], replace=False)
            for run in checked:
                counts = {"params": len(run.params), "tags": len(run.tags), "datasets": len(run.datasets)}
                change.record("run.imported", f"run/{run.id}", source=source, experiment=row.name, **counts)
        reach("imports.runs")

    def import_points(self, actor: Actor, source: str, points: Mapping[str, Sequence[MetricPoint]]) -> None:
        """Add points to runs that arrived from the source, by run id, all or none; points that are there stay once.

        A deleted run takes them too. Raises RunNotFound, InvalidInput.
        """
        check_source(source)
        batches = [
            Batch(actor.workspace, run_id, metrics=check_points(given)) for run_id, given in points.items() if given
        ]
        actor.require(Permission.TRACKING_WRITE)
        if not batches:
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            ids = [batch.run_id for batch in batches]
            locked = lock_runs(change.connection, ids)
            known = load_marks(change.connection, change.workspace, source, Kind.RUN, ids)
            for run_id in ids:
                if run_id not in known or locked[run_id].workspace != change.workspace:
                    raise RunNotFound(run_id)
            write_batches(change.connection, batches, {run_id: row.experiment_id for run_id, row in locked.items()})
            for batch in batches:
                told = {"metrics": len(batch.metrics), "params": 0, "tags": 0, "source": source}
                change.record("run.logged", f"run/{batch.run_id}", **told)
        reach("imports.points")

    # -- logged models -------------------------------------------------------------------------------------------

    def import_logged_model(self, actor: Actor, source: str, experiment_id: str, arrived: ArrivedModel) -> int:
        """Make a logged model with its id, times and measurements, or bring the one that arrived before up to date.

        Measurements by runs that are not here are left out; returns how many. Raises InvalidInput, Conflict for an id
        that is taken by another model, ExperimentNotFound.
        """
        check_source(source)
        check_model(arrived)
        metrics = check_model_metrics(arrived.metrics)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            row = lock_experiment(change, experiment_id)
            marked = load_marks(change.connection, change.workspace, source, Kind.LOGGED_MODEL, [arrived.id])
            taken = select(logged_models.c.id).where(logged_models.c.id == arrived.id)
            if not marked and change.execute(taken).first() is not None:
                raise Conflict(
                    f"The id {arrived.id} is taken here by a logged model that did not arrive from {source}."
                )
            write_model(change, self._placed(experiment_of(row, {}, root=self._root)), arrived)
            write_model_params(change.connection, arrived.id, arrived.params)
            write_model_tags(change.connection, arrived.id, arrived.tags)
            here = known_runs(change.connection, change.workspace, {each.run_id for each in metrics})
            kept = [each for each in metrics if each.run_id in here]
            write_model_metrics(change.connection, kept)
            write_marks(change, source, Kind.LOGGED_MODEL, [Mark(arrived.id, arrived.id)], replace=False)
            told = {"source": source, "experiment": row.name, "name": arrived.name, "metrics": len(kept)}
            change.record("logged_model.imported", f"logged_model/{arrived.id}", **told)
        reach("imports.logged_model")
        return len(metrics) - len(kept)

    def _placed(self, experiment: Experiment) -> Experiment:
        """The experiment with a place of our own, for runs whose files come to us though the experiment's did not."""
        if experiment.artifact_location.startswith(self._root):
            return experiment
        own = experiment_location(self._root, experiment.workspace, experiment.id)
        values = {name: getattr(experiment, name) for name in Experiment.__slots__}
        return Experiment(**{**values, "artifact_location": own})


def _set_lifecycle(change: Change, number: int, arrived: ArrivedExperiment) -> None:
    """Hide or show an experiment as it is at its source; its runs follow one by one as they arrive."""
    deleted = arrived.updated if arrived.lifecycle == Lifecycle.DELETED else None
    values = {"lifecycle": arrived.lifecycle, "deleted": deleted, "updated": arrived.updated}
    change.execute(update(experiments).where(experiments.c.number == number).values(values))
