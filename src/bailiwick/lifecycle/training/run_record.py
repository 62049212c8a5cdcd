"""The tracking record of one training step: a run with its parameters, metrics, inputs, and a child run for each trial."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from bailiwick.core.errors import BailiwickError
from bailiwick.data.model import Snapshot
from bailiwick.data.splits import Split
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import PIPELINE_RUN_TAG, StepContext
from bailiwick.pipelines.project import Project
from bailiwick.tracking.lineage.model import CONTEXT_TAG, MAX_DIGEST, Dataset, DatasetInput
from bailiwick.tracking.model import MetricPoint, Run, RunInput, RunStatus
from bailiwick.tracking.provenance.code import DIFF_FILE, DIFF_TAG, UNTRACKED_FILE
from bailiwick.tracking.provenance.meters import Meters
from bailiwick.tracking.provenance.sampler import Sampler, next_step
from bailiwick.tracking.provenance.surroundings import Surroundings, surroundings_here
from bailiwick.training.model import TuneResult

ROLE = "training"
SPLIT_TAG = "bailiwick.split"
SOURCE_TAG = "mlflow.source.name"
SOURCE_TYPE_TAG = "mlflow.source.type"
MAX_SOURCE_SHOWN = 2_000

log = logging.getLogger("bailiwick.training")


class TrainingRun:
    """A context manager: FINISHED on the way out, FAILED when an error passes. A repeated step goes on with the same run.

    The run is given what it needs to be run again, and samples of how the machine fares while it goes on.
    """

    def __init__(self, platform: Platform, project: Project, context: StepContext) -> None:
        self._platform = platform
        self._project = project
        self._context = context
        self._actor = context.actor
        self.id = ""
        self._sampler: Sampler | None = None

    def __enter__(self) -> Self:
        folder, settings = self._project.folder, self._platform.settings
        around = surroundings_here(folder, keep_changes=settings.run_diffs)
        source = {SOURCE_TAG: self._project.train.entrypoint, SOURCE_TYPE_TAG: "PROJECT"}
        tags = {PIPELINE_RUN_TAG: self._context.run_id, **source, **around.tags()}
        snapshot = str(self._context.inputs["ingest"]["snapshot"])
        run = self._platform.tracking.start_run(
            self._actor,
            self._project.name,
            name=f"train {self._context.run_id[-6:]}",
            tags=tags,
            inputs=(RunInput(snapshot=snapshot, role=ROLE),),
            key=f"{self._context.run_id}:train",
        )
        self.id = run.id
        read = dataset_of(self._platform.data.snapshot(self._actor.workspace, snapshot))
        self._platform.run_lineage.log_inputs(self._actor, run.id, datasets=[DatasetInput(read, {CONTEXT_TAG: ROLE})])
        if not tags.items() <= run.tags.items():  # a repeated step, perhaps of repaired code, or on another machine
            self._platform.tracking.log(self._actor, run.id, tags=tags)
            if DIFF_TAG in run.tags and DIFF_TAG not in tags:
                self._platform.tracking.delete_tag(self._actor, run.id, DIFF_TAG)
        self._keep(run, around)
        self._sampler = self._sampling(run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        status = RunStatus.FINISHED if kind is None else RunStatus.FAILED
        self._platform.tracking.finish_run(self._actor, self.id, status)

    def _keep(self, run: Run, around: Surroundings) -> None:
        """Artifacts of what is around the run. One that cannot be kept, say where only clients write, fails no training."""
        artifacts = self._platform.artifacts
        try:
            kept = around.files()
            for path in {*kept, DIFF_FILE, UNTRACKED_FILE}:
                where = artifacts.locate(run.workspace, run.artifact_uri, path)
                if path in kept:
                    artifacts.put(self._actor, where, [kept[path]])
                else:  # what a step that is repeated has left, and is true no more
                    artifacts.delete(self._actor, where)
        except BailiwickError as error:
            log.warning("run %s does not keep its surroundings as artifacts: %s", run.id, error)

    def _sampling(self, run: Run) -> Sampler | None:
        seconds = self._platform.settings.system_metrics_seconds
        if not seconds:
            return None
        sampler = Sampler(
            Meters(),
            self._log_samples,
            seconds=seconds,
            first_step=next_step(run.latest),
            clock=self._platform.records.clock,
        )
        sampler.start()
        return sampler

    def _log_samples(self, points: Sequence[MetricPoint]) -> None:
        self._platform.tracking.log(self._actor, self.id, metrics=points)

    def log(self, metrics: Mapping[str, float]) -> None:
        """Log values at step 0."""
        self._platform.tracking.log(self._actor, self.id, metrics=metrics)

    def log_split(self, split: Split) -> None:
        """Which rows taught, chose and judged, in the words by which the snapshot's record tells them again."""
        self._platform.tracking.log(self._actor, self.id, tags={SPLIT_TAG: json.dumps(split.to_json())})

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
