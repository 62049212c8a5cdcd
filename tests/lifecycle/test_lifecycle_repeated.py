"""A run that changed nothing registers nothing: the newest version is what it made, unless a new one is asked for."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import PipelineRun
from tests_support.fraud_project import PROJECT, rows, run_pipeline


def registered(run: PipelineRun) -> tuple[object, bool]:
    assert run.status == "FINISHED", run.message
    found = run.step("register").outputs
    return found["version"], bool(found.get("unchanged"))


def numbers(platform: Platform) -> list[int]:
    return [each.number for each in platform.registry.versions("default", "fraud", deleted=True)]


def test_the_same_again_is_the_version_that_there_is_and_asks_nobody_again(
    platform: Platform, admin: Actor, second: Actor, folder: Path
) -> None:
    assert registered(run_pipeline(platform, admin, folder)) == (1, False)
    (request,) = platform.governance.requests("default")
    again = run_pipeline(platform, admin, folder)
    assert registered(again) == (1, True)
    assert again.step("propose").outputs["request"] == request.id  # it still waits
    platform.governance.approve(second, request.id)
    decided = run_pipeline(platform, admin, folder)
    assert decided.step("propose").outputs["request"] == ""
    assert [each.id for each in platform.governance.requests("default")] == [request.id]
    assert numbers(platform) == [1]
    assert platform.registry.alias("default", "fraud", "candidate").number == 1


def test_a_version_is_registered_once_more_where_that_is_asked_for(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    run_pipeline(platform, admin, folder)
    assert registered(run_pipeline(platform, admin, folder, force=True)) == (2, False)
    assert registered(run_pipeline(platform, admin, folder)) == (2, True)
    platform.registry.delete_version(admin, "fraud", 2, reason="a mistake")
    assert registered(run_pipeline(platform, admin, folder)) == (1, True)


def test_what_changes_the_model_or_what_is_known_of_it_makes_a_version_and_words_do_not(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    run_pipeline(platform, admin, folder)
    file = folder / "bailiwick.yaml"
    file.write_text(PROJECT.replace("Two countries, one month.", "Three countries."), encoding="utf-8")
    assert registered(run_pipeline(platform, admin, folder)) == (1, True)
    said = {each.field: each.text for each in platform.statements.history("default", "fraud", limit=1)}
    assert said == {"limitations": "Three countries."}
    file.write_text(PROJECT.replace("  slices: [country]\n", ""), encoding="utf-8")
    assert registered(run_pipeline(platform, admin, folder)) == (2, False)
    file.write_text(PROJECT, encoding="utf-8")
    assert registered(run_pipeline(platform, admin, folder)) == (3, False)  # only the newest is looked at
    pq.write_table(rows(days=2, first_day=10, seed=2), folder / "data" / "second.parquet")
    assert registered(run_pipeline(platform, admin, folder)) == (4, False)
