"""A workspace with an artifact root of its own: new experiments are there, and the server reaches them in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from tests_support import s3


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    opened = open_platform(Settings(home=tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def team(admin: Actor) -> Actor:
    return replace(admin, workspace="team-a")


def test_new_experiments_are_below_the_root_of_their_workspace(platform: Platform, admin: Actor, team: Actor) -> None:
    platform.workspaces.create(admin, "team-a")
    before = platform.tracking.create_experiment(team, "before")
    assert before.artifact_location == f"mlflow-artifacts:/workspaces/team-a/{before.id}"
    platform.workspaces.update(admin, "team-a", artifact_root="s3://models/team-a/")
    made = platform.tracking.create_experiment(team, "made")
    started = platform.tracking.start_run(team, "named by a run")
    assert made.artifact_location == f"s3://models/team-a/{made.id}"
    assert started.artifact_uri == f"s3://models/team-a/{started.experiment_id}/{started.id}/artifacts"
    assert platform.tracking.experiment("team-a", before.id) == before
    chosen = platform.tracking.create_experiment(team, "chosen", artifact_location="gs://other/place")
    assert chosen.artifact_location == "gs://other/place"
    platform.workspaces.update(admin, "team-a", artifact_root="")
    after = platform.tracking.create_experiment(team, "after")
    assert after.artifact_location == f"mlflow-artifacts:/workspaces/team-a/{after.id}"
    here = platform.tracking.create_experiment(admin, "here")
    assert here.artifact_location == f"mlflow-artifacts:/{here.id}"


def test_a_root_that_makes_no_location_is_refused_when_it_is_used(
    platform: Platform, admin: Actor, team: Actor
) -> None:
    platform.workspaces.create(admin, "team-a", artifact_root="s3://models/team-a#part")
    with pytest.raises(InvalidInput):
        platform.tracking.create_experiment(team, "e")
    platform.workspaces.update(admin, "team-a", artifact_root="s3://models/" + "a" * 2_036)
    with pytest.raises(LimitExceeded):
        platform.tracking.create_experiment(team, "e")


def test_artifacts_below_the_root_are_reached_by_the_server(
    tmp_path: Path, admin: Actor, team: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.fresh_bucket(monkeypatch)
    platform = open_platform(Settings(home=tmp_path / "home"))
    platform.workspaces.create(admin, "team-a", artifact_root=f"{bucket}/team-a")
    artifacts = platform.artifacts
    run = platform.tracking.start_run(team, "e")
    assert run.artifact_uri.startswith(f"{bucket}/team-a/")
    artifacts.put(team, artifacts.locate("team-a", run.artifact_uri, "workspaces/a.txt"), [b"mine"])
    where = artifacts.locate("team-a", run.artifact_uri, "workspaces/a.txt")
    assert s3.fetched(artifacts.download_url("team-a", where, seconds=60).url, 0, 3) == b"mine"
    assert (
        f"/team-a/{run.experiment_id}/{run.id}/artifacts/workspaces/a.txt?"
        in artifacts.download_url("team-a", where, seconds=60).url
    )
    [entry] = artifacts.entries("team-a", artifacts.locate("team-a", run.artifact_uri, "workspaces"))
    assert entry.path == "a.txt"
    for workspace, uri in (
        ("default", run.artifact_uri),
        ("team-b", run.artifact_uri),
        ("team-a", f"{bucket}/team-ab"),
    ):
        with pytest.raises(Conflict, match="out of this server's reach"):
            artifacts.locate(workspace, uri)
    assert artifacts.delete(team, artifacts.locate("team-a", run.artifact_uri)) == 1
    platform.close()


def test_a_folder_of_the_servers_machine_is_not_opened_for_a_workspace(
    platform: Platform, admin: Actor, team: Actor, tmp_path: Path
) -> None:
    platform.workspaces.create(admin, "team-a", artifact_root=str(tmp_path / "elsewhere"))
    run = platform.tracking.start_run(team, "e")
    assert run.artifact_uri.startswith(str(tmp_path / "elsewhere"))
    with pytest.raises(Conflict, match="out of this server's reach"):
        platform.artifacts.locate("team-a", run.artifact_uri)
