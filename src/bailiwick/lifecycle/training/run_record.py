"""The tracking record of one training step: a run with its parameters, metrics, inputs, and a child run for each trial."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import PIPELINE_RUN_TAG, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.tracking.environment import describe_environment
from bailiwick.tracking.model import MetricPoint, RunInput, RunStatus
from bailiwick.training.model import TuneResult


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
        run = self._platform.tracking.start_run(
            self._actor,
            self._project.name,
            name=f"train {self._context.run_id[-6:]}",
            tags={PIPELINE_RUN_TAG: self._context.run_id, **environment.tags()},
            inputs=(RunInput(snapshot=str(self._context.inputs["ingest"]["snapshot"]), role="training"),),
            key=f"{self._context.run_id}:train",
        )
        self.id = run.id
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


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
