"""Records that arrive from another server keep their ids; those that come again are brought up to date."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import AlreadyExists, Conflict, InvalidInput, LimitExceeded, NotAllowed, NotFound
from bailiwick.store.journal.reader import JournalReader
from bailiwick.store.records import Records
from bailiwick.tracking.imports.model import ArrivedExperiment, ArrivedModel, ArrivedRun, Kind, Mark, Tally
from bailiwick.tracking.imports.service import ImportService
from bailiwick.tracking.logged_models.model import ModelMetric
from bailiwick.tracking.logged_models.service import LoggedModelService
from bailiwick.tracking.model import MetricPoint
from bailiwick.tracking.service import TrackingService

SOURCE = "http://there:5000"
EXPERIMENT = ArrivedExperiment("7", "flights", "active", 1_000, 2_000, {"team": "risk"}, digest="d1")
RUN = ArrivedRun("ab" * 16, "r", "FINISHED", "active", 10, 20, "ana", {"lr": "1"}, {"t": "v", "mlflow.runName": "r"})
MODEL = ArrivedModel(f"m-{'c' * 32}", "late", "", RUN.id, "READY", 30, 40, {"p": "1"}, {"k": "v"})


@pytest.fixture
def imports(records: Records) -> ImportService:
    return ImportService(records)


@pytest.fixture
def tracking(records: Records) -> TrackingService:
    return TrackingService(records)


def test_a_run_that_arrives_reads_as_it_did_there(
    imports: ImportService, tracking: TrackingService, admin: Actor
) -> None:
    experiment = imports.import_experiment(admin, SOURCE, EXPERIMENT)
    imports.import_runs(admin, SOURCE, experiment.id, [RUN])
    imports.import_points(admin, SOURCE, {RUN.id: [MetricPoint("m", 1.0, 5, 0), MetricPoint("m", 2.0, 6, 1)]})
    run = tracking.run("default", RUN.id)
    assert (run.name, run.started, run.ended, run.user, run.status) == ("r", 10, 20, "ana", "FINISHED")
    assert (run.params, run.tags, run.metrics) == ({"lr": "1"}, {"mlflow.runName": "r", "t": "v"}, {"m": 2.0})
    assert (experiment.created, experiment.updated, run.experiment) == (1_000, 2_000, "flights")
    assert run.created_by == admin.identity


def test_what_arrives_again_is_brought_up_to_date_and_not_doubled(
    imports: ImportService, tracking: TrackingService, admin: Actor
) -> None:
    experiment = imports.import_experiment(admin, SOURCE, EXPERIMENT)
    points = {RUN.id: [MetricPoint("m", 1.0, 5, 0)]}
    for _ in range(2):
        imports.import_runs(admin, SOURCE, experiment.id, [RUN])
        imports.import_points(admin, SOURCE, points)
    later = replace(RUN, status="FAILED", tags={"t": "w"}, params={**RUN.params, "new": "2"})
    imports.import_runs(admin, SOURCE, experiment.id, [later])
    run = tracking.run("default", RUN.id)
    assert (run.status, run.tags["t"], run.params) == ("FAILED", "w", {"lr": "1", "new": "2"})
    assert imports.tally("default", SOURCE) == Tally(experiments=1, runs=1, params=2, tags=2, points=1)
    renewed = replace(EXPERIMENT, tags={"team": "ops"}, lifecycle="deleted", digest="d2")
    again = imports.import_experiment(admin, SOURCE, renewed)
    assert (again.id, again.lifecycle) == (experiment.id, "deleted")
    assert tracking.experiment("default", experiment.id).tags == {"team": "ops"}


def test_an_experiment_that_has_not_changed_is_passed_over(
    imports: ImportService, records: Records, admin: Actor
) -> None:
    imports.import_experiment(admin, SOURCE, EXPERIMENT)
    before = len(JournalReader(records.database).entries("default", limit=50))
    assert imports.import_experiment(admin, SOURCE, EXPERIMENT).name == "flights"
    assert len(JournalReader(records.database).entries("default", limit=50)) == before


def test_a_name_of_another_experiment_is_refused(
    imports: ImportService, tracking: TrackingService, admin: Actor
) -> None:
    tracking.create_experiment(admin, "flights")
    with pytest.raises(AlreadyExists, match="'flights'"):
        imports.import_experiment(admin, SOURCE, EXPERIMENT)
    assert imports.marks("default", SOURCE, Kind.EXPERIMENT) == {}


def test_default_is_ours_and_never_deleted(imports: ImportService, tracking: TrackingService, admin: Actor) -> None:
    tracking.prepare_workspace(admin)
    arrived = ArrivedExperiment("0", "Default", "deleted", 1, 2, {"a": "b"})
    found = imports.import_experiment(admin, SOURCE, arrived)
    assert (found.id, found.lifecycle) == ("0", "active")
    assert tracking.experiment("default", "0").tags == {"a": "b"}


def test_a_run_of_our_own_or_of_another_source_is_never_taken_over(
    imports: ImportService, tracking: TrackingService, admin: Actor, stranger: Actor
) -> None:
    own = tracking.start_run(admin, "own")
    experiment = imports.import_experiment(admin, SOURCE, EXPERIMENT)
    with pytest.raises(Conflict, match="is taken here"):
        imports.import_runs(admin, SOURCE, experiment.id, [replace(RUN, id=own.id)])
    imports.import_runs(admin, SOURCE, experiment.id, [RUN])
    other = imports.import_experiment(admin, "http://other", replace(EXPERIMENT, name="other"))
    with pytest.raises(Conflict, match="did not arrive in this experiment from http://other"):
        imports.import_runs(admin, "http://other", other.id, [RUN])
    elsewhere = imports.import_experiment(stranger, SOURCE, EXPERIMENT)
    with pytest.raises(Conflict, match="is taken here"):
        imports.import_runs(stranger, SOURCE, elsewhere.id, [RUN])
    assert tracking.run("default", RUN.id).experiment == "flights"


def test_runs_are_made_all_or_none(imports: ImportService, tracking: TrackingService, admin: Actor) -> None:
    experiment = imports.import_experiment(admin, SOURCE, EXPERIMENT)
    for bad in (
        replace(RUN, id="../up"),
        replace(RUN, id="b", status="DONE"),
        replace(RUN, id="b", tags={"": "x"}),
        replace(RUN, id="b", params={"p": "\x00"}),
        replace(RUN, id="b", started=-1),
        replace(RUN, id="b", lifecycle="half"),
    ):
        with pytest.raises(InvalidInput):
            imports.import_runs(admin, SOURCE, experiment.id, [RUN, bad])
    with pytest.raises(LimitExceeded, match=r"At most 1000 runs"):
        imports.import_runs(admin, SOURCE, experiment.id, [replace(RUN, id=f"r{number}") for number in range(1_001)])
    with pytest.raises(NotFound):
        imports.import_runs(admin, SOURCE, "99", [RUN])
    assert tracking.runs("default") == []


def test_points_are_for_runs_that_arrived(imports: ImportService, tracking: TrackingService, admin: Actor) -> None:
    own = tracking.start_run(admin, "own")
    with pytest.raises(NotFound):
        imports.import_points(admin, SOURCE, {own.id: [MetricPoint("m", 1.0, 5)]})
    with pytest.raises(NotFound):
        imports.import_points(admin, SOURCE, {"nobody": [MetricPoint("m", 1.0, 5)]})
    assert tracking.metric_history("default", own.id, "m") == []


def test_a_deleted_run_takes_its_points(imports: ImportService, tracking: TrackingService, admin: Actor) -> None:
    experiment = imports.import_experiment(admin, SOURCE, replace(EXPERIMENT, lifecycle="deleted"))
    imports.import_runs(admin, SOURCE, experiment.id, [replace(RUN, lifecycle="deleted")])
    imports.import_points(admin, SOURCE, {RUN.id: [MetricPoint("m", 1.0, 5)]})
    assert tracking.run("default", RUN.id).metrics == {"m": 1.0}
    tracking.restore_experiment(admin, experiment.id)
    assert tracking.run("default", RUN.id).lifecycle == "active"


def test_a_logged_model_keeps_its_id_and_leaves_out_measurements_of_unknown_runs(
    imports: ImportService, records: Records, admin: Actor
) -> None:
    experiment = imports.import_experiment(admin, SOURCE, EXPERIMENT)
    imports.import_runs(admin, SOURCE, experiment.id, [RUN])
    measured = [ModelMetric(MODEL.id, run, "auc", 0.5, 1) for run in (RUN.id, "unknown")]
    for _ in range(2):
        assert imports.import_logged_model(admin, SOURCE, experiment.id, replace(MODEL, metrics=measured)) == 1
    found = LoggedModelService(records).model("default", MODEL.id)
    assert (found.name, found.created, found.updated, found.status) == ("late", 30, 40, "READY")
    assert [each.run_id for each in found.metrics] == [RUN.id]
    assert found.artifact_location == f"{experiment.artifact_location}/models/{MODEL.id}/artifacts"
    with pytest.raises(Conflict, match="is taken here"):
        imports.import_logged_model(admin, "http://other", experiment.id, MODEL)


def test_marks_are_kept_and_replaced(imports: ImportService, admin: Actor) -> None:
    imports.mark(admin, SOURCE, Kind.RUN, [Mark("a", "a"), Mark("b", "b", "d", 1, 2, 3, "mlflow-artifacts:/1/b")])
    imports.mark(admin, SOURCE, Kind.RUN, [Mark("a", "a", "e")])
    assert imports.marks("default", SOURCE, Kind.RUN, ["a", "c"]) == {"a": Mark("a", "a", "e")}
    assert imports.marks("default", SOURCE, Kind.RUN)["b"].size_bytes == 3
    assert imports.marks("default", "http://other", Kind.RUN) == {}
    assert imports.marks("elsewhere", SOURCE, Kind.RUN) == {}


def test_readers_move_nothing(imports: ImportService, viewer: Actor) -> None:
    for deed in (
        lambda: imports.import_experiment(viewer, SOURCE, EXPERIMENT),
        lambda: imports.import_runs(viewer, SOURCE, "0", [RUN]),
        lambda: imports.import_points(viewer, SOURCE, {}),
        lambda: imports.import_logged_model(viewer, SOURCE, "0", MODEL),
        lambda: imports.mark(viewer, SOURCE, Kind.RUN, []),
    ):
        with pytest.raises(NotAllowed):
            deed()


def test_records_arrive_from_somewhere(imports: ImportService, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="the source is blank"):
        imports.import_experiment(admin, " ", EXPERIMENT)
