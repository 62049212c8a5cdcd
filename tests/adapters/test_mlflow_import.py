"""A whole MLflow server moves here; again, and only what is new does; what cannot come along is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from bailiwick.adapters.mlflow.census import Report
from bailiwick.adapters.mlflow.migration import Migration
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.lifecycle.platform import Platform
from bailiwick.tracking.imports.model import Kind
from tests_support.fake_mlflow import API, FakeMlflow
from tests_support.mlflow_story import EVERYTHING, GONE, MODEL, RUNS, state

Look = Callable[..., Report]


def differing(report: Report) -> dict[str, tuple[int, int]]:
    return {line.what: (line.there, line.here) for line in report.comparison if not line.agrees}


def test_everything_arrives_as_it_was(any_platform: Platform, move: Look, remote: FakeMlflow) -> None:
    report = move()
    assert differing(report) == {}
    assert {line.what: line.here for line in report.comparison} == EVERYTHING
    tracking = any_platform.tracking
    run = tracking.run("default", RUNS[0])
    assert (run.name, run.status, run.user, run.started, run.ended) == (
        "name of 0000",
        "FINISHED",
        "ana",
        1_000_000,
        2_000_000,
    )
    assert (run.params, run.tags) == ({"lr": "0.1"}, {"mlflow.runName": "name of 0000", "team": "risk"})
    assert run.metrics == {"loss": 0.1, "a/b": 0.5}
    assert [(each.step, each.time) for each in tracking.metric_history("default", run.id, "a/b")] == [
        (0, 1_000_000),
        (1, 1_000_001),
    ]
    links = any_platform.run_lineage.links("default", [run.id])[run.id]
    assert [(each.dataset.digest, each.context) for each in links.datasets] == [("abc", "eval")]
    assert [(each.model_id, each.step) for each in links.models_made] == [(MODEL, 3)]
    experiment = tracking.experiment_named("default", "flights")
    assert (experiment.tags, experiment.created, experiment.updated) == ({"team": "risk"}, 1_007, 2_000)
    assert tracking.run("default", RUNS[3]).lifecycle == "deleted"


def test_files_arrive_where_clients_of_ours_look_for_them(platform: Platform, move: Look) -> None:
    move()
    run = platform.tracking.run("default", RUNS[0])
    assert run.artifact_uri == f"mlflow-artifacts:/{run.experiment_id}/{RUNS[0]}/artifacts"
    place = platform.artifacts.locate("default", run.artifact_uri)
    assert [(each.path, each.size_bytes) for each in platform.artifacts.files("default", place)] == [
        ("deep/er/ü ñ.bin", 10),
        ("empty", 0),
        ("top.txt", 3),
    ]


def test_a_logged_model_keeps_its_id_times_and_measurements(platform: Platform, move: Look) -> None:
    move()
    model = platform.logged_models.model("default", MODEL)
    assert (model.name, model.status, model.source_run) == ("late", "READY", RUNS[0])
    assert (model.created, model.updated, model.params, model.tags) == (3_000, 4_000, {"p": "1"}, {"k": "v"})
    assert [each.step for each in model.metrics if math.isnan(each.value)] == [1]
    place = platform.artifacts.locate("default", model.artifact_location, "MLmodel")
    assert platform.artifacts.stat("default", place).size_bytes == 20


def test_versions_keep_their_numbers_and_gaps_stay(any_platform: Platform, move: Look, actor: Actor) -> None:
    move()
    registry = any_platform.registry
    assert [each.number for each in registry.versions("default", "late")] == [5, 2, 1]
    second, fifth = registry.version("default", "late", 2), registry.version("default", "late", 5)
    run = any_platform.tracking.run("default", RUNS[0])
    assert (second.model_id, second.source, second.stage, second.tags) == (
        MODEL,
        f"models:/{MODEL}",
        "Production",
        {"checked": "yes"},
    )
    assert second.storage == any_platform.logged_models.model("default", MODEL).artifact_location
    assert fifth.storage == fifth.source == f"{run.artifact_uri}/deep"
    assert (second.created, second.description) == (6_002, "d")
    model = registry.model("default", "late")
    assert (model.description, model.tags, model.aliases) == ("says who is late", {"o": "ana"}, {"champion": 2})
    assert registry.create_version(actor, "late", source="s3://b/x").number == 6


def test_versions_whose_files_came_along_are_known_by_their_content(
    platform: Platform, move: Look, actor: Actor
) -> None:
    move()
    registry = platform.registry
    first, second, fifth = (registry.version("default", "late", number) for number in (1, 2, 5))
    assert (first.digest, second.size_bytes, fifth.size_bytes) == ("", 20, 10)
    assert [path for path, _ in registry.content(fifth)] == ["er/ü ñ.bin"]
    registry.check_content(second)
    place = platform.artifacts.locate("default", second.storage, "MLmodel")
    platform.artifacts.put(actor, place, [b"changed"])
    with pytest.raises(CheckFailed, match="not those that were registered"):
        registry.check_content(second)


def test_aliases_and_stages_say_where_they_come_from(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    move()
    moved = platform.registry.alias_history("default", "late")
    assert [(each.alias, each.number, each.reason) for each in moved] == [
        ("champion", 2, f"imported from {remote.url}")
    ]
    staged = platform.registry.stage_history("default", "late")
    assert [(each.number, each.stage, each.reason) for each in staged] == [
        (2, "Production", f"imported from {remote.url}")
    ]


def test_the_journal_tells_of_each_record_and_its_source(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    move()
    entries = platform.journal.entries("default", limit=500)
    told = [each for each in entries if each.action == "run.imported"]
    assert {each.resource for each in told} == {f"run/{run_id}" for run_id in [*RUNS, GONE]}
    assert {each.detail["source"] for each in told} == {remote.url}
    assert len([each for each in entries if each.action == "run.logged"]) == 6  # a batch a run, not an entry a point
    assert len([each for each in entries if each.action == "artifact.written"]) == 4


def test_moving_again_changes_nothing_and_reads_no_history(
    any_platform: Platform, move: Look, remote: FakeMlflow
) -> None:
    move()
    before = state(any_platform)
    remote.asked.clear()
    report = move()
    assert (report.unchanged_runs, report.moved_runs, report.new_files, report.agrees) == (6, 0, 0, True)
    assert state(any_platform) == before
    assert not [path for path in remote.asked if "get-history" in path or "mlflow-artifacts" in path]


def test_looking_into_everything_again_doubles_nothing(any_platform: Platform, move: Look) -> None:
    move()
    before = state(any_platform)
    report = move(again=True)
    assert (report.moved_runs, report.agrees, report.new_files) == (6, True, 0)
    assert state(any_platform) == before


def test_what_changed_there_since_is_added(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    move()
    remote.points(RUNS[1], "loss", 25)
    remote.run("e" * 32, "7", points={"loss": 1})
    remote.runs[RUNS[2]]["data"]["tags"].append({"key": "late", "value": "yes"})
    remote.files[f"7/{RUNS[2]}/artifacts/more"] = b"more"
    remote.experiment("11", "newer")
    remote.model("third", 1)
    report = move()
    assert (differing(report), report.moved_runs, report.new_files) == ({}, 3, 1)
    assert len(platform.tracking.metric_history("default", RUNS[1], "loss")) == 25
    assert platform.tracking.run("default", RUNS[2]).tags["late"] == "yes"
    assert [each.name for each in platform.registry.models("default")] == ["late", "other", "third"]


def test_a_running_run_is_looked_into_each_time(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    remote.runs[RUNS[4]]["info"] |= {"status": "RUNNING", "end_time": 0}
    move()
    assert platform.tracking.run("default", RUNS[4]).ended is None
    history = remote.history[RUNS[4], "loss"]
    history.insert(0, {"key": "loss", "value": 9.0, "timestamp": 1, "step": -5})  # the latest stays the latest
    report = move()
    assert (report.moved_runs, differing(report)) == (1, {})
    assert len(platform.tracking.metric_history("default", RUNS[4], "loss")) == 11


def test_a_deleted_experiment_owns_its_name_and_is_restored_with_its_runs(
    platform: Platform, move: Look, actor: Actor
) -> None:
    move()
    found = platform.tracking.experiment_named("default", "old")
    assert (found.lifecycle, platform.tracking.run("default", GONE).lifecycle) == ("deleted", "deleted")
    with pytest.raises(Exception, match="exists already"):
        platform.tracking.create_experiment(actor, "old")
    platform.tracking.restore_experiment(actor, found.id)
    assert platform.tracking.run("default", GONE).lifecycle == "active"


def test_names_that_are_taken_are_refused_before_anything_is_written(
    platform: Platform, move: Look, actor: Actor
) -> None:
    platform.tracking.create_experiment(actor, "flights")
    platform.registry.create_model(actor, "late")
    with pytest.raises(Conflict, match=r"experiments 'flights'; models 'late'.*--prefix.*--skip-existing"):
        move()
    assert platform.tracking.runs("default") == []
    assert [each.name for each in platform.registry.models("default")] == ["late"]


def test_a_prefix_goes_before_every_name(platform: Platform, move: Look, actor: Actor, remote: FakeMlflow) -> None:
    platform.tracking.create_experiment(actor, "flights")
    remote.versions[-1]["source"] = "models:/late/1"  # a copy of a version of a model that has another name now

    def where(_: str, path: str, given: dict[str, Any]) -> tuple[int, bytes] | None:
        del given
        return (200, b'{"artifact_uri": "s3://b/late/1"}') if path.endswith("get-download-uri") else None

    remote.fault = where
    report = move(prefix="there.")
    assert differing(report) == {}
    assert {each.name for each in platform.tracking.experiments("default")} == {
        "flights",
        "there.flights",
        "there.Default",
    }
    copy = platform.registry.version("default", "there.other", 1)
    assert (copy.source, copy.storage) == ("models:/there.late/1", "s3://b/late/1")
    assert move(prefix="there.").moved_runs == 0
    assert move(prefix="changed.").agrees  # what moved before keeps its name
    assert [each.name for each in platform.registry.models("default")] == ["there.late", "there.other"]


def test_names_that_are_taken_can_be_left_out(platform: Platform, move: Look, actor: Actor) -> None:
    platform.tracking.create_experiment(actor, "flights")
    platform.registry.create_model(actor, "other")
    report = move(skip_existing=True)
    assert report.there.experiments == 2
    assert {each.what for each in report.notes} >= {"experiment flights", "model other"}
    assert platform.tracking.runs("default") == []


def test_chosen_experiments_are_moved_without_models(platform: Platform, move: Look) -> None:
    report = move(experiments=("old",))
    assert (report.here.experiments, report.here.runs, report.there.registered_models, report.agrees) == (1, 1, 0, True)
    later = move(models=("other",))
    assert (later.here.experiments, later.here.registered_models, later.agrees) == (0, 1, True)
    with pytest.raises(NotFound, match=r"'flight' does not exist\. Did you mean 'flights'"):
        move(experiments=("flight",))


def test_a_version_whose_files_were_not_moved_is_left_out_and_told(platform: Platform, move: Look) -> None:
    report = move(models=("late",))
    assert differing(report) == {"model_versions": (3, 2)}
    assert "Move their experiment first" in "".join(each.why for each in report.notes)
    assert move().agrees


def test_without_artifacts_files_stay_and_can_come_later(platform: Platform, move: Look) -> None:
    report = move(artifacts=False)
    assert (report.there.artifact_files, report.agrees) == (0, True)
    assert platform.artifacts.files("default", "") == []
    assert platform.registry.version("default", "late", 2).digest == ""
    later = move()
    assert (later.new_files, later.there.artifact_files, later.agrees) == (4, 4, True)
    assert platform.registry.version("default", "late", 2).size_bytes == 20


def test_artifacts_in_a_store_of_their_own_keep_their_place(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    remote.experiment("8", "apart", artifact_location="s3://bucket/8")
    remote.run("c" * 32, "8", artifact_uri=f"s3://bucket/8/{'c' * 32}/artifacts")
    report = move()
    assert report.agrees
    assert platform.tracking.run("default", "c" * 32).artifact_uri == f"s3://bucket/8/{'c' * 32}/artifacts"
    assert platform.tracking.experiment_named("default", "apart").artifact_location == "s3://bucket/8"
    assert [each.what for each in report.notes if each.kept_there] == [f"artifacts of run {'c' * 32}"]


def test_a_policy_is_not_passed_by(platform: Platform, move: Look, actor: Actor) -> None:
    platform.governance.set_policy(actor, "late", "champion", approvers=1)
    report = move()
    assert differing(report) == {"aliases": (1, 0)}
    refused = [each for each in report.notes if each.what == "alias champion of late"]
    assert "Approval for 'champion' is requested" in refused[0].why
    assert platform.registry.aliases("default", "late") == {}
    assert [each.target for each in platform.governance.requests("default")] == ["champion"]
    move()
    assert len(platform.governance.requests("default")) == 1


def test_an_alias_that_was_moved_here_stays_until_it_is_moved_there(
    platform: Platform, move: Look, actor: Actor, remote: FakeMlflow
) -> None:
    move()
    platform.registry.set_alias(actor, "late", "champion", 5)
    remote.models["late"]["description"] = "changed"
    assert differing(move()) == {"aliases": (1, 0)}
    assert platform.registry.aliases("default", "late") == {"champion": 5}
    assert platform.registry.model("default", "late").description == "changed"
    remote.models["late"]["aliases"] = [{"alias": "champion", "version": "1"}]
    assert move().agrees
    assert platform.registry.aliases("default", "late") == {"champion": 1}


def test_a_run_that_cannot_be_kept_is_left_out_whole_and_the_others_come(
    platform: Platform, move: Look, remote: FakeMlflow
) -> None:
    remote.runs[RUNS[1]]["data"]["tags"].append({"key": "../../up", "value": "x"})
    remote.runs[RUNS[2]]["data"]["params"].append({"key": "p", "value": "nul\x00"})
    report = move()
    assert differing(report)["runs"] == (6, 4)
    assert {each.what for each in report.notes} == {f"run {RUNS[1]} of flights", f"run {RUNS[2]} of flights"}
    with pytest.raises(NotFound):
        platform.tracking.run("default", RUNS[1])


def test_a_metric_that_cannot_be_kept_is_left_out_and_the_others_come(
    platform: Platform, move: Look, remote: FakeMlflow
) -> None:
    remote.points(RUNS[1], "../x", 2)
    report = move()
    assert differing(report) == {"metric_points": (68, 66)}
    assert len(platform.tracking.metric_history("default", RUNS[1], "loss")) == 10


@pytest.mark.parametrize("path", ["../../up", "a/../../../b", "%2e%2e/x", "nul\x00", "back\\slash", "a//b"])
def test_a_hostile_artifact_path_is_refused_and_the_others_come(
    platform: Platform, move: Look, remote: FakeMlflow, path: str
) -> None:
    def hostile(_: str, asked: str, given: dict[str, Any]) -> tuple[int, bytes] | None:
        import json

        if asked.endswith("/mlflow-artifacts/artifacts") and given.get("path") == f"7/{RUNS[1]}/artifacts":
            return 200, json.dumps({"files": [{"path": path, "is_dir": False, "file_size": 3}]}).encode()
        return None

    remote.fault = hostile
    report = move()
    assert differing(report) == {"artifact_files": (5, 4), "artifact_bytes": (36, 33)}
    assert "Invalid path" in "".join(each.why for each in report.notes)
    assert len(platform.artifacts.files("default", "")) == 4


def test_verifying_finds_what_was_lost_here(
    platform: Platform, move: Look, actor: Actor, migration: Callable[..., Migration]
) -> None:
    move()
    assert migration().verify().agrees
    run = platform.tracking.run("default", RUNS[0])
    platform.artifacts.delete(actor, platform.artifacts.locate("default", run.artifact_uri, "top.txt"))
    platform.registry.delete_version(actor, "late", 1)
    found = differing(migration().verify())
    assert found == {"artifact_files": (4, 3), "artifact_bytes": (33, 30), "model_versions": (4, 3)}


def test_a_survey_counts_and_writes_nothing(platform: Platform, migration: Callable[..., Migration]) -> None:
    report = migration().survey()
    assert {line.what: line.there for line in report.comparison} == EVERYTHING
    assert {line.here for line in report.comparison} == {0}
    assert platform.journal.entries("default", limit=10) == []


def test_whoever_may_not_write_moves_nothing(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    reader = Actor("u-r", "r", "default", frozenset({Permission.READ, Permission.TRACKING_WRITE}))
    with pytest.raises(NotAllowed, match=r"models\.write"):
        move(actor=reader)
    assert remote.asked == []


def test_a_server_is_moved_into_one_workspace(platform: Platform, move: Look) -> None:
    move()
    elsewhere = platform.identities.local_admin("elsewhere")
    report = move(actor=elsewhere)
    assert differing(report)["runs"] == (6, 0)
    assert "is taken here by a run" in report.notes[0].why
    assert platform.tracking.runs("elsewhere") == []


def test_marks_tell_what_is_where(platform: Platform, move: Look, remote: FakeMlflow) -> None:
    move()
    mark = platform.imports.marks("default", remote.url, Kind.RUN)[RUNS[0]]
    assert (mark.local, mark.points, mark.files, mark.size_bytes, len(mark.digest)) == (RUNS[0], 12, 3, 13, 64)


def test_a_prefix_that_no_model_can_have_is_refused_first(platform: Platform, move: Look) -> None:
    with pytest.raises(InvalidInput, match="'team/late' must be printable"):
        move(prefix="team/")
    assert platform.tracking.runs("default") == []


def test_histories_are_written_so_many_points_at_a_time(
    platform: Platform, move: Look, remote: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bailiwick.adapters.mlflow.migration.POINTS_AT_ONCE", 7)
    assert move().agrees
    logged = [each for each in platform.journal.entries("default", limit=500) if each.action == "run.logged"]
    assert sum(each.detail["metrics"] for each in logged) == EVERYTHING["metric_points"]
    assert max(each.detail["metrics"] for each in logged) <= 7
    assert f"{API}metrics/get-history" in remote.asked
