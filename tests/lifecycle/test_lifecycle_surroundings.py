"""A training run of the pipeline keeps what someone needs to run it again, and runs are compared by all of that."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.comparing_runs import compare_runs
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.run_record import TrainingRun
from bailiwick.pipelines.model import StepContext
from bailiwick.pipelines.project import load_project
from bailiwick.testing.clock import FakeClock
from bailiwick.tracking.comparison import ComparedKey
from bailiwick.tracking.model import Run
from bailiwick.tracking.provenance.code import COMMIT_TAG, DIFF_FILE, DIFF_TAG, DIRTY_TAG, UNTRACKED_FILE
from bailiwick.tracking.provenance.host import HOST_FILE
from bailiwick.tracking.provenance.lock import LOCK_FILE, LOCK_TAG, packages_of
from tests_support.fraud_project import run_pipeline


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(folder: Path) -> Path:
    """The project in a repository, with one line of its code edited since."""
    git(folder, "init", "-q")
    git(folder, "add", "fraud.py", "bailiwick.yaml")
    git(folder, "commit", "-q", "-m", "first")
    with (folder / "fraud.py").open("a", encoding="utf-8") as code:
        code.write("# edited\n")
    return folder


def trained(platform: Platform) -> Run:
    return platform.tracking.run("default", platform.registry.versions("default", "fraud")[0].run_id)


def files(platform: Platform, run: Run) -> dict[str, bytes]:
    artifacts = platform.artifacts
    root = artifacts.locate("default", run.artifact_uri)
    found = {}
    for each in artifacts.files("default", root):
        reading = artifacts.open("default", artifacts.locate("default", run.artifact_uri, each.path))
        found[each.path] = b"".join(reading.chunks(0, each.size_bytes))
        reading.close()
    return found


def values(rows: tuple[ComparedKey, ...]) -> dict[str, tuple[object, ...]]:
    return {row.key: row.values for row in rows}


def test_a_training_run_keeps_its_code_packages_host_and_how_it_fared(
    platform: Platform, admin: Actor, repository: Path
) -> None:
    assert run_pipeline(platform, admin, repository).status == "FINISHED"
    run = trained(platform)
    kept = files(platform, run)
    assert set(kept) == {DIFF_FILE, UNTRACKED_FILE, LOCK_FILE, HOST_FILE}
    assert b"+# edited" in kept[DIFF_FILE]
    assert b"data/" in kept[UNTRACKED_FILE]
    assert packages_of(kept[LOCK_FILE].decode())["lightgbm"]
    assert run.tags[COMMIT_TAG] == git(repository, "rev-parse", "HEAD")
    assert run.tags[DIRTY_TAG] == "true"
    assert run.tags["mlflow.source.name"] == "fraud:fit"
    assert {DIFF_TAG, LOCK_TAG, "bailiwick.host.name"} <= set(run.tags)
    steps = [
        point.step for point in platform.tracking.metric_history("default", run.id, "system/disk_usage_percentage")
    ]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 2
    assert run.metrics["system/process_memory_usage_megabytes"] > 50


def test_a_repeated_step_keeps_what_it_was_repeated_with(platform: Platform, admin: Actor, repository: Path) -> None:
    run_pipeline(platform, admin, repository)
    first = trained(platform)
    project = load_project(repository / "bailiwick.yaml")
    inputs = {"ingest": {"snapshot": first.inputs[0].snapshot}}
    context = cast("StepContext", SimpleNamespace(actor=admin, run_id="repeated", inputs=inputs))
    run = TrainingRun(platform, project, context)
    run.__enter__()
    assert DIFF_FILE in files(platform, platform.tracking.run("default", run.id))
    run.__exit__(ValueError, ValueError("the step fails"), None)
    assert platform.tracking.run("default", run.id).status == "FAILED"
    steps = len(platform.tracking.metric_history("default", run.id, "system/disk_usage_percentage"))
    git(repository, "commit", "-q", "-a", "-m", "repaired")
    with TrainingRun(platform, project, context) as again:
        pass
    found = platform.tracking.run("default", again.id)
    assert (again.id, found.status) == (run.id, "FINISHED")
    assert found.tags[COMMIT_TAG] == git(repository, "rev-parse", "HEAD") != first.tags[COMMIT_TAG]
    assert found.tags[DIRTY_TAG] == "false"
    assert DIFF_TAG not in found.tags
    assert DIFF_FILE not in files(platform, found)
    sampled = platform.tracking.metric_history("default", run.id, "system/disk_usage_percentage")
    assert [point.step for point in sampled] == list(range(len(sampled)))
    assert len(sampled) >= steps + 2


def test_both_can_be_turned_off(settings: Settings, repository: Path, admin: Actor, clock: FakeClock) -> None:
    platform = open_platform(replace(settings, run_diffs=False, system_metrics_seconds=0), clock)
    try:
        assert run_pipeline(platform, admin, repository).status == "FINISHED"
        run = trained(platform)
        assert set(files(platform, run)) == {LOCK_FILE, HOST_FILE}
        assert run.tags[DIRTY_TAG] == "true"
        assert not [key for key in run.metrics if key.startswith("system/")]
    finally:
        platform.close()


def test_artifacts_that_only_clients_reach_fail_no_training(
    settings: Settings, repository: Path, admin: Actor, clock: FakeClock
) -> None:
    platform = open_platform(replace(settings, artifact_root="hdfs://elsewhere/runs"), clock)
    try:
        assert run_pipeline(platform, admin, repository).status == "FINISHED"
        assert trained(platform).tags[LOCK_TAG]
    finally:
        platform.close()


def test_runs_are_compared_by_code_data_packages_and_host(platform: Platform, admin: Actor, repository: Path) -> None:
    run_pipeline(platform, admin, repository)
    first = trained(platform)
    lock = packages_of(files(platform, first)[LOCK_FILE].decode())
    other = platform.tracking.start_run(
        admin,
        "fraud",
        tags={
            COMMIT_TAG: first.tags[COMMIT_TAG],
            DIFF_TAG: "another",
            LOCK_TAG: "another",
            "bailiwick.host.name": "far",
        },
    )
    text = f"# CPython 3.12.0, linux\nlightgbm==0.1\nnumpy=={lock['numpy']}\n"
    platform.artifacts.put(admin, platform.artifacts.locate("default", other.artifact_uri, LOCK_FILE), [text.encode()])
    bare = platform.tracking.start_run(admin, "fraud")
    found = compare_runs(platform, "default", [first.id, other.id, bare.id])
    code, packages, host = values(found.code), values(found.packages), values(found.host)
    assert code["commit"] == (first.tags[COMMIT_TAG], first.tags[COMMIT_TAG], None)
    assert code["changes"] == (first.tags[DIFF_TAG], "another", None)
    assert packages["lightgbm"] == (lock["lightgbm"], "0.1", None)
    assert packages["python"] == (lock["python"], "CPython 3.12.0", None)
    assert packages["numpy"] == (lock["numpy"], lock["numpy"], None)
    assert host["name"] == (first.tags["bailiwick.host.name"], "far", None)
    snapshot = platform.data.snapshot("default", first.inputs[0].snapshot)
    assert values(found.data) == {f"training {snapshot.dataset}": (snapshot.digest[:36], None, None)}
    same = compare_runs(platform, "default", [first.id])
    assert not [row for kind in (same.code, same.data, same.packages, same.host) for row in kind if row.differs]


def test_a_lock_that_was_deleted_leaves_the_packages_unknown(platform: Platform, admin: Actor) -> None:
    run = platform.tracking.start_run(admin, "e", tags={LOCK_TAG: "gone"})
    assert compare_runs(platform, "default", [run.id]).packages == ()
