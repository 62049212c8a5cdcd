"""From a source to what was predicted, and back: every record on the way knows both."""

from __future__ import annotations

from pathlib import Path

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput, NotFound
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.lineage.walk import LineageGraph, trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.release import release_proposed
from bailiwick.lifecycle.training.pipeline import engine_for, training_pipeline
from bailiwick.pipelines.project import load_project
from bailiwick.tracking.lineage.model import Dataset, DatasetInput, ModelOutput
from tests_support.predictions import log_predictions


@pytest.fixture
def served(platform: Platform, admin: Actor, second: Actor, folder: Path) -> Platform:
    """One version, trained, approved, deployed, and asked a hundred times."""
    project = apply_project(platform, admin, load_project(folder))
    wanted = {"project": "fraud", "start": None, "end": None, "reason": "test"}
    submitted = platform.pipelines.submit(admin, training_pipeline(platform, project), wanted)
    assert engine_for(platform, submitted).execute(admin, submitted.id).status == "FINISHED"
    for request in platform.governance.requests("default", status="PENDING"):
        platform.governance.approve(second, request.id)
    release_proposed(platform, admin)
    log_predictions(platform, "fraud", count=100, failed=3, start=1_000)
    return platform


def kinds(graph: LineageGraph) -> set[str]:
    return {each["kind"] for each in graph.nodes}


def ways(graph: LineageGraph) -> set[tuple[str, str, str]]:
    return {(each["from"].partition("/")[0], each["label"], each["to"].partition("/")[0]) for each in graph.edges}


CHAIN = {
    ("source", "ingested as", "snapshot"),
    ("snapshot", "trained", "run"),
    ("run", "produced", "package"),
    ("package", "registered as", "version"),
    ("version", "deployed as", "deployment"),
    ("deployment", "serves", "endpoint"),
    ("deployment", "answered", "predictions"),
}


def test_a_source_leads_to_predictions_and_back(served: Platform) -> None:
    version = served.registry.version("default", "fraud", 1)
    snapshot = served.data.snapshot("default", version.snapshot)
    forth = trace(served, "default", f"source/{snapshot.source}", "forward")
    assert ways(forth) >= CHAIN
    back = trace(served, "default", "predictions/fraud/fraud/1", "backward")
    assert ways(back) >= CHAIN - {("deployment", "serves", "endpoint")}
    whole = trace(served, "default", "version/fraud/1")
    assert ways(whole) >= CHAIN | {("version", "is", "alias")}
    assert ways(trace(served, "default", "endpoint/fraud", "backward")) >= CHAIN - {
        ("deployment", "answered", "predictions")
    }
    ends = {each for edge in whole.edges for each in (edge["from"], edge["to"])}
    assert ends <= {each["id"] for each in whole.nodes}


def test_predictions_are_counted_with_their_first_and_last_time(served: Platform) -> None:
    graph = trace(served, "default", "version/fraud/1", "forward")
    [predictions] = [each for each in graph.nodes if each["kind"] == "predictions"]
    assert predictions["detail"] == {"count": 100, "failed": 3, "first": 1_000, "last": 1_099}
    [deployment] = [each for each in graph.nodes if each["kind"] == "deployment"]
    assert deployment["detail"] == {"share": 1.0, "changes": 1, "ended": None}
    assert deployment["time"] == served.endpoints.history("default", "fraud")[0].time
    log_predictions(served, "fraud", count=5, failed=0, start=5_000)
    again = trace(served, "default", "deployment/fraud/fraud/1", "forward")
    [more] = [each for each in again.nodes if each["kind"] == "predictions"]
    assert (more["detail"]["count"], more["detail"]["last"]) == (105, 5_004)


