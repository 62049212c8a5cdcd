"""Submitting, reading, cancelling and resuming runs. Running their steps is the engine's part."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Conflict
from bailiwick.core.ids import new_id
from bailiwick.pipelines.model import JSON, Pipeline, PipelineRun, RunStatus, StepStatus
from bailiwick.pipelines.rows import ACTIVE, load_run, load_runs
from bailiwick.pipelines.tables import runs, steps
from bailiwick.store import faults
from bailiwick.store.records import Change, Records

_UNFINISHED = (StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED)


class PipelineService:
    """The verbs on pipeline runs. A run keeps its whole graph from the moment it is submitted."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def submit(
        self,
        actor: Actor,
        pipeline: Pipeline,
        params: Mapping[str, JSON],
        *,
        trigger: str = "manual",
        key: str | None = None,
    ) -> PipelineRun:
        """Queue a run; an engine picks it up. A `key` that this pipeline has seen returns that run and queues nothing."""
        actor.require(Permission.PIPELINES_RUN)
        known = self._by_key(actor.workspace, pipeline.name, key)
        if known is not None:
            return known
        try:
            with self._records.change(actor, Permission.PIPELINES_RUN) as change:
                run_id = insert_run(change, pipeline, params, trigger=trigger, key=key)
                faults.reach("pipelines.run.submitting")
        except IntegrityError:
            known = self._by_key(actor.workspace, pipeline.name, key)
            if known is None:
                raise
            return known
        faults.reach("pipelines.run.submitted")
        return self.run(actor.workspace, run_id)

    def run(self, workspace: str, run_id: str) -> PipelineRun:
        """One run with its steps. Raises NotFound."""
        with self._records.read() as connection:
            return load_run(connection, workspace, run_id)

    def runs(self, workspace: str, limit: int = 100, *, pipeline: str | None = None) -> list[PipelineRun]:
        """The newest runs first, of one pipeline or of all."""
        wanted = select(runs).where(runs.c.workspace == workspace).order_by(runs.c.id.desc()).limit(limit)
        if pipeline is not None:
            wanted = wanted.where(runs.c.pipeline == pipeline)
        with self._records.read() as connection:
            return load_runs(connection, connection.execute(wanted).mappings().all())

    def cancel(self, actor: Actor, run_id: str) -> PipelineRun:
        """Stop a run: nothing more is claimed, and a step that is running cannot commit. Raises Conflict when it is over."""
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            run = load_run(change.connection, actor.workspace, run_id)
            stopped = change.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.status.in_(ACTIVE))
                .values(status=RunStatus.CANCELLED, ended=change.time, touched=change.time)
            )
            if not stopped.rowcount:
                raise Conflict(f"Pipeline run {run_id} is {run.status}; only a run that is not over can be cancelled.")
            change.execute(
                update(steps)
                .where(steps.c.run_id == run_id, steps.c.status.in_((StepStatus.PENDING, StepStatus.RUNNING)))
                .values(status=StepStatus.CANCELLED, ended=change.time)
            )
            change.record("pipeline_run.cancelled", f"pipeline_run/{run_id}", pipeline=run.pipeline)
        return self.run(actor.workspace, run_id)

    def resume(self, actor: Actor, run_id: str) -> PipelineRun:
        """Let a failed or cancelled run go on at the steps that did not finish; finished ones keep their outputs.

        Changes nothing for a run that is not over. Raises Conflict for a finished one.
        """
        run = self.run(actor.workspace, run_id)
        if run.status is RunStatus.FINISHED:
            raise Conflict(f"Pipeline run {run_id} is FINISHED; there is nothing to resume.", hint="Submit a new run.")
        if not run.status.is_over:
            return run
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            change.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.status.not_in(ACTIVE))
                .values(status=RunStatus.RUNNING, message="", ended=None, touched=change.time)
            )
            change.execute(
                update(steps)
                .where(steps.c.run_id == run_id, steps.c.status.in_(_UNFINISHED))
                .values(status=StepStatus.PENDING, message="", failures=0, losses=0, not_before=0, ended=None)
            )
            change.record("pipeline_run.resumed", f"pipeline_run/{run_id}", pipeline=run.pipeline)
        return self.run(actor.workspace, run_id)

    def _by_key(self, workspace: str, pipeline: str, key: str | None) -> PipelineRun | None:
        if key is None:
            return None
        wanted = select(runs).where(runs.c.workspace == workspace, runs.c.pipeline == pipeline, runs.c.key == key)
        with self._records.read() as connection:
            found = load_runs(connection, connection.execute(wanted).mappings().all())
        return found[0] if found else None


def insert_run(change: Change, pipeline: Pipeline, params: Mapping[str, JSON], *, trigger: str, key: str | None) -> str:
    """Write a run with all its steps inside an open change, and return its id; so that a trigger and its run are one commit."""
    run_id = new_id()
    change.execute(
        insert(runs).values(
            id=run_id,
            workspace=change.workspace,
            pipeline=pipeline.name,
            digest=pipeline.digest,
            params=canonical_json(dict(params)).decode(),
            trigger=trigger,
            key=key,
            status=RunStatus.PENDING,
            message="",
            submitted_by=change.actor.identity,
            created=change.time,
            touched=change.time,
        )
    )
    change.execute(insert(steps), [_step_row(change, run_id, pipeline, name) for name in pipeline.order])
    change.record("pipeline_run.submitted", f"pipeline_run/{run_id}", pipeline=pipeline.name, trigger=trigger)
    return run_id


def _step_row(change: Change, run_id: str, pipeline: Pipeline, name: str) -> dict[str, object]:
    needs = sorted(set(pipeline.step(name).needs))
    return {
        "run_id": run_id,
        "name": name,
        "workspace": change.workspace,
        "position": pipeline.order.index(name),
        "needs": json.dumps(needs),
        "waiting": len(needs),
        "status": StepStatus.PENDING,
        "version": "",
        "attempt": 0,
        "failures": 0,
        "losses": 0,
        "not_before": 0,
        "owner": "",
        "token": 0,
        "lease_expires": 0,
        "progress": 0.0,
        "message": "",
        "cache_key": "",
        "cached_from": "",
        "outputs": "",
    }
