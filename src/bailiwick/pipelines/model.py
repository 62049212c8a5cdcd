"""What a pipeline is (declared in code) and what its runs are (records). No I/O here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from bailiwick.core.actor import Actor
from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import InvalidInput

PIPELINE_RUN_TAG = "bailiwick.pipeline_run"
"""The tag by which a tracking run names the pipeline run that it belongs to."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.:\-]{0,99}")

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What parameters and outputs are made of; big things are stored as blobs or tables and named by digest or id."""


class RunStatus(StrEnum):
    """PENDING until the first step is claimed; FAILED and CANCELLED runs can be resumed."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_over(self) -> bool:
        """Whether no step of the run may be claimed any more."""
        return self not in {RunStatus.PENDING, RunStatus.RUNNING}


class StepStatus(StrEnum):
    """CACHED is FINISHED with the outputs of an earlier run; SKIPPED means that a step it needs has failed."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    CACHED = "CACHED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"

    @property
    def is_done(self) -> bool:
        """Whether the step has outputs that its dependants can read."""
        return self in {StepStatus.FINISHED, StepStatus.CACHED}


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step's function is given; a test of a step makes one by hand."""

    run_id: str
    """Stable over retries and crashes: the natural key for records that a repeated step must not make twice."""
    step: str
    actor: Actor
    """Who the work is done as."""
    submitted_by: str
    """Identity of whoever submitted the run."""
    params: Mapping[str, JSON]
    """The run's parameters, or of them those that the step `reads`."""
    inputs: Mapping[str, Mapping[str, JSON]]
    """Outputs of every step in `needs`, by step name."""
    attempt: int = 1
    """A step whose process was killed, or that is retried, is started again with the next number."""
    report: Callable[[float, str], None] = lambda _fraction, _message: None

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far along the step is, 0 to 1; no I/O. Raises Conflict once the step was cancelled or taken over."""
        self.report(min(max(fraction, 0.0), 1.0), message)


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a pipeline.

    A finished step is never run again in its run, and a `cached` one is not run in a later run either while its
    `version`, parameters and inputs are the same: change `version` when the code or anything else it reads changes.
    The step that is running when its process dies is run again, so what it writes must be idempotent.
    """

    name: str
    needs: tuple[str, ...]
    run: Callable[[StepContext], Mapping[str, JSON]]
    version: str
    cached: bool = True
    retries: int = 0
    backoff_ms: int = 1_000
    """Wait before the first retry; doubles for each further one."""
    reads: tuple[str, ...] | None = None
    """Names of the parameters the step may see, so that others do not spoil its cache; None means all."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A named, static graph of steps. Raises InvalidInput for repeated names, unknown needs and cycles."""

    name: str
    steps: Sequence[Step]
    order: tuple[str, ...] = field(init=False)
    """Step names, each after all it needs; ties in the order of declaration."""

    def __post_init__(self) -> None:
        for name in (self.name, *(step.name for step in self.steps)):
            if not _NAME.fullmatch(name):
                raise InvalidInput(
                    f"Pipeline or step name {name!r} may hold only a-z 0-9 _ . : - and at most 100 of them."
                )
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "order", _order(self.name, self.steps))

    def step(self, name: str) -> Step:
        """The step of that name. Raises InvalidInput naming those there are."""
        for step in self.steps:
            if step.name == name:
                return step
        raise InvalidInput.choice(f"Step of pipeline {self.name}", name, self.order)

    @property
    def shape(self) -> list[dict[str, JSON]]:
        """The graph as JSON: what a run keeps, and what must be the same for the run to go on under newer code."""
        return [{"name": name, "needs": sorted(self.step(name).needs)} for name in self.order]

    @property
    def digest(self) -> str:
        """SHA-256 of the name and shape."""
        return digest_of({"name": self.name, "steps": self.shape})


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """The record of one step in one run; times in UTC milliseconds, None until they happen."""

    run_id: str
    name: str
    needs: tuple[str, ...]
    status: StepStatus
    version: str
    attempt: int
    progress: float
    message: str
    outputs: Mapping[str, JSON]
    cached_from: str
    """The run whose outputs were reused, or empty."""
    owner: str
    started: int | None
    ended: int | None


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """The record of one run; `steps` are in the order of the graph. `message` says why it failed."""

    id: str
    workspace: str
    pipeline: str
    digest: str
    params: Mapping[str, JSON]
    trigger: str
    key: str | None
    status: RunStatus
    message: str
    submitted_by: str
    created: int
    started: int | None
    ended: int | None
    steps: tuple[PipelineStep, ...]

    def step(self, name: str) -> PipelineStep:
        """The record of one step. Raises InvalidInput naming those there are."""
        for step in self.steps:
            if step.name == name:
                return step
        raise InvalidInput.choice(f"Step of run {self.id}", name, [step.name for step in self.steps])


def _order(pipeline: str, steps: Sequence[Step]) -> tuple[str, ...]:
    waiting = {step.name: set(step.needs) for step in steps}
    if not steps or len(waiting) != len(steps):
        raise InvalidInput(f"Pipeline {pipeline!r} must have at least one step, and each name only once.")
    for name, needs in waiting.items():
        for missing in sorted(needs - waiting.keys()):
            raise InvalidInput.choice(f"Step {name!r} of pipeline {pipeline!r} needs a step that", missing, waiting)
    order: list[str] = []
    while waiting:
        ready = next((name for name, needs in waiting.items() if needs.issubset(order)), None)
        if ready is None:
            raise InvalidInput(f"Pipeline {pipeline!r} has a cycle among: {', '.join(waiting)}.")
        order.append(ready)
        del waiting[ready]
    return tuple(order)
