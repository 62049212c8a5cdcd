"""The training pipeline of a project: which steps there are, what each needs, and what makes each worth doing again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from bailiwick._version import __version__
from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.optimising.job import PIPELINE, optimising_pipeline
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.engine import Engine
from bailiwick.pipelines.model import JSON, Pipeline, PipelineRun, Step, StepContext
from bailiwick.pipelines.notation import holdout_text
from bailiwick.pipelines.project import Project
from bailiwick.training.entrypoint import source_digest

NEEDS: Mapping[str, tuple[str, ...]] = {
    "ingest": (),
    "validate": ("ingest",),
    "features": ("ingest", "validate"),
    "tune": ("ingest", "features"),
    "train": ("ingest", "features", "tune"),
    "evaluate": ("ingest", "train"),
    "register": ("ingest", "train", "evaluate"),
    "propose": ("register",),
}
"""Each step and the steps whose outputs it reads, in order."""

_BODIES = {
    "ingest": ("data_steps", "ingest"),
    "validate": ("data_steps", "check"),
    "features": ("model_steps", "fit"),
    "tune": ("model_steps", "search"),
    "train": ("model_steps", "train"),
    "evaluate": ("judging", "judge"),
    "register": ("record_steps", "register"),
    "propose": ("record_steps", "propose"),
}
_READS = {"ingest": ("start", "end"), "tune": ("retrain",), "register": ("reason", "force")}
"""The run's parameters that each step may see; the others neither matter to it nor spoil its cache."""
_CACHED = frozenset({"features", "tune"})
"""Steps with no effect but their outputs, and worth the keeping; the others are quick, or write records."""

_FEATURES_FORMAT = 2
"""Of the outputs of the step `features`: others of older runs are not taken from the cache."""


def pipeline_name(project: str) -> str:
    """The name under which a project's training pipeline is known to the engine."""
    return f"train-{project}"


def training_pipeline(platform: Platform, project: Project, *, only: Sequence[str] | None = None) -> Pipeline:
    """The project's pipeline; `only` leaves out what the named steps do not need. Raises InvalidInput for an unknown step."""
    wanted = _closure(only or list(NEEDS))
    return Pipeline(
        name=pipeline_name(project.name),
        steps=[_step(platform, project, name) for name in NEEDS if name in wanted],
    )


def engine_for(platform: Platform, run: PipelineRun) -> Engine:
    """An engine that knows the run's pipeline, cut to the steps the run was submitted with."""
    if run.pipeline == PIPELINE:
        return Engine(platform.records, {PIPELINE: optimising_pipeline(platform)})
    project = platform.projects.project(run.workspace, str(run.params["project"]))
    pipeline = training_pipeline(platform, project, only=[step.name for step in run.steps])
    return Engine(platform.records, {pipeline.name: pipeline})


def _closure(names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in NEEDS:
            raise InvalidInput.choice("Step", name, NEEDS)
        if name not in found:
            found.add(name)
            waiting.extend(NEEDS[name])
    return found


def _step(platform: Platform, project: Project, name: str) -> Step:
    def run(context: StepContext) -> Mapping[str, JSON]:
        module, function = _BODIES[name]
        # Imported when a step runs: the worker that only schedules runs stays free of the training libraries.
        body = getattr(import_module(f"bailiwick.lifecycle.training.{module}"), function)
        outputs: Mapping[str, JSON] = body(platform, project, context)
        return outputs

    return Step(
        name=name,
        needs=NEEDS[name],
        run=run,
        version=_version(project, name),
        cached=name in _CACHED,
        reads=_READS.get(name, ()),
    )


def _version(project: Project, name: str) -> str:
    """Changes exactly when the part of the project file, or the user's code, that the step reads changes."""
    split = (
        [project.data.split.model_dump(mode="json")] if project.data.split else []
    )  # left out, nothing is done again that was done before
    reads: dict[str, object] = {
        "features": [
            _FEATURES_FORMAT,
            *split,
            project.features,
            holdout_text(project.evaluate.holdout),
            project.data.time,
            project.data.label.model_dump(mode="json"),
            *_pipeline_sources(project),
        ],
        "tune": [
            *split,
            project.train.model_dump(mode="json"),
            project.data.label.model_dump(mode="json"),
            source_digest(project.train.entrypoint, project.folder),
        ],
    }
    return digest_of([__version__, name, reads.get(name, project.digest)])


def _pipeline_sources(project: Project) -> list[str]:
    """Digests of the files that scikit-learn pipelines among the features are made in."""
    found = []
    for declared in project.features.values():
        given = declared.get("sklearn") if isinstance(declared, dict) else None
        if isinstance(given, dict) and isinstance(given.get("pipeline"), str):
            found.append(source_digest(given["pipeline"], project.folder))
    return found
