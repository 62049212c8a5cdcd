"""Measuring other forms of a version: asked for here, done by a work process, read here."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.lifecycle.optimising.job import Job, submit
from bailiwick.lifecycle.optimising.kept import report_on
from bailiwick.lifecycle.optimising.model import Report
from bailiwick.server.api.pipelines import PipelineRunView, view_of
from bailiwick.server.api.route import Call, Nothing

Name = Annotated[str, Meta(min_length=1, max_length=500)]
Word = Annotated[str, Meta(max_length=500)]


class AskOptimising(Struct, frozen=True, forbid_unknown_fields=True):
    """What to measure on, and what to do with it: `register` a form, set what keeps `p99_ms`.

    A `key` makes the call safe to repeat: it returns the run that it began.
    """

    snapshot: Name
    label: Name
    positive: int | float | str = 1
    gates: tuple[Word, ...] = ()
    metric: Word = ""
    margin: float | None = None
    distil: bool = False
    p99_ms: float | None = None
    seconds: Annotated[float, Meta(gt=0, le=60)] = 0.25
    output: Word = ""
    register: Word = ""
    key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


def optimise_version(call: Call[Nothing, AskOptimising]) -> PipelineRunView:
    """Queue it; what becomes of it is told by the run, and what was measured by the version."""
    said = call.body
    job = Job(
        call.path["model"],
        call.number("number"),
        said.snapshot,
        said.label,
        said.positive,
        said.gates,
        said.metric,
        said.margin,
        said.distil,
        said.p99_ms,
        said.seconds,
        said.output,
        said.register,
    )
    return view_of(submit(call.platform, call.actor, job, key=said.key))


def optimising_of_version(call: Call[Nothing, Nothing]) -> Report:
    """The newest report. Raises NotFound where nothing was measured."""
    version = call.platform.registry.version(call.workspace, call.path["model"], call.number("number"))
    return report_on(call.platform, version)