def test_a_deleted_and_purged_version_stays_in_the_graph(platform: Platform, admin: Actor) -> None:
    run = platform.tracking.start_run(admin, "e", name="r")
    platform.artifacts.put(
        admin, platform.artifacts.locate("default", run.artifact_uri, "model/MLmodel"), [b"flavors: {x: {}}"]
    )
    platform.registry.create_model(admin, "late")
    made = platform.registry.create_version(admin, "late", source=f"runs:/{run.id}/model", run_id=run.id)
    before = trace(platform, "default", f"run/{run.id}", "forward")
    platform.registry.delete_version(admin, "late", made.number)
    platform.registry.purge_version(admin, "late", made.number, reason="erased")
    after = trace(platform, "default", f"run/{run.id}", "forward")
    assert ways(after) == ways(before)
    [tombstone] = [each for each in after.nodes if each["kind"] == "version"]
    assert tombstone["detail"]["purged"]
    assert {"run", "source"} <= kinds(trace(platform, "default", "version/late/1"))


def test_what_an_mlflow_run_read_leads_to_the_version_of_its_model(platform: Platform, admin: Actor) -> None:
    run = platform.tracking.start_run(admin, "e", name="r")
    judge = platform.tracking.start_run(admin, "e", name="judge")
    dataset = Dataset("flights", "d1g3st", "local", '{"uri": "/data/flights.csv"}')
    platform.run_lineage.log_inputs(
        admin, run.id, datasets=[DatasetInput(dataset, {"mlflow.data.context": "training"})]
    )
    logged = platform.logged_models.create(admin, run.experiment_id, name="model", source_run=run.id)
    platform.run_lineage.log_outputs(admin, run.id, [ModelOutput(logged.id)])
    platform.run_lineage.log_inputs(admin, judge.id, models=[logged.id])
    platform.registry.create_model(admin, "late")
    platform.registry.create_version(admin, "late", source=f"models:/{logged.id}", model_id=logged.id)
    dataset_id = platform.run_lineage.id_of_dataset("default", run.experiment_id, dataset)
    forth = trace(platform, "default", f"dataset/{dataset_id}", "forward")
    assert ways(forth) >= {
        ("dataset", "trained", "run"),
        ("run", "produced", "logged_model"),
        ("logged_model", "registered as", "version"),
        ("logged_model", "evaluated in", "run"),
    }
    back = trace(platform, "default", "version/late/1", "backward")
    assert {f"dataset/{dataset_id}", f"run/{run.id}", f"logged_model/{logged.id}"} <= {
        each["id"] for each in back.nodes
    }
    [shown] = [each for each in back.nodes if each["kind"] == "dataset"]
    assert (shown["label"], shown["detail"]["digest"]) == ("flights", "d1g3st")
    assert f"run/{judge.id}" not in {each["id"] for each in back.nodes}
    assert kinds(trace(platform, "default", f"logged_model/{logged.id}")) == {
        "dataset",
        "run",
        "logged_model",
        "version",
    }


def test_a_copy_is_traced_to_what_it_copies(platform: Platform, admin: Actor) -> None:
    run = platform.tracking.start_run(admin, "e", name="r")
    for name in ("late", "shown"):
        platform.registry.create_model(admin, name)
    platform.registry.create_version(admin, "late", source=f"runs:/{run.id}/model", run_id=run.id)
    platform.registry.create_version(admin, "shown", source="models:/late/1")
    assert "version/shown/1" in {each["id"] for each in trace(platform, "default", "version/late/1", "forward").nodes}
    back = trace(platform, "default", "version/shown/1", "backward")
    assert {"version/late/1", f"run/{run.id}"} <= {each["id"] for each in back.nodes}


def test_what_is_not_there_has_no_lineage(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="KIND/NAME"):
        trace(platform, "default", "banana/1")
    with pytest.raises(InvalidInput, match="sideways"):
        trace(platform, "default", "version/late/1", "sideways")
    for record in (
        "version/late/1",
        "version/late/x",
        "snapshot/none",
        "run/none",
        "endpoint/none",
        "deployment/a/b/1",
        "predictions/a/b/1",
        "alias/late/champion",
        "deployment/a",
        "logged_model/m-1",
        "dataset/1",
        "package/x",
    ):
        with pytest.raises(NotFound):
            trace(platform, "default", record)
