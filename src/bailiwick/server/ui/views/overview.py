"""The first page: what needs someone, how the endpoints do, what happened lately."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.pipelines.model import PipelineRun, RunStatus
from bailiwick.rollout.model import Status
from bailiwick.server.ui.page import Context, Visit
from bailiwick.server.ui.views.endpoints import overviews

RECENT_ENTRIES = 12
LISTED_ALARMS = 5


def overview(visit: Visit) -> Context:
    """Everything at a glance; an empty platform says how to begin."""
    platform, workspace = visit.platform, visit.workspace
    alarms = platform.monitors.alarms(workspace, status="OPEN")
    approvals = platform.governance.requests(workspace, status="PENDING")
    rollouts = [found for found in platform.rollouts.rollouts(workspace) if found.status is Status.RUNNING]
    failed = _failed(platform.pipelines.runs(workspace, 20))
    shown = overviews(visit)
    reads_journal = visit.may(Permission.JOURNAL_READ)
    return {
        "alarms": alarms[:LISTED_ALARMS],
        "more_alarms": max(0, len(alarms) - LISTED_ALARMS),
        "approvals": approvals,
        "rollouts": rollouts,
        "failed": failed,
        "calm": not (alarms or approvals or rollouts or failed),
        "overviews": shown,
        "entries": platform.journal.entries(workspace, limit=RECENT_ENTRIES) if reads_journal else [],
        "checkpoint": platform.journal.checkpoint() if reads_journal else None,
        "is_new": not shown and not platform.data.datasets(workspace),
    }


def _failed(runs: list[PipelineRun]) -> list[PipelineRun]:
    """The newest run of each pipeline, where that one failed."""
    newest: dict[str, PipelineRun] = {}
    for run in runs:
        newest.setdefault(run.pipeline, run)
    return [run for run in newest.values() if run.status is RunStatus.FAILED]
