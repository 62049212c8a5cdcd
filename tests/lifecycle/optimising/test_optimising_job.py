"""Forms measured by a work process: asked for with every right that it takes, stopped at any moment, done again without harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from msgspec import structs

from bailiwick.core.actor import Actor, Permission, system_actor
from bailiwick.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from bailiwick.lifecycle.optimising import measuring, story
from bailiwick.lifecycle.optimising.job import PIPELINE, Job, submit
from bailiwick.lifecycle.optimising.kept import report_on
from bailiwick.lifecycle.optimising.model import Speed
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.pipeline import engine_for
from bailiwick.pipelines.model import PipelineRun, RunStatus
from tests_support.composed import register
from tests_support.many_models import HALF, NAMES, X, labels_for, package_of


@pytest.fixture
def job(platform: Platform, admin: Actor) -> Job:
    register(platform, admin, "late", package_of("linear_positive"))
    rows = pa.table({**{name: X[HALF:, place] for place, name in enumerate(NAMES)}, "y": labels_for("a_positive")})
    snapshot = platform.data.ingest(admin, "rows", rows, source="here")
    return Job("late", 1, snapshot.id, "y", seconds=0.01, form="graph", p99_ms=1e4)


def executed(platform: Platform, run: PipelineRun) -> PipelineRun:
    actor = system_actor("default", "training")
    return engine_for(platform, run).execute(actor, run.id)


def test_a_run_measures_registers_sets_and_keeps_the_report(platform: Platform, admin: Actor, job: Job) -> None:
    run = submit(platform, admin, job, key="once")
    assert (run.pipeline, run.trigger, run.status) == (PIPELINE, "api", RunStatus.PENDING)
    assert submit(platform, admin, job, key="once").id == run.id
    done = executed(platform, run)
    assert done.status is RunStatus.FINISHED, done.message
    outputs = done.steps[0].outputs
    assert outputs["registered"] == 2
    assert "graph" in str(outputs["offered"])
    report = report_on(platform, platform.registry.version("default", "late", 2))
    assert report == report_on(platform, platform.registry.version("default", "late", 1))
    assert (report.registered, report.swept, report.cores > 0) == (2, "graph", True)
    again = executed(platform, submit(platform, admin, job))
    assert again.steps[0].outputs["registered"] == 2
    assert len(platform.registry.versions("default", "late")) == 2


def test_a_run_that_is_cancelled_while_it_measures_leaves_nothing(
    platform: Platform, admin: Actor, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(platform, admin, job)
    speed = measuring.speed_of

    def cancelling(*given: Any, **more: Any) -> Speed:
        if platform.pipelines.run("default", run.id).status is RunStatus.RUNNING:
            platform.pipelines.cancel(admin, run.id)
        return speed(*given, **more)

    monkeypatch.setattr(story, "speed_of", cancelling)
    assert executed(platform, run).status is RunStatus.CANCELLED
    (only,) = platform.registry.versions("default", "late")
    assert dict(only.tags) == {}


def test_what_cannot_be_done_is_refused_before_anything_is_queued(
    platform: Platform, admin: Actor, viewer: Actor, job: Job
) -> None:
    wrong: list[tuple[Job, type[Exception], str]] = [
        (replace_job(job, snapshot="rows@none"), NotFound, "none"),
        (replace_job(job, version=9), NotFound, "no version 9"),
        (replace_job(job, label="z"), InvalidInput, "Column of the label 'z'"),
        (replace_job(job, form="z"), InvalidInput, "Form 'z'"),
        (replace_job(job, gates=("nonsense",)), InvalidInput, "cannot be read"),
        (replace_job(job, seconds=0), InvalidInput, "up to 60"),
    ]
    for asked, error, words in wrong:
        with pytest.raises(error, match=words):
            submit(platform, admin, asked)
    for lacking in (Permission.PIPELINES_RUN, Permission.MODELS_WRITE, Permission.ENDPOINTS_DEPLOY):
        actor = replace(admin, permissions=admin.permissions - {lacking})
        with pytest.raises(NotAllowed, match=str(lacking.value)):
            submit(platform, actor, job)
    with pytest.raises(NotAllowed):
        submit(platform, viewer, job)
    assert platform.pipelines.runs("default") == []
    with pytest.raises(NotFound, match="Nothing was measured"):
        report_on(platform, platform.registry.version("default", "late", 1))


def test_a_form_that_may_be_worse_fails_the_run_and_is_not_registered(
    platform: Platform, admin: Actor, job: Job
) -> None:
    run = executed(platform, submit(platform, admin, replace_job(job, form="75 % of trees", p99_ms=None)))
    assert run.status is RunStatus.FAILED
    assert "cannot be registered" in run.steps[0].message
    assert len(platform.registry.versions("default", "late")) == 1
    with pytest.raises(Conflict):
        platform.pipelines.cancel(admin, run.id)


def replace_job(job: Job, **changes: object) -> Job:
    return structs.replace(job, **changes)
