"""What an engine does to step rows: find a ready one, claim it, keep it, settle it. Every method is one transaction.

Each transaction first updates the row of the run, so that on PostgreSQL the transactions of one run queue up behind
each other (as all do on SQLite) and two steps that finish together cannot both overlook that the other has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, exists, func, select, update

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json, sha256_hex
from bailiwick.core.errors import Conflict, InvalidInput, LimitExceeded
from bailiwick.pipelines.model import JSON, PipelineStep, RunStatus, StepStatus
from bailiwick.pipelines.owner import is_gone
from bailiwick.pipelines.rows import ACTIVE, load_step, mapping
from bailiwick.pipelines.tables import runs, steps
from bailiwick.store import faults
from bailiwick.store.records import Change, Records

MAX_OUTPUT_BYTES = 262_144
MAX_LOSSES = 5
"""How often the process may die under one step before the step counts as failed."""
_DONE = (StepStatus.FINISHED, StepStatus.CACHED)


class LeaseLost(Conflict):
    """The step was cancelled, or its lease ran out and another owner has it; nothing was committed."""


@dataclass(frozen=True, slots=True)
class ReadyStep:
    """A step that could be claimed now, with all that its cache key and its function need."""

    run_id: str
    pipeline: str
    name: str
    submitted_by: str
    params: Mapping[str, JSON]
    inputs: Mapping[str, Mapping[str, JSON]]
    token: int
    attempt: int
    failures: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to settle one step, as long as `token` is still the row's."""

    run_id: str
    name: str
    token: int
    failures: int
    """Attempts that ended in an error, of which there may be as many as the step has retries."""


