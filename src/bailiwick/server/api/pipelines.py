"""Pipeline runs: what was asked, how far each step is, and the verbs to stop and go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.training.pipeline import training_pipeline
from bailiwick.pipelines.model import JSON, PipelineRun, PipelineStep
from bailiwick.server.api.route import Call, Nothing

Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]


class PipelineRunsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest `limit` runs, of one pipeline or of all."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    pipeline: str | None = None


class StepView(Struct, frozen=True):
    """One step of a run; `progress` from 0 to 1, times in UTC milliseconds."""

    name: str
    needs: tuple[str, ...]
    status: str
    version: str
    attempt: int
    progress: float
    message: str
    outputs: Mapping[str, Any]
    cached_from: str
    started: int | None
    ended: int | None


class PipelineRunView(Struct, frozen=True):
    """One run with its steps in the order of the graph."""

    id: str
    workspace: str
    pipeline: str
    params: Mapping[str, Any]
    trigger: str
    key: str | None
    status: str
    message: str
    submitted_by: str
    created: int
    started: int | None
    ended: int | None
    steps: list[StepView]


class PipelineRuns(Struct, frozen=True):
    """Runs, newest first."""

    items: list[PipelineRunView]


class SubmitRun(Struct, frozen=True, forbid_unknown_fields=True):
    """A run of a project's pipeline on rows with event time in [start, end), UTC milliseconds; `steps` and what they need.

    With `force` a version is registered even where it is the newest one again. A `key` makes the call safe to repeat: one that this pipeline has seen returns the run it began.
    """

    project: Annotated[str, Meta(min_length=1, max_length=250)]
    start: Milliseconds | None = None
    end: Milliseconds | None = None
    steps: tuple[str, ...] = ()
    reason: Annotated[str, Meta(max_length=2000)] = "asked for through the API"
    key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    force: bool = False


def submit_pipeline_run(call: Call[Nothing, SubmitRun]) -> PipelineRunView:
    """Queue a run; a work process executes it. Raises NotFound for a project that was never applied here."""
    wanted = call.body
    if wanted.start is not None and wanted.end is not None and wanted.start >= wanted.end:
        raise InvalidInput(f"start {wanted.start} must lie before end {wanted.end}.")
    project = call.platform.projects.project(call.workspace, wanted.project)
    pipeline = training_pipeline(call.platform, project, only=wanted.steps or None)
    params: dict[str, JSON] = {
        "project": project.name,
        "start": wanted.start,
        "end": wanted.end,
        "reason": wanted.reason,
    }
    if wanted.force:
        params["force"] = True
    return view_of(call.platform.pipelines.submit(call.actor, pipeline, params, trigger="api", key=wanted.key))


def pipeline_runs(call: Call[PipelineRunsQuery, Nothing]) -> PipelineRuns:
    """The newest runs."""
    found = call.platform.pipelines.runs(call.workspace, call.query.limit, pipeline=call.query.pipeline)
    return PipelineRuns([view_of(run) for run in found])


def pipeline_run(call: Call[Nothing, Nothing]) -> PipelineRunView:
    """One run."""
    return view_of(call.platform.pipelines.run(call.workspace, call.path["run"]))


def cancel_pipeline_run(call: Call[Nothing, Nothing]) -> PipelineRunView:
    """Stop a run; the step that is running cannot commit any more."""
    return view_of(call.platform.pipelines.cancel(call.actor, call.path["run"]))


def resume_pipeline_run(call: Call[Nothing, Nothing]) -> PipelineRunView:
    """Let a failed or cancelled run go on at the step where it stopped."""
    return view_of(call.platform.pipelines.resume(call.actor, call.path["run"]))


def view_of(run: PipelineRun) -> PipelineRunView:
    """As answers show it."""
    return PipelineRunView(
        id=run.id,
        workspace=run.workspace,
        pipeline=run.pipeline,
        params=run.params,
        trigger=run.trigger,
        key=run.key,
        status=run.status,
        message=run.message,
        submitted_by=run.submitted_by,
        created=run.created,
        started=run.started,
        ended=run.ended,
        steps=[_step(step) for step in run.steps],
    )


def _step(step: PipelineStep) -> StepView:
    return StepView(
        name=step.name,
        needs=step.needs,
        status=step.status,
        version=step.version,
        attempt=step.attempt,
        progress=step.progress,
        message=step.message,
        outputs=step.outputs,
        cached_from=step.cached_from,
        started=step.started,
        ended=step.ended,
    )
