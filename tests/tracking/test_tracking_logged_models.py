"""Logged models as clients use them: created, finished, described, measured, hidden; each write whole or not at all."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

import pytest
from sqlalchemy import select

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.store.journal.tables import entries
from bailiwick.store.records import Records
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.logged_models.model import LoggedModel, ModelMetric
from bailiwick.tracking.logged_models.service import LoggedModelService, log_model_metrics
from bailiwick.tracking.service import TrackingService

MODEL_ID = "m-" + "0123456789abcdef" * 2


@pytest.fixture
def models(records: Records) -> LoggedModelService:
    return LoggedModelService(records)


@pytest.fixture
def experiment(records: Records, admin: Actor) -> str:
    return TrackingService(records).create_experiment(admin, "flights", artifact_location="s3://b/x").id


def _journal(records: Records) -> list[str]:
    with records.read() as connection:
        actions = connection.scalars(select(entries.c.action).order_by(entries.c.number))
        return [action for action in actions if action.startswith("logged_model.")]


def _measure(records: Records, actor: Actor, metrics: Iterable[ModelMetric]) -> None:
    with records.change(actor, Permission.TRACKING_WRITE) as change:
        log_model_metrics(change, metrics)
        change.record("run.logged", "run/x")


def test_a_model_is_pending_until_its_files_are_said_to_be_there(
    records: Records, models: LoggedModelService, experiment: str, admin: Actor, clock: FakeClock
) -> None:
    made = models.create(
        admin,
        experiment,
        name="late",
        model_type="classifier",
        source_run="r1",
        params={"depth": "6"},
        tags={"team": "ops"},
    )
    assert (made.name, made.type, made.source_run, made.status) == ("late", "classifier", "r1", "PENDING")
    assert (made.params, made.tags, made.metrics) == ({"depth": "6"}, {"team": "ops"}, ())
    assert made.artifact_location == f"s3://b/x/models/{made.id}/artifacts"
    assert made.created == made.updated == clock()
    clock.advance(5)
    done = models.finalize(admin, made.id, "READY")
    assert (done.status, done.created, done.updated) == ("READY", made.created, clock())
    assert models.model("default", made.id) == done
    assert models.finalize(admin, made.id, "FAILED").status == "FAILED"
    assert _journal(records) == ["logged_model.created", "logged_model.finalized", "logged_model.finalized"]


def test_finishing_a_model_twice_the_same_way_changes_nothing(
    records: Records, models: LoggedModelService, experiment: str, admin: Actor, clock: FakeClock
) -> None:
    made = models.create(admin, experiment)
    done = models.finalize(admin, made.id, "READY")
    clock.advance(5)
    assert models.finalize(admin, made.id, "READY") == done
    assert _journal(records) == ["logged_model.created", "logged_model.finalized"]


def test_a_model_without_a_name_is_given_one(models: LoggedModelService, experiment: str, admin: Actor) -> None:
    made = models.create(admin, experiment)
    assert len(made.name.split("-")) == 3
    assert made.id.startswith("m-")
    assert len(made.id) == 34


@pytest.mark.parametrize("name", [" ", "my/model", "my.model", "my:model", "my%model", "my'model", 'my"model'])
def test_a_name_that_could_not_stand_in_a_uri_is_refused(
    models: LoggedModelService, experiment: str, admin: Actor, name: str
) -> None:
    with pytest.raises(InvalidInput, match="Invalid model name"):
        models.create(admin, experiment, name=name)


def test_only_the_final_words_finish_a_model(models: LoggedModelService, experiment: str, admin: Actor) -> None:
    made = models.create(admin, experiment)
    with pytest.raises(InvalidInput, match="READY"):
        models.finalize(admin, made.id, "PENDING")


def test_a_model_needs_an_active_experiment(
    records: Records, models: LoggedModelService, experiment: str, admin: Actor, stranger: Actor
) -> None:
    with pytest.raises(NotFound, match="Experiment '4711' does not exist"):
        models.create(admin, "4711")
    with pytest.raises(NotFound, match="does not exist"):
        models.create(stranger, experiment)
    TrackingService(records).delete_experiment(admin, experiment)
    with pytest.raises(Conflict, match="is deleted"):
        models.create(admin, experiment)


def test_a_model_moved_here_keeps_its_id_and_is_made_once(
    models: LoggedModelService, experiment: str, admin: Actor
) -> None:
    assert models.create(admin, experiment, model_id=MODEL_ID).id == MODEL_ID
    with pytest.raises(AlreadyExists, match=MODEL_ID):
        models.create(admin, experiment, model_id=MODEL_ID)
    with pytest.raises(InvalidInput, match="32 lower-case hex digits"):
        models.create(admin, experiment, model_id="m-1")


def test_a_deleted_model_is_hidden_and_deleting_it_again_changes_nothing(
    records: Records, models: LoggedModelService, experiment: str, admin: Actor
) -> None:
    made = models.create(admin, experiment)
    models.delete(admin, made.id)
    models.delete(admin, made.id)
    with pytest.raises(NotFound, match=f"Logged model with ID '{made.id}' not found"):
        models.model("default", made.id)
    assert models.model("default", made.id, deleted=True).lifecycle == "deleted"
    assert models.search("default", [experiment]).models == ()
    assert _journal(records) == ["logged_model.created", "logged_model.deleted"]
    for write in (
        lambda: models.finalize(admin, made.id, "READY"),
        lambda: models.set_tags(admin, made.id, {"a": "b"}),
        lambda: models.log_params(admin, made.id, {"a": "b"}),
        lambda: models.delete_tag(admin, made.id, "a"),
        lambda: models.set_tags(admin, made.id, {}),
        lambda: models.log_params(admin, made.id, {}),
    ):
        with pytest.raises(NotFound, match="not found"):
            write()


def test_tags_are_replaced_and_taken_away(models: LoggedModelService, experiment: str, admin: Actor) -> None:
    made = models.create(admin, experiment, tags={"a": "1", "b": "2"})
    models.set_tags(admin, made.id, {"b": "3", "a tag/with odd letters 🜁": ""})
    assert models.model("default", made.id).tags == {"a": "1", "b": "3", "a tag/with odd letters 🜁": ""}
    models.delete_tag(admin, made.id, "b")
    with pytest.raises(NotFound, match=f"No tag with key 'b' found for model with ID '{made.id}'"):
        models.delete_tag(admin, made.id, "b")
    assert "b" not in models.model("default", made.id).tags


def test_params_are_written_once(records: Records, models: LoggedModelService, experiment: str, admin: Actor) -> None:
    made = models.create(admin, experiment, params={"depth": "6"})
    models.log_params(admin, made.id, {"depth": "6", "rate": "0.1"})
    before, journal = models.model("default", made.id), _journal(records)
    with pytest.raises(Conflict, match=r"Param 'depth' .* is '6' and cannot become '7'"):
        models.log_params(admin, made.id, {"new": "x", "depth": "7"})
    assert models.model("default", made.id) == before
    assert before.params == {"depth": "6", "rate": "0.1"}
    assert _journal(records) == journal


def test_texts_that_cannot_be_kept_are_refused(models: LoggedModelService, experiment: str, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="empty key"):
        models.create(admin, experiment, params={"": "x"})
    with pytest.raises(LimitExceeded, match="100000"):
        models.create(admin, experiment, tags={"a": "x" * 100_001})
    with pytest.raises(InvalidInput, match="NUL"):
        models.create(admin, experiment, tags={"a": "x\x00"})
    assert models.search("default", [experiment]).models == ()


def test_measurements_of_a_model_are_kept_with_run_and_dataset_and_repeats_are_dropped(
    records: Records, models: LoggedModelService, experiment: str, admin: Actor
) -> None:
    run = TrackingService(records).start_run(admin, "flights").id
    made = models.create(admin, experiment)
    points = [
        ModelMetric(made.id, run, "auc", 0.7, 5, 1, "test", "d1"),
        ModelMetric(made.id, run, "auc", 0.7, 5, 1, "test", "d2"),
        ModelMetric(made.id, run, "auc", 0.7, 5, 1),
        ModelMetric(made.id, run, "loss", -math.inf, 6),
    ]
    _measure(records, admin, points)
    _measure(records, admin, points)
    kept = models.model("default", made.id).metrics
    assert sorted(kept, key=lambda each: (each.key, each.dataset_digest)) == [
        points[2],
        points[0],
        points[1],
        ModelMetric(made.id, run, "loss", -sys.float_info.max, 6),
    ]
    _measure(records, admin, [ModelMetric(made.id, run, "nan", math.nan, 6)])
    assert math.isnan(models.model("default", made.id).metrics[-1].value)
    _measure(records, admin, [])


def test_measuring_an_unknown_model_leaves_nothing_behind(
    records: Records, models: LoggedModelService, experiment: str, admin: Actor
) -> None:
    run = TrackingService(records).start_run(admin, "flights").id
    made = models.create(admin, experiment)
    points = [ModelMetric(made.id, run, "auc", 0.7, 5), ModelMetric("m-nobody", run, "auc", 0.7, 5)]
    with pytest.raises(NotFound, match="Logged model with ID 'm-nobody' not found"):
        _measure(records, admin, points)
    assert models.model("default", made.id).metrics == ()
    with pytest.raises(InvalidInput, match="metric key"):
        _measure(records, admin, [ModelMetric(made.id, run, "//", 0.7, 5)])
    with pytest.raises(LimitExceeded, match="'digest' exceeds the maximum length of 36"):
        _measure(records, admin, [ModelMetric(made.id, run, "a", 0.7, 5, 0, "d", "x" * 37)])


def test_whoever_may_only_read_changes_nothing_and_other_workspaces_see_nothing(
    models: LoggedModelService, experiment: str, admin: Actor, viewer: Actor, stranger: Actor
) -> None:
    made: LoggedModel = models.create(admin, experiment)
    for write in (
        lambda: models.create(viewer, experiment),
        lambda: models.finalize(viewer, made.id, "READY"),
        lambda: models.delete(viewer, made.id),
        lambda: models.set_tags(viewer, made.id, {}),
        lambda: models.delete_tag(viewer, made.id, "a"),
        lambda: models.log_params(viewer, made.id, {}),
    ):
        with pytest.raises(NotAllowed):
            write()
    with pytest.raises(NotFound):
        models.model(stranger.workspace, made.id)
    assert models.search(stranger.workspace, [experiment]).models == ()
    with pytest.raises(NotFound):
        models.set_tags(stranger, made.id, {"a": "b"})
