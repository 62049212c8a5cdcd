"""A project's data becomes a proposed version, or one clear reason why not; never half of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import StepStatus
from tests_support.fraud_project import PROJECT, rows
from tests_support.fraud_project import run_pipeline as run


def test_data_becomes_a_version_that_waits_for_approval(platform: Platform, admin: Actor, folder: Path) -> None:
    finished = run(platform, admin, folder)
    assert finished.status == "FINISHED", finished.message
    version = platform.registry.version("default", "fraud", 1)
    assert version.metrics["roc_auc"] > 0.7
    assert set(version.slices["country"]) == {"AT", "BE", "CH"}
    assert version.parity["passed"] is True
    assert platform.registry.aliases("default", "fraud") == {"candidate": 1}
    [request] = platform.governance.requests("default", status="PENDING")
    assert (request.number, request.target, request.evidence) == (
        1,
        "production",
        {"card": True, "gates": True, "parity": True},
    )


def test_the_version_remembers_everything_that_made_it(platform: Platform, admin: Actor, folder: Path) -> None:
    run(platform, admin, folder)
    version = platform.registry.version("default", "fraud", 1)
    snapshot = platform.data.snapshot("default", version.snapshot)
    assert snapshot.rows == 2000
    tracked = platform.tracking.run("default", version.run_id)
    assert tracked.status == "FINISHED"
    assert [read.snapshot for read in tracked.inputs] == [snapshot.id]
    described = platform.run_lineage.links("default", [tracked.id])[tracked.id].datasets
    assert [(each.dataset.name, each.dataset.snapshot, each.context) for each in described] == [
        (snapshot.dataset, snapshot.id, "training")
    ]
    assert len(platform.tracking.children("default", version.run_id)) == 2
    kinds = {node["kind"] for node in platform.registry.lineage("default", "fraud", 1)["nodes"]}
    assert {"snapshot", "run", "version"} <= {kind.removeprefix("model_") for kind in kinds}


def test_the_first_run_writes_a_schema_for_review_and_the_next_is_held_to_it(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    assert "inferred" in run(platform, admin, folder).step("validate").message
    assert "country" in (folder / "schema.pbtxt").read_text(encoding="utf-8")
    bad = rows(seed=2)
    bad = bad.set_column(3, "country", pa.array(["XX"] * bad.num_rows))
    pq.write_table(bad, folder / "data" / "first.parquet")
    refused = run(platform, admin, folder)
    assert refused.status == "FAILED"
    assert "country" in refused.message
    assert "XX" in refused.message
    assert len(platform.registry.versions("default", "fraud")) == 1


def test_what_has_not_changed_is_not_done_again(platform: Platform, admin: Actor, folder: Path) -> None:
    run(platform, admin, folder)
    again = run(platform, admin, folder)
    assert again.step("tune").status is StepStatus.CACHED
    assert again.step("features").status is StepStatus.CACHED


def test_a_retraining_takes_the_parameters_that_are_in_production(
    platform: Platform, admin: Actor, second: Actor, folder: Path
) -> None:
    run(platform, admin, folder)
    [request] = platform.governance.requests("default", status="PENDING")
    platform.governance.approve(second, request.id)
    platform.registry.set_alias(admin, "fraud", "production", 1)
    pq.write_table(rows(seed=3, first_day=10), folder / "data" / "second.parquet")
    again = run(platform, admin, folder, retrain=True)
    assert again.step("tune").outputs["trials"] == 0
    first, newer = (platform.registry.version("default", "fraud", number) for number in (1, 2))
    assert first.parameters == newer.parameters


def test_a_gate_that_says_no_keeps_the_model_out(platform: Platform, admin: Actor, folder: Path) -> None:
    strict = PROJECT.replace("roc_auc >= 0.7", "roc_auc >= 0.999")
    (folder / "bailiwick.yaml").write_text(strict, encoding="utf-8")
    refused = run(platform, admin, folder)
    assert refused.status == "FAILED"
    assert "must be >= 0.999" in refused.message
    assert platform.registry.models("default") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("source: data/*.parquet", "source: nowhere/*.parquet"), "nowhere"),
        (("column: bad", "column: worse"), "worse"),
        (("amount: number", "amont: number"), "amont"),
        (("fraud:fit", "fraud:fitt"), "fitt"),
    ],
)
def test_a_project_that_names_what_is_not_there_is_told_so(
    platform: Platform, admin: Actor, folder: Path, change: tuple[str, str], said: str
) -> None:
    (folder / "bailiwick.yaml").write_text(PROJECT.replace(*change), encoding="utf-8")
    failed = run(platform, admin, folder)
    assert failed.status == "FAILED"
    assert said in failed.message
    assert platform.registry.models("default") == []


def test_too_little_data_is_refused_with_the_numbers(platform: Platform, admin: Actor, folder: Path) -> None:
    pq.write_table(rows(days=4, a_day=20), folder / "data" / "first.parquet")
    failed = run(platform, admin, folder)
    assert failed.status == "FAILED"
    assert "Too few rows" in failed.message


@pytest.mark.parametrize("step", [5, 7, 8])
def test_a_run_that_is_killed_goes_on_and_makes_one_version(settings: Settings, folder: Path, step: int) -> None:
    """SIGKILL after the step's work and before its commit: train, register, propose."""
    environment = {**os.environ, "BAILIWICK_HOME": str(settings.home), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "bailiwick", "run"]
    armed = {**environment, "BAILIWICK_FAULT": f"pipelines.step.ran:{step}"}
    killed = subprocess.run(command, cwd=folder, env=armed, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    platform = open_platform(settings)
    try:
        [interrupted] = platform.pipelines.runs("default")
        done = [item.name for item in interrupted.steps if item.status.is_done]
        resumed = [*command, "--resume", interrupted.id]
        assert subprocess.run(resumed, cwd=folder, env=environment, check=False, capture_output=True).returncode == 0
        finished = platform.pipelines.run("default", interrupted.id)
        assert finished.status == "FINISHED"
        assert all(finished.step(name).attempt == 1 for name in done)
        assert [version.number for version in platform.registry.versions("default", "fraud")] == [1]
        assert len(platform.governance.requests("default")) == 1
    finally:
        platform.close()
