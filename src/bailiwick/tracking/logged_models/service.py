"""The verbs of logged models. Each write is one transaction, and may be sent again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import AlreadyExists, InvalidInput, NotFound
from bailiwick.core.filters import Clause
from bailiwick.store.records import Change, Records
from bailiwick.tracking.experiments import experiment_with
from bailiwick.tracking.locations import DEFAULT_ROOT, beneath, checked_location
from bailiwick.tracking.logged_models.metrics import write_model_metrics
from bailiwick.tracking.logged_models.model import (
    FINAL,
    MAX_TYPE_LENGTH,
    DatasetScope,
    LoggedModel,
    LoggedModelPage,
    LoggedModelStatus,
    ModelMetric,
    ModelOrder,
    check_logged_model_name,
    check_model_id,
    check_model_metrics,
    check_model_texts,
    new_model_id,
)
from bailiwick.tracking.logged_models.rows import (
    load_model,
    load_models,
    lock_model,
    require_models,
    write_model_params,
    write_model_tags,
)
from bailiwick.tracking.logged_models.search import Query, page_of_ids
from bailiwick.tracking.logged_models.tables import logged_models, model_tags
from bailiwick.tracking.model import MAX_ID_LENGTH, MAX_KEY_LENGTH, Experiment, Lifecycle, check_text
from bailiwick.tracking.names import run_name

MAX_PAGE = 50_000
KEYS_IN_JOURNAL = 20


class LoggedModelService:
    """Logged models and their measurements. Safe to share between threads.

    `artifact_root` is where experiments that are given no place keep artifacts.
    """

    def __init__(self, records: Records, *, artifact_root: str = "") -> None:
        self._records = records
        self._root = checked_location(artifact_root) or DEFAULT_ROOT

    def create(
        self,
        actor: Actor,
        experiment_id: str,
        *,
        name: str = "",
        model_type: str = "",
        source_run: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        model_id: str = "",
    ) -> LoggedModel:
        """A PENDING model, whose files the caller then puts at its `artifact_location`.

        Without a name it is given one. `source_run` is only a reference. With a `model_id`, as when models are moved
        here from elsewhere, creating it again raises AlreadyExists. Raises ExperimentNotFound, ExperimentDeleted.
        """
        values = {
            "id": check_model_id(model_id) if model_id else new_model_id(),
            "name": check_logged_model_name(name) if name else run_name(),
            "type": check_text("The type of a logged model", model_type, MAX_TYPE_LENGTH),
            "source_run": check_text("A source run id", source_run, MAX_ID_LENGTH),
        }
        new_params, new_tags = check_model_texts("param", params or {}), check_model_texts("tag", tags or {})
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            experiment = experiment_with(change, experiment_id, root=self._root)
            _insert(change, experiment, values)
            write_model_params(change.connection, values["id"], new_params)
            write_model_tags(change.connection, values["id"], new_tags)
            told = {"experiment": experiment_id, "name": values["name"], "run": source_run}
            change.record("logged_model.created", f"logged_model/{values['id']}", **told)
            return load_model(change.connection, change.workspace, values["id"])

    def finalize(self, actor: Actor, model_id: str, status: str) -> LoggedModel:
        """Say that a model's files are all there (READY) or will never be (FAILED); what is said last counts."""
        if status not in FINAL:
            raise InvalidInput.choice("The status of a finished model", status, map(str, FINAL))
        actor.require(Permission.TRACKING_WRITE)
        before = self.model(actor.workspace, model_id)
        if before.status == status:
            return before
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_model(change, model_id)
            _touch(change, model_id, status=LoggedModelStatus(status))
            change.record("logged_model.finalized", f"logged_model/{model_id}", status=status)
            return load_model(change.connection, change.workspace, model_id)

    def delete(self, actor: Actor, model_id: str) -> None:
        """Hide a model; its rows and files stay. Deleting it again changes nothing. Raises NotFound."""
        actor.require(Permission.TRACKING_WRITE)
        if self.model(actor.workspace, model_id, deleted=True).lifecycle == Lifecycle.DELETED:
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_model(change, model_id, deleted=True)
            _touch(change, model_id, lifecycle=Lifecycle.DELETED)
            change.record("logged_model.deleted", f"logged_model/{model_id}")

    def set_tags(self, actor: Actor, model_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing the values of those that exist. Raises NotFound."""
        checked = check_model_texts("tag", tags)
        if not checked:
            actor.require(Permission.TRACKING_WRITE)
            self.model(actor.workspace, model_id)
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_model(change, model_id)
            write_model_tags(change.connection, model_id, checked)
            told = {"keys": sorted(checked)[:KEYS_IN_JOURNAL], "count": len(checked)}
            change.record("logged_model.tagged", f"logged_model/{model_id}", **told)

    def delete_tag(self, actor: Actor, model_id: str, key: str) -> None:
        """Raises NotFound when there is no such model, or it has no such tag."""
        check_text("The key of a tag", key, MAX_KEY_LENGTH)
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_model(change, model_id)
            here = (model_tags.c.model_id == model_id, model_tags.c.key == key)
            if change.execute(delete(model_tags).where(*here)).rowcount == 0:
                raise NotFound(f"No tag with key {key!r} found for model with ID {model_id!r}.")
            change.record("logged_model.tag_deleted", f"logged_model/{model_id}", key=key)

    def log_params(self, actor: Actor, model_id: str, params: Mapping[str, str]) -> None:
        """Add params, which are written once; the same value again changes nothing. Raises NotFound, Conflict."""
        checked = check_model_texts("param", params)
        if not checked:
            actor.require(Permission.TRACKING_WRITE)
            self.model(actor.workspace, model_id)
            return
        with self._records.change(actor, Permission.TRACKING_WRITE) as change:
            lock_model(change, model_id)
            write_model_params(change.connection, model_id, checked)
            told = {"keys": sorted(checked)[:KEYS_IN_JOURNAL], "count": len(checked)}
            change.record("logged_model.params_logged", f"logged_model/{model_id}", **told)

    def model(self, workspace: str, model_id: str, *, deleted: bool = False) -> LoggedModel:
        """One model; a deleted one only with `deleted`. Raises NotFound."""
        with self._records.read() as connection:
            return load_model(connection, workspace, model_id, deleted=deleted)

    def search(
        self,
        workspace: str,
        experiment_ids: Sequence[str],
        *,
        clauses: Iterable[Clause] = (),
        datasets: Iterable[DatasetScope] = (),
        order_by: Iterable[ModelOrder] = (),
        limit: int = 100,
        token: str = "",
    ) -> LoggedModelPage:
        """One page of the models of these experiments (none: no models) that meet every clause, newest first.

        A metric is compared, and sorted by, as its latest measurement tells it: the last by step, time and value, of
        those on `datasets` where they are given. They ask for any measurement on one of them where no clause is on a
        metric. Models without the metric come last. A `token` is good for the same search only. Raises InvalidInput.
        """
        if not 0 < limit <= MAX_PAGE:
            raise InvalidInput(
                f"Invalid value {limit} for parameter 'max_results' supplied: it is from 1 to {MAX_PAGE}."
            )
        query = Query(tuple(experiment_ids), tuple(clauses), tuple(datasets), tuple(order_by))
        with self._records.read() as connection:
            ids, following = page_of_ids(connection, workspace, query, limit=limit, token=token)
            return LoggedModelPage(tuple(load_models(connection, workspace, ids)), following)


def log_model_metrics(change: Change, metrics: Iterable[ModelMetric]) -> None:
    """Keep measurements of models within a change that also keeps them for the run; exact repeats are dropped.

    The caller holds the run and journals. Raises NotFound for an unknown model, InvalidInput for a measurement that
    cannot be stored.
    """
    checked = check_model_metrics(metrics)
    if checked:
        require_models(change.connection, change.workspace, (each.model_id for each in checked))
        write_model_metrics(change.connection, checked)


def _insert(change: Change, experiment: Experiment, values: Mapping[str, str]) -> None:
    row = {
        **values,
        "workspace": change.workspace,
        "experiment_id": experiment.id,
        "status": LoggedModelStatus.PENDING,
        "lifecycle": Lifecycle.ACTIVE,
        "artifact_location": beneath(experiment.artifact_location, "models", values["id"], "artifacts"),
        "created": change.time,
        "updated": change.time,
        "created_by": change.actor.identity,
    }
    try:
        with change.connection.begin_nested():
            change.execute(insert(logged_models).values(row))
    except IntegrityError:
        raise AlreadyExists(f"Logged model {values['id']!r} exists already.") from None


def _touch(change: Change, model_id: str, **values: object) -> None:
    change.execute(update(logged_models).where(logged_models.c.id == model_id).values(updated=change.time, **values))
