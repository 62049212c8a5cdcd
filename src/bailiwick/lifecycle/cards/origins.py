"""Who can vouch for what a version says of itself: the steps and the run that made it, else whoever registered it.

A number is taken as measured only where the step's outputs or the run hold the same number; what was handed over at
registration and is nowhere else was stated, by whoever registered it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from bailiwick.core.errors import NotFound
from bailiwick.governance.cards.model import Provenance, Source
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import PIPELINE_RUN_TAG, PipelineRun
from bailiwick.registry.model import ModelVersion
from bailiwick.tracking.model import Run

HOLDOUT = "holdout_"


@dataclass(frozen=True, slots=True)
class Origins:
    """What is known of how a version came to be. `registered` is a measured source: the platform registered it itself."""

    registered: Source
    run: Run | None = None
    run_source: Source | None = None
    pipeline: PipelineRun | None = None
    entries: tuple[tuple[str, str], ...] = ()
    """Journal entry of each finished step, by the step's name."""

    @property
    def stated(self) -> Source:
        """By whoever registered the version."""
        return replace(self.registered, provenance=Provenance.STATED)

    def outputs(self, step: str) -> dict[str, Any]:
        """What a step of the pipeline run gave; empty where there is no such step."""
        found = [each for each in self.pipeline.steps if each.name == step] if self.pipeline else []
        return dict(found[0].outputs) if found and found[0].status.is_done else {}

    def step(self, name: str) -> Source | None:
        """A finished step as a source."""
        if self.pipeline is None or not self.outputs(name):
            return None
        entry = dict(self.entries).get(name, "")
        by, record = self.pipeline.submitted_by, f"pipeline_run/{self.pipeline.id}/{name}"
        return Source(Provenance.MEASURED, record, identity=by, time=self.pipeline.step(name).ended, entry=entry)

    def of_step(self, name: str, key: str, value: object) -> Source:
        """The step, where it gave exactly this; else whoever registered the version."""
        found = self.step(name)
        return found if found is not None and self.outputs(name).get(key) == value else self.stated

    def of_metric(self, name: str, value: float) -> Source:
        """The step or run that measured this very number; else whoever registered it."""
        judged = self.step("evaluate")
        if judged is not None and _same(self.outputs("evaluate").get("metrics", {}).get(name), value):
            return judged
        if self.run is not None and self.run_source is not None:
            for point in self.run.latest:
                if point.key in {name, HOLDOUT + name} and _same(point.value, value):
                    return replace(self.run_source, time=point.time)
        return self.stated

    def of_parameter(self, name: str, value: object) -> Source:
        """The step that was given this very parameter, or the run; else whoever registered it."""
        trained = self.step("train")
        if trained is not None and self.outputs("train").get("parameters", {}).get(name) == value:
            return trained
        if self.run is not None and self.run_source is not None and self.run.params.get(name) == str(value):
            return self.run_source
        return self.stated

    def of_registration(self) -> Source:
        """Facts about code and environment: the pipeline's own step found them out; else they were handed over."""
        return self.step("register") or self.stated


def find_origins(platform: Platform, version: ModelVersion) -> Origins:
    """The run and pipeline run of a version, as far as they are still there, and their journal entries."""
    registered = _registered(platform, version)
    run = _run(platform, version)
    if run is None:
        return Origins(registered)
    pipeline = _pipeline(platform, version.workspace, run.tags.get(PIPELINE_RUN_TAG, ""))
    started = _entry(platform, version.workspace, f"run/{run.id}", "run.started")
    by = started[1] if started else ""
    source = Source(
        Provenance.MEASURED,
        f"run/{run.id}",
        by=by,
        identity=run.created_by,
        time=run.ended or run.started,
        entry=started[0] if started else "",
    )
    return Origins(registered, run, source, pipeline, _step_entries(platform, pipeline))


def _registered(platform: Platform, version: ModelVersion) -> Source:
    record = f"version/{version.model}/{version.number}"
    found = _entry(platform, version.workspace, record, "version.registered")
    entry, by = found or ("", "")
    return Source(Provenance.MEASURED, record, by=by, identity=version.created_by, time=version.created, entry=entry)


def _run(platform: Platform, version: ModelVersion) -> Run | None:
    if not version.run_id:
        return None
    try:
        return platform.tracking.run(version.workspace, version.run_id)
    except NotFound:
        return None


def _pipeline(platform: Platform, workspace: str, run_id: str) -> PipelineRun | None:
    if not run_id:
        return None
    try:
        return platform.pipelines.run(workspace, run_id)
    except NotFound:  # the tag is only text: a client may have written anything there
        return None


def _step_entries(platform: Platform, pipeline: PipelineRun | None) -> tuple[tuple[str, str], ...]:
    if pipeline is None:
        return ()
    found = []
    for step in ("ingest", "train", "evaluate", "register"):
        resource = f"pipeline_run/{pipeline.id}/{step}"
        entry = _entry(platform, pipeline.workspace, resource, "pipeline_step.finished")
        found.append((step, entry[0] if entry else ""))
    return tuple(found)


def _entry(platform: Platform, workspace: str, resource: str, action: str) -> tuple[str, str] | None:
    """Id and actor of the newest entry of that kind about the record."""
    found = platform.journal.entries(workspace, resource=resource, action=action, limit=1)
    return (found[0].id, found[0].actor) if found else None


def _same(known: object, value: float) -> bool:
    return isinstance(known, int | float) and (known == value or (math.isnan(known) and math.isnan(value)))
