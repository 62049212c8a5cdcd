"""The deed as a run of a pipeline of one step, for work processes to do: asked for by the API, seen and stopped as any run."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.core.serving_setting import setting_words
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.model import JSON, Pipeline, PipelineRun, Step, StepContext
from bailiwick.registry.rows import require_live

PIPELINE = "optimise"
TRIGGER = "api"


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run was asked; the snapshot is meant by its id, so that it is the same rows whenever it is done."""

    model: str
    version: int
    snapshot: str
    label: str
    positive: int | float | str = 1
    gates: tuple[str, ...] = ()
    metric: str = ""
    margin: float | None = None
    distil: bool = False
    p99_ms: float | None = None
    seconds: float = 0.25
    output: str = ""
    form: str = ""


def submit(platform: Platform, actor: Actor, job: Job, *, key: str | None = None) -> PipelineRun:
    """Queue it. Whoever asks must hold what it will do: register a form, set a setting.

    A `key` makes it safe to repeat. Raises NotFound, NotAllowed, InvalidInput before anything is queued.
    """
    from bailiwick.evaluation.gates import parse_gate
    from bailiwick.lifecycle.optimising.story import check_wanted

    actor.require(Permission.PIPELINES_RUN)
    actor.require(Permission.MODELS_WRITE)
    check_wanted(actor, _wanted(job))
    for gate in job.gates:
        parse_gate(gate)
    require_live(platform.registry.version(actor.workspace, job.model, job.version))
    snapshot = platform.data.find(actor.workspace, job.snapshot)
    names = [name for name, _ in snapshot.columns]
    if job.label not in names:
        raise InvalidInput.choice("Column of the label", job.label, names)
    params = msgspec.to_builtins(msgspec.structs.replace(job, snapshot=snapshot.id))
    return platform.pipelines.submit(actor, optimising_pipeline(platform), params, trigger=TRIGGER, key=key)


def optimising_pipeline(platform: Platform) -> Pipeline:
    """One step, which is done again from the start where its process was killed: what it writes may be written again."""

    def measure(context: StepContext) -> Mapping[str, JSON]:
        from bailiwick.lifecycle.assessing import Labelled
        from bailiwick.lifecycle.checking import held_snapshot
        from bailiwick.lifecycle.optimising.deed import carry_out

        job = msgspec.convert(context.params, Job)
        snapshot = platform.data.find(context.actor.workspace, job.snapshot)
        held = held_snapshot(platform.data, snapshot)
        report = carry_out(
            platform,
            context.actor,
            job.model,
            job.version,
            Labelled(held, job.label, job.positive, job.gates),
            _wanted(job),
            watch=lambda words, share: context.progress(share, words),
        )
        served = platform.registry.version(context.actor.workspace, job.model, report.registered or job.version)
        offered = [each.name for each in report.forms[1:] if not each.problem]
        return {"offered": offered, "registered": report.registered, "setting": setting_words(served.serving)}

    return Pipeline(PIPELINE, [Step("measure", (), measure, version="1", cached=False)])


def _wanted(job: Job):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a name of a module that is not loaded before it is needed
    from bailiwick.lifecycle.optimising.story import Wanted

    return Wanted(job.metric, job.margin, job.distil, job.p99_ms, job.seconds, job.output, job.form)
