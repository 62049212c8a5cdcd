"""The tracking record of one training step: a run with its parameters, metrics, inputs, and a child run for each trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bailiwick.data.model import Snapshot
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import PIPELINE_RUN_TAG, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.tracking.environment import describe_environment
from bailiwick.tracking.lineage.model import CONTEXT_TAG, MAX_DIGEST, Dataset, DatasetInput
from bailiwick.tracking.model import MetricPoint, RunInput, RunStatus
from bailiwick.training.model import TuneResult

ROLE = "training"
MAX_SOURCE_SHOWN = 2_000


class TrainingRun:
    """A context manager: FINISHED on the way out, FAILED when an error passes. A repeated step goes on with the same run."""

    def __init__(self, platform: Platform, project: Project, context: StepContext) -> None:
        self._platform = platform
        self._project = project
        self._context = context
        self._actor = context.actor
        self.id = ""

    def __enter__(self) -> Self:
        environment = describe_environment(self._project.folder)
        snapshot = str(self._context.inputs["ingest"]["snapshot"])
        run = self._platform.tracking.start_run(
            self._actor,
            self._project.name,
            name=f"train {self._context.run_id[-6:]}",
            tags={PIPELINE_RUN_TAG: self._context.run_id, **environment.tags()},
            inputs=(RunInput(snapshot=snapshot, role=ROLE),),
            key=f"{self._context.run_id}:train",
        )
        self.id = run.id
        read = dataset_of(self._platform.data.snapshot(self._actor.workspace, snapshot))
        self._platform.run_lineage.log_inputs(self._actor, run.id, datasets=[DatasetInput(read, {CONTEXT_TAG: ROLE})])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = RunStatus.FINISHED if kind is None else RunStatus.FAILED
        self._platform.tracking.finish_run(self._actor, self.id, status)

    def log(self, metrics: Mapping[str, float]) -> None:
        """Log values at step 0."""
        self._platform.tracking.log(self._actor, self.id, metrics=metrics)

    def log_search(self, tuned: TuneResult) -> None:
        """The chosen parameters on this run, and one child run for each trial with its curve."""
        tracking = self._platform.tracking
        tracking.log(self._actor, self.id, params=_texts(tuned.params))
        now = self._platform.records.clock()
        for trial in tuned.trials:
            child = tracking.start_run(
                self._actor,
                self._project.name,
                name=f"trial {trial.number}",
                parent=self.id,
                key=f"{self.id}:trial:{trial.number}",
            )
            curve = [MetricPoint(key="validation", value=value, time=now, step=step) for step, value in trial.curve]
            tracking.log(self._actor, child.id, metrics=curve, params=_texts(trial.params))
            ended = RunStatus.FINISHED if trial.status == "FINISHED" else RunStatus.KILLED
            tracking.finish_run(self._actor, child.id, ended)


def dataset_of(snapshot: Snapshot) -> Dataset:
    """A snapshot as clients of other tools see what a run read: findable by name, by digest, and by what it was for."""
    source = {"snapshot": snapshot.id, "source": snapshot.source[:MAX_SOURCE_SHOWN]}
    return Dataset(
        name=snapshot.dataset,
        digest=snapshot.digest[:MAX_DIGEST],
        source_type="bailiwick",
        source=json.dumps(source),
        profile=json.dumps({"num_rows": snapshot.rows}),
        snapshot=snapshot.id,
    )


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
