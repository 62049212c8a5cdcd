"""The engine: claims ready steps under a lease, runs their functions, and settles them. Any number may share a database.

Steps run in this process, one at a time an engine. What survives a `kill -9` is what was committed: finished steps are
not run again, the step that was running is.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import BailiwickError, Conflict, NotFound, Unavailable
from bailiwick.pipelines.board import Claim, LeaseLost, ReadyStep, StepBoard, encode_outputs
from bailiwick.pipelines.lease import Lease
from bailiwick.pipelines.model import JSON, Pipeline, PipelineRun, PipelineStep, Step, StepContext
from bailiwick.pipelines.owner import process_owner
from bailiwick.pipelines.rows import load_run
from bailiwick.store import faults
from bailiwick.store.records import Records

LEASE_MS = 30_000
MAX_BACKOFF_MS = 300_000
_POLL_SECONDS = 0.2

Watcher = Callable[[PipelineStep], None]
"""Called in the engine's thread whenever a step changes state or reports progress."""

_log = logging.getLogger(__name__)


class Engine:
    """Runs the steps of runs whose pipeline it knows by name. `owner` must be unique among running engines."""

    def __init__(
        self,
        records: Records,
        pipelines: Mapping[str, Pipeline],
        *,
        owner: str = "",
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._records = records
        self._board = StepBoard(records)
        self._pipelines = dict(pipelines)
        self._digests = {name: pipeline.digest for name, pipeline in pipelines.items()}
        self._owner = owner or process_owner()
        self._lease_ms = lease_ms
        self._next_reap = 0.0

    def execute(self, actor: Actor, run_id: str, progress: Watcher | None = None) -> PipelineRun:
        """Work on one run until it is over and return it, failed or not; shares it with other engines that work on it.

        Raises NotFound for an unknown run or pipeline, Conflict when the pipeline's graph is not the run's any more.
        """
        actor.require(Permission.PIPELINES_RUN)
        self._check(self._run(actor, run_id))
        while True:
            if self._advance_or_reap(actor, run_id, progress):
                continue
            run = self._run(actor, run_id)
            if run.status.is_over:
                return run
            wait_ms = self._board.wait_ms(run_id)
            time.sleep(_POLL_SECONDS if wait_ms is None else min(_POLL_SECONDS, wait_ms / 1000))

    def work_once(self, actor: Actor) -> bool:
        """Run one ready step of any run in the actor's workspace; False when there was none."""
        actor.require(Permission.PIPELINES_RUN)
        if self._advance_or_reap(actor, None, None):
            return True
        self._board.fail_strays(actor, self._digests)
        return False

    def _run(self, actor: Actor, run_id: str) -> PipelineRun:
        with self._records.read() as connection:
            return load_run(connection, actor.workspace, run_id)

    def _check(self, run: PipelineRun) -> None:
        if run.pipeline not in self._pipelines:
            raise NotFound.of("Pipeline", run.pipeline, self._pipelines)
        if run.digest != self._digests[run.pipeline] and not run.status.is_over:
            raise Conflict(
                f"Run {run.id} was submitted with other steps than pipeline {run.pipeline!r} has now.",
                hint="Submit it again: finished work is reused.",
            )

    def _advance_or_reap(self, actor: Actor, run_id: str | None, watch: Watcher | None) -> bool:
        """Look for lost leases when there is nothing else to do, and every second when there is."""
        if time.monotonic() < self._next_reap and self._advance(actor, run_id, watch):
            return True
        self._board.reap(actor)
        self._next_reap = time.monotonic() + 1
        return self._advance(actor, run_id, watch)

    def _advance(self, actor: Actor, run_id: str | None, watch: Watcher | None) -> bool:
        """Settle one step, or lose the race for it; False when none is ready."""
        ready = self._board.ready(actor.workspace, self._digests, run_id)
        if ready is None:
            return False
        step = self._pipelines[ready.pipeline].step(ready.name)
        ready = replace(ready, params=_visible(step, ready.params))
        key = _cache_key(ready, step) if step.cached else ""
        try:
            if not (key and self._board.reuse(actor, ready, version=step.version, cache_key=key)):
                self._claim_and_run(actor, ready, step, key, watch)
        except LeaseLost as lost:
            _log.info("%s", lost)
        self._tell(watch, ready)
        return True

    def _claim_and_run(self, actor: Actor, ready: ReadyStep, step: Step, key: str, watch: Watcher | None) -> None:
        claim = self._board.claim(ready, self._owner, lease_ms=self._lease_ms, version=step.version, cache_key=key)
        if claim is None:
            return
        record = self._tell(watch, ready)
        with Lease(self._board, claim, lease_ms=self._lease_ms) as lease:

            def report(fraction: float, message: str) -> None:
                lease.report(fraction, message)
                if watch is not None and record is not None:
                    watch(replace(record, progress=fraction, message=message))

            context = StepContext(
                run_id=ready.run_id,
                step=step.name,
                actor=actor,
                submitted_by=ready.submitted_by,
                params=ready.params,
                inputs=ready.inputs,
                attempt=ready.attempt + 1,
                report=report,
            )
            self._settle(actor, claim, step, context, lease)

    def _settle(self, actor: Actor, claim: Claim, step: Step, context: StepContext, lease: Lease) -> None:
        try:
            outputs = encode_outputs(step.name, step.run(context))
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - the edge to the user's code: whatever it raises is the step's outcome
            _log.warning("step %s of run %s failed", step.name, claim.run_id, exc_info=error)
            self._record_failure(actor, claim, step, error)
        except BaseException:
            self._board.release(claim)
            raise
        else:
            faults.reach("pipelines.step.ran")
            self._board.finish(actor, claim, outputs, message=lease.message)

    def _record_failure(self, actor: Actor, claim: Claim, step: Step, error: Exception) -> None:
        if claim.failures < step.retries and _may_pass_later(error):
            wait = min(step.backoff_ms * 2**claim.failures, MAX_BACKOFF_MS)
            self._board.retry(actor, claim, _describe(error), after_ms=wait)
        else:
            self._board.fail(actor, claim, _describe(error))

    def _tell(self, watch: Watcher | None, ready: ReadyStep) -> PipelineStep | None:
        if watch is None:
            return None
        record = self._board.step(ready.run_id, ready.name)
        watch(record)
        return record


def _visible(step: Step, params: Mapping[str, JSON]) -> Mapping[str, JSON]:
    if step.reads is None:
        return params
    return {name: params[name] for name in step.reads if name in params}


def _cache_key(ready: ReadyStep, step: Step) -> str:
    return digest_of(
        {
            "pipeline": ready.pipeline,
            "step": step.name,
            "version": step.version,
            "params": dict(ready.params),
            "inputs": {name: dict(outputs) for name, outputs in ready.inputs.items()},
        }
    )


def _may_pass_later(error: Exception) -> bool:
    """Errors of ours say what is wrong with the input or the rights; only an unreachable thing may come back."""
    return isinstance(error, Unavailable) or not isinstance(error, BailiwickError)


def _describe(error: Exception) -> str:
    if isinstance(error, BailiwickError):
        return str(error)
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else text