class StepBoard:
    """The steps of all runs in a database. Claims, renewals and progress are not journalled; outcomes are."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def ready(self, workspace: str, digests: Mapping[str, str], run_id: str | None = None) -> ReadyStep | None:
        """The first ready step of the oldest run, among pipelines whose graph is known here (`digests` by name)."""
        conditions: list[ColumnElement[bool]] = [
            runs.c.workspace == workspace,
            runs.c.status.in_(ACTIVE),
            runs.c.digest.in_(list(digests.values())),
            steps.c.status == StepStatus.PENDING,
            steps.c.waiting == 0,
            steps.c.not_before <= self._records.clock(),
        ]
        if run_id is not None:
            conditions.append(runs.c.id == run_id)
        columns = (runs.c.pipeline, runs.c.params, runs.c.submitted_by, steps)
        first = select(*columns).join(runs).where(*conditions).order_by(runs.c.id, steps.c.position).limit(1)
        with self._records.read() as connection:
            row = connection.execute(first).mappings().first()
            return None if row is None else _ready_of(row, _inputs(connection, row))

    def claim(self, step: ReadyStep, owner: str, *, lease_ms: int, version: str, cache_key: str) -> Claim | None:
        """Take the step for `lease_ms`; None when another owner was faster or the run is over."""
        now = self._records.clock()
        with self._records.database.write() as connection:
            if not _begin(connection, step.run_id, now):
                return None
            claimed = {
                "status": StepStatus.RUNNING,
                "owner": owner,
                "token": step.token + 1,
                "lease_expires": now + lease_ms,
                "attempt": step.attempt + 1,
                "version": version,
                "cache_key": cache_key,
                "progress": 0.0,
                "message": "",
                "started": now,
                "ended": None,
            }
            if not connection.execute(update(steps).where(*_still_ready(step)).values(claimed)).rowcount:
                return None
            faults.reach("pipelines.step.claiming")
        faults.reach("pipelines.step.claimed")
        return Claim(step.run_id, step.name, step.token + 1, step.failures)

    def renew(self, claim: Claim, *, lease_ms: int, progress: float, message: str) -> bool:
        """Extend the lease and store progress; False when the claim is lost."""
        values = {"lease_expires": self._records.clock() + lease_ms, "progress": progress, "message": message}
        with self._records.database.write() as connection:
            return bool(connection.execute(update(steps).where(*_held(claim)).values(values)).rowcount)

    def release(self, claim: Claim) -> None:
        """Give the step back unharmed, for a process that is asked to stop."""
        with self._records.database.write() as connection:
            connection.execute(update(steps).where(*_held(claim)).values(status=StepStatus.PENDING, owner=""))

    def reap(self, actor: Actor) -> None:
        """Return steps whose owner is gone or whose lease has run out to PENDING; one that kept killing its owners fails."""
        now = self._records.clock()
        running = select(steps).where(steps.c.workspace == actor.workspace, steps.c.status == StepStatus.RUNNING)
        with self._records.read() as connection:
            rows = connection.execute(running).mappings().all()
        for row in rows:
            if row["lease_expires"] < now or is_gone(row["owner"]):
                self._lose(actor, row)

    def _lose(self, actor: Actor, row: RowMapping) -> None:
        claim = Claim(row["run_id"], row["name"], row["token"], row["failures"])
        losses = row["losses"] + 1
        if losses >= MAX_LOSSES:
            with suppress(LeaseLost):
                self.fail(actor, claim, f"the process running it died or stalled {losses} times; is it out of memory?")
            return
        with self._records.database.write() as connection:
            # The guard includes the lease: an owner that renewed since the row was read keeps its step.
            same = (*_held(claim), steps.c.lease_expires == row["lease_expires"])
            lost = {"status": StepStatus.PENDING, "owner": "", "losses": losses}
            connection.execute(update(steps).where(*same).values(lost))

    def reuse(self, actor: Actor, step: ReadyStep, *, version: str, cache_key: str) -> bool:
        """Settle the step with the outputs of an earlier one of equal key; False when there is none."""
        wanted = (
            select(steps.c.run_id, steps.c.outputs)
            .where(steps.c.workspace == actor.workspace, steps.c.cache_key == cache_key)
            .where(steps.c.status == StepStatus.FINISHED)
            .order_by(steps.c.run_id.desc())
            .limit(1)
        )
        with self._records.read() as connection:
            earlier = connection.execute(wanted).first()
        if earlier is None:
            return False
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            _begin(change.connection, step.run_id, change.time)
            settled = {
                "status": StepStatus.CACHED,
                "version": version,
                "cache_key": cache_key,
                "cached_from": earlier.run_id,
                "outputs": earlier.outputs,
                "progress": 1.0,
                "message": "",
                "started": change.time,
                "ended": change.time,
            }
            if not change.execute(update(steps).where(*_still_ready(step)).values(settled)).rowcount:
                raise LeaseLost(f"Step {step.name} of run {step.run_id} was settled by another owner.")
            change.record("pipeline_step.reused", _resource(step), cached_from=earlier.run_id, cache_key=cache_key)
            self._after_success(change, step.run_id, step.name)
            faults.reach("pipelines.step.reusing")
        faults.reach("pipelines.step.reused")
        return True

    def finish(self, actor: Actor, claim: Claim, outputs: bytes, *, message: str = "") -> None:
        """Commit outputs (see `encode_outputs`), state, dependants and journal entry together. Raises LeaseLost.

        `message` is the last thing the step said of its progress, and stays as its summary.
        """
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            self._settle(
                change,
                claim,
                status=StepStatus.FINISHED,
                outputs=outputs.decode(),
                progress=1.0,
                message=message[:1000],
                ended=change.time,
            )
            change.record("pipeline_step.finished", _resource(claim), outputs=sha256_hex(outputs))
            self._after_success(change, claim.run_id, claim.name)
            faults.reach("pipelines.step.finishing")
        faults.reach("pipelines.step.finished")

    def retry(self, actor: Actor, claim: Claim, message: str, *, after_ms: int) -> None:
        """Record a failed attempt and make the step ready again `after_ms` from now. Raises LeaseLost."""
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            self._settle(
                change,
                claim,
                status=StepStatus.PENDING,
                failures=claim.failures + 1,
                not_before=change.time + after_ms,
                message=message,
                owner="",
            )
            change.record("pipeline_step.retried", _resource(claim), message=message[:1000], after_ms=after_ms)
            faults.reach("pipelines.step.retrying")

    def fail(self, actor: Actor, claim: Claim, message: str) -> None:
        """Record the failure, skip everything that needs the step, fail the run. Raises LeaseLost."""
        with self._records.change(actor, Permission.PIPELINES_RUN) as change:
            self._settle(change, claim, status=StepStatus.FAILED, message=message, ended=change.time)
            change.record("pipeline_step.failed", _resource(claim), message=message[:1000])
            skipped = _dependants(change.connection, claim.run_id, claim.name)
            change.execute(
                update(steps)
                .where(steps.c.run_id == claim.run_id, steps.c.name.in_(skipped), steps.c.status == StepStatus.PENDING)
                .values(status=StepStatus.SKIPPED, message=f"It needs step {claim.name!r}, which failed.")
            )
            self._fail_run(change, claim.run_id, f"Step {claim.name!r} failed: {message}")
            faults.reach("pipelines.step.failing")
        faults.reach("pipelines.step.failed")

    def fail_strays(self, actor: Actor, digests: Mapping[str, str]) -> None:
        """Fail runs that no step is running of and whose graph is no longer the one their pipeline has in this program."""
        held = exists().where(steps.c.run_id == runs.c.id, steps.c.status == StepStatus.RUNNING)
        stray = (
            select(runs.c.id)
            .where(runs.c.workspace == actor.workspace, runs.c.status.in_(ACTIVE), ~held)
            .where(runs.c.pipeline.in_(list(digests)), runs.c.digest.not_in(list(digests.values())))
        )
        with self._records.read() as connection:
            found = connection.execute(stray).scalars().all()
        for run_id in found:
            with self._records.change(actor, Permission.PIPELINES_RUN) as change:
                self._fail_run(
                    change, run_id, "The pipeline has other steps now. Submit it again: finished work is reused."
                )

    def wait_ms(self, run_id: str) -> int | None:
        """Milliseconds until the next retry of a run is due; None when no retry is what the run waits for."""
        due = select(steps.c.not_before).where(
            steps.c.run_id == run_id, steps.c.status == StepStatus.PENDING, steps.c.waiting == 0
        )
        with self._records.read() as connection:
            times = connection.execute(due).scalars().all()
        return max(0, min(times) - self._records.clock()) if times else None

    def step(self, run_id: str, name: str) -> PipelineStep:
        """The record of one step as it is now."""
        with self._records.read() as connection:
            return load_step(connection, run_id, name)

    def _settle(self, change: Change, claim: Claim, **values: object) -> None:
        change.execute(update(runs).where(runs.c.id == claim.run_id).values(touched=change.time))
        if not change.execute(update(steps).where(*_held(claim)).values(values)).rowcount:
            raise LeaseLost(
                f"Step {claim.name} of run {claim.run_id} was cancelled or taken over; nothing was committed."
            )

    def _after_success(self, change: Change, run_id: str, name: str) -> None:
        of_run = select(steps.c.name, steps.c.needs, steps.c.status).where(steps.c.run_id == run_id)
        rows = change.execute(of_run).all()
        direct = [row.name for row in rows if name in json.loads(row.needs)]
        if direct:
            change.execute(
                update(steps)
                .where(steps.c.run_id == run_id, steps.c.name.in_(direct))
                .values(waiting=steps.c.waiting - 1)
            )
        if all(row.status in _DONE for row in rows):
            ended = change.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.status.in_(ACTIVE))
                .values(status=RunStatus.FINISHED, ended=change.time, message="")
            )
            if ended.rowcount:
                change.record("pipeline_run.finished", f"pipeline_run/{run_id}")

    def _fail_run(self, change: Change, run_id: str, message: str) -> None:
        change.execute(
            update(runs)
            .where(runs.c.id == run_id, runs.c.status.in_(ACTIVE))
            .values(status=RunStatus.FAILED, message=message, ended=change.time)
        )
        change.record("pipeline_run.failed", f"pipeline_run/{run_id}", message=message[:1000])


def encode_outputs(step: str, outputs: object) -> bytes:
    """Canonical JSON of what a step returned. Raises InvalidInput for anything but a mapping of JSON, LimitExceeded."""
    if not isinstance(outputs, Mapping):
        raise InvalidInput(
            f"Step {step} returned {type(outputs).__name__}; it must return a mapping of JSON values.",
            hint="Return {} when there is nothing to hand on.",
        )
    encoded = canonical_json(dict(outputs))
    if len(encoded) > MAX_OUTPUT_BYTES:
        raise LimitExceeded(
            f"Step {step} returned {len(encoded)} bytes of outputs; at most {MAX_OUTPUT_BYTES} are kept.",
            hint="Store the data as a blob or table and return its digest or id.",
        )
    return encoded


def _ready_of(row: RowMapping, inputs: Mapping[str, Mapping[str, JSON]]) -> ReadyStep:
    return ReadyStep(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        name=row["name"],
        submitted_by=row["submitted_by"],
        params=mapping(row["params"]),
        inputs=inputs,
        token=row["token"],
        attempt=row["attempt"],
        failures=row["failures"],
    )


def _inputs(connection: Connection, row: RowMapping) -> Mapping[str, Mapping[str, JSON]]:
    needs = json.loads(row["needs"])
    if not needs:
        return {}
    found = select(steps.c.name, steps.c.outputs).where(steps.c.run_id == row["run_id"], steps.c.name.in_(needs))
    return {name: mapping(outputs) for name, outputs in connection.execute(found)}


def _begin(connection: Connection, run_id: str, now: int) -> bool:
    """Lock the run's row and mark it as running; False when the run is over."""
    begun = {"status": RunStatus.RUNNING, "started": func.coalesce(runs.c.started, now), "touched": now}
    active = (runs.c.id == run_id, runs.c.status.in_(ACTIVE))
    return bool(connection.execute(update(runs).where(*active).values(begun)).rowcount)


def _still_ready(step: ReadyStep) -> tuple[ColumnElement[bool], ...]:
    return (
        steps.c.run_id == step.run_id,
        steps.c.name == step.name,
        steps.c.status == StepStatus.PENDING,
        steps.c.waiting == 0,
        steps.c.token == step.token,
    )


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (
        steps.c.run_id == claim.run_id,
        steps.c.name == claim.name,
        steps.c.status == StepStatus.RUNNING,
        steps.c.token == claim.token,
    )


def _dependants(connection: Connection, run_id: str, name: str) -> Iterable[str]:
    """Names of all steps that need `name`, directly or through others."""
    of_run = select(steps.c.name, steps.c.needs).where(steps.c.run_id == run_id).order_by(steps.c.position)
    found = {name}
    for other, needs in connection.execute(of_run):
        if found.intersection(json.loads(needs)):
            found.add(other)
    return sorted(found - {name})


def _resource(step: ReadyStep | Claim) -> str:
    return f"pipeline_run/{step.run_id}/{step.name}"
