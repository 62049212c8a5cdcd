"""Pipeline runs: the graph, the clock and the outcome of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bailiwick.core.actor import Permission
from bailiwick.pipelines.model import PipelineRun, PipelineStep, RunStatus, StepStatus
from bailiwick.server.ui import links
from bailiwick.server.ui.charts import Edge, Node
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.words import moment

_TONES = {
    StepStatus.FINISHED: "good",
    StepStatus.CACHED: "good",
    StepStatus.RUNNING: "here",
    StepStatus.FAILED: "bad",
}
LISTED = 100


def listing(visit: Visit) -> Context:
    """The newest runs."""
    runs = visit.platform.pipelines.runs(visit.workspace, LISTED)
    return {"runs": [(run, sum(step.status.is_done for step in run.steps)) for run in runs]}


def run(visit: Visit) -> Context:
    """One run."""
    found = visit.platform.pipelines.run(visit.workspace, visit.path["run"])
    times = [moment for step in found.steps for moment in (step.started, step.ended) if moment is not None]
    begun = min(times, default=found.created)
    ended = visit.now if not found.status.is_over else max(times, default=found.created)
    may = visit.may(Permission.PIPELINES_RUN)
    return {
        "run": found,
        "trigger": "started by hand" if found.trigger == "manual" else f"started by {found.trigger}",
        "params": {key: _readable(key, value) for key, value in found.params.items()},
        "begun": begun,
        "ended": max(ended, begun + 1),
        "nodes": [_node(step) for step in found.steps],
        "edges": [Edge(need, step.name) for step in found.steps for need in step.needs],
        "made": _made(found),
        "may_cancel": may and not found.status.is_over,
        "may_resume": may and found.status in {RunStatus.FAILED, RunStatus.CANCELLED},
    }


def _readable(key: str, value: Any) -> Any:
    """Event times among the parameters as text."""
    return f"{moment(value)} UTC" if key in {"start", "end"} and isinstance(value, int) else value


def _node(step: PipelineStep) -> Node:
    said = (
        f"running, {step.progress:.0%}" if step.status is StepStatus.RUNNING and step.progress else step.status.lower()
    )
    return Node(step.name, said, step.name, href=f"#step-{step.name}", tone=_TONES.get(step.status, ""))


def _made(found: PipelineRun) -> list[tuple[str, str, str]]:
    """Records that the outputs of steps name, as (what, text, link)."""
    made: dict[str, tuple[str, str, str]] = {}
    for step in found.steps:
        for what, text, href in _links(step.outputs):
            made.setdefault(href, (what, text, href))
    return list(made.values())


def _links(outputs: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for key, value in outputs.items():
        if key in {"snapshot", "snapshot_id"} and isinstance(value, str):
            found.append(("Snapshot", value[-8:], links.snapshot(value)))
        if key in {"run", "run_id"} and isinstance(value, str):
            found.append(("Training run", value[-8:], links.run(value)))
    model, number = outputs.get("model"), outputs.get("version", outputs.get("number"))
    if isinstance(model, str) and isinstance(number, int):
        found.append(("Model version", f"{model} v{number}", links.version(model, number)))
    return found
