"""The verbs of rollouts. A decision is written first and traffic follows it, so a controller killed between the two, or
two that race, end in the same place: `advance` always begins by bringing traffic to what was decided.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import json
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import Conflict, NotFound
from bailiwick.core.ids import new_id
from bailiwick.endpoints.log import PredictionLogs
from bailiwick.endpoints.model import BASIS_POINTS, Endpoint, Variant
from bailiwick.endpoints.service import EndpointService
from bailiwick.rollout.canary import Action, CanaryConfig, CanaryState, Verdict, decide
from bailiwick.rollout.evidence import gather
from bailiwick.rollout.model import CANARY, Arm, Decision, Rollout, Status, evidence_of
from bailiwick.rollout.tables import decisions, rollouts
from bailiwick.store.records import Change, Records

_ENDS = {Action.PROMOTE: Status.PROMOTED, Action.ROLLBACK: Status.ROLLED_BACK}
_GROWTH_WORTH_A_RECORD = 1.25


class RolloutService:
    """Canaries of every workspace. At most one runs on an endpoint at a time."""

    def __init__(self, records: Records, endpoints: EndpointService, logs: PredictionLogs) -> None:
        self._records = records
        self._endpoints = endpoints
        self._logs = logs

    def start(
        self, actor: Actor, endpoint: str, *, model: str, version: int, package: str, config: CanaryConfig | None = None
    ) -> Rollout:
        """Give the candidate the first step of the ramp beside the one version that serves now.

        Repeating it while the same candidate's rollout runs returns that rollout. Raises Conflict when another one
        runs, when traffic is already split, or when the candidate is what serves.
        """
        actor.require(Permission.ENDPOINTS_DEPLOY)
        running = self.active(actor.workspace, endpoint)
        if running is not None:
            return self._same_or_conflict(actor, running, (model, version, package))
        present = self._endpoints.endpoint(actor.workspace, endpoint)
        control = _single_control(present)
        if (control.model, control.version, control.package) == (model, version, package):
            raise Conflict(f"Endpoint {endpoint!r} already serves {model} version {version} alone.")
        name = f"v{version}" if f"v{version}" != control.variant else f"{model}-v{version}"
        candidate = Arm(variant=name, model=model, version=version, package=package)
        try:
            started = self._insert(actor, present, candidate, control, config or CanaryConfig())
        except IntegrityError as error:
            raise Conflict(f"Another rollout has just begun on endpoint {endpoint!r}.") from error
        return self._settle(actor, started)

    def advance(self, actor: Actor, rollout_id: str) -> Rollout:
        """Look at the evidence, decide, and move traffic accordingly. Does nothing for a rollout that has ended."""
        actor.require(Permission.ENDPOINTS_DEPLOY)
        found = self._settle(actor, self.rollout(actor.workspace, rollout_id))
        if found.status is not Status.RUNNING:
            return found
        verdict = self.judge(actor.workspace, rollout_id)
        if verdict.action is Action.HOLD and not _worth_a_record(found, verdict):
            return found
        return self._settle(actor, self._decide(actor, found, verdict))

    def abort(self, actor: Actor, rollout_id: str, reason: str) -> Rollout:
        """End a running rollout and give the control all traffic. Repeating it changes nothing; raises Conflict once decided."""
        actor.require(Permission.ENDPOINTS_DEPLOY)
        found = self.rollout(actor.workspace, rollout_id)
        if found.status is Status.ABORTED:
            return found
        if found.status is not Status.RUNNING or found.closing is not None:
            raise Conflict(f"Rollout {rollout_id} has ended: {found.closing or found.status}.")
        return self._settle(actor, self._close(actor, found, Status.ABORTED, Verdict(Action.ABORT, reason, ())))

    def judge(self, workspace: str, rollout_id: str) -> Verdict:
        """What the rule says to the evidence of this moment, without acting on it."""
        found = self.rollout(workspace, rollout_id)
        shares = self._shares(found)
        evidence = gather(
            self._logs.of(workspace),
            found.endpoint,
            config=found.config,
            shares=shares,
            candidate=found.candidate.variant,
            control=found.control.variant,
        )
        reached = [epoch for epoch, share in shares.items() if share >= found.weight / BASIS_POINTS]
        epoch = min(reached, default=found.start_epoch + 1)
        return decide(found.config, CanaryState(step=found.step, epoch=epoch), evidence)

    def rollout(self, workspace: str, rollout_id: str) -> Rollout:
        """One rollout. Raises NotFound."""
        found = self._select(workspace, rollouts.c.id == rollout_id)
        if not found:
            raise NotFound.of("Rollout", rollout_id)
        return found[0]

    def rollouts(self, workspace: str, endpoint: str | None = None) -> list[Rollout]:
        """All rollouts, or those of one endpoint; newest first."""
        return self._select(workspace, *([rollouts.c.endpoint == endpoint] if endpoint is not None else []))

    def active(self, workspace: str, endpoint: str) -> Rollout | None:
        """The rollout that is running on the endpoint, if one is."""
        return next(iter(self._select(workspace, rollouts.c.active == endpoint)), None)

    def _same_or_conflict(self, actor: Actor, running: Rollout, wanted: tuple[str, int, str]) -> Rollout:
        candidate = running.candidate
        if (candidate.model, candidate.version, candidate.package) == wanted:
            return self._settle(actor, running)
        raise Conflict(
            f"Endpoint {running.endpoint!r} has a rollout of {candidate.model} version {candidate.version} under way.",
            hint=f"Wait for it, or abort rollout {running.id} first.",
        )

    def _insert(self, actor: Actor, endpoint: Endpoint, candidate: Arm, control: Arm, config: CanaryConfig) -> Rollout:
        rollout_id = new_id()
        with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
            change.execute(
                insert(rollouts).values(
                    id=rollout_id,
                    workspace=change.workspace,
                    endpoint=endpoint.name,
                    active=endpoint.name,
                    kind=CANARY,
                    status=Status.RUNNING,
                    closing=None,
                    candidate=_encode(candidate),
                    control=_encode(control),
                    config=_encode(config),
                    step=0,
                    start_epoch=endpoint.epoch,
                    revision=0,
                    started=change.time,
                    ended=None,
                    reason="",
                )
            )
            change.record(
                "rollout.started",
                f"rollout/{rollout_id}",
                endpoint=endpoint.name,
                candidate=msgspec.to_builtins(candidate),
                control=msgspec.to_builtins(control),
                config=msgspec.to_builtins(config),
            )
        return self.rollout(actor.workspace, rollout_id)

    def _decide(self, actor: Actor, found: Rollout, verdict: Verdict) -> Rollout:
        if verdict.action in _ENDS:
            return self._close(actor, found, _ENDS[verdict.action], verdict)
        stepped = verdict.action is Action.STEP
        values = {"step": found.step + 1} if stepped else {}
        return self._write(actor, found, verdict, "rollout.stepped" if stepped else "rollout.held", **values)

    def _close(self, actor: Actor, found: Rollout, end: Status, verdict: Verdict) -> Rollout:
        return self._write(actor, found, verdict, "rollout.decided", closing=end.value, reason=verdict.reason)

    def _write(self, actor: Actor, found: Rollout, verdict: Verdict, action: str, **values: Any) -> Rollout:
        """Store the decision unless another controller has decided since `found` was read; returns the rollout as it is."""
        evidence = evidence_of(verdict)
        resource = f"rollout/{found.id}"
        try:
            with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
                _update(change, found, **values)
                _record_decision(change, found, verdict, evidence)
                change.record(
                    action, resource, endpoint=found.endpoint, step=found.step, reason=verdict.reason, evidence=evidence
                )
        except _OvertakenError:
            pass
        return self.rollout(actor.workspace, found.id)

    def _settle(self, actor: Actor, found: Rollout) -> Rollout:
        """Bring traffic to what was decided, and end a rollout whose last move is made."""
        if found.status is not Status.RUNNING:
            return found
        endpoint = self._endpoints.endpoint(actor.workspace, found.endpoint)
        ours = _is_ours(found, endpoint)
        if not ours and found.closing is None:
            reason = f"Traffic of {found.endpoint!r} was changed outside the rollout (epoch {endpoint.epoch}); it is left as it is."
            found = self._close(actor, found, Status.ABORTED, Verdict(Action.ABORT, reason, ()))
        wanted = _wanted(found)
        if ours and endpoint.variants != wanted:
            reason = f"rollout {found.id}: {found.candidate.variant} at {found.weight / 100:g} %"
            self._endpoints.set_variants(actor, found.endpoint, wanted, reason=reason)
        return self._end(actor, found) if found.closing is not None else found

    def _end(self, actor: Actor, found: Rollout) -> Rollout:
        assert found.closing is not None
        try:
            with self._records.change(actor, Permission.ENDPOINTS_DEPLOY) as change:
                values = {"status": found.closing.value, "closing": None, "active": None, "ended": change.time}
                _update(change, found, **values)
                change.record(
                    f"rollout.{found.closing.value.lower()}",
                    f"rollout/{found.id}",
                    endpoint=found.endpoint,
                    model=found.candidate.model,
                    version=found.candidate.version,
                    reason=found.reason,
                )
        except _OvertakenError:
            pass
        return self.rollout(actor.workspace, found.id)

    def _shares(self, found: Rollout) -> dict[int, float]:
        """Planned share of the candidate in each epoch of this rollout; a split by hand between the same arms counts too."""
        shares = {}
        for change in self._endpoints.history(found.workspace, found.endpoint):
            weights = {_arm(variant): variant.weight for variant in change.variants}
            if change.epoch > found.start_epoch and set(weights) == {found.candidate, found.control}:
                shares[change.epoch] = weights[found.candidate] / BASIS_POINTS
        return {epoch: share for epoch, share in shares.items() if 0 < share < 1}

    def _select(self, workspace: str, *conditions: Any) -> list[Rollout]:
        query = select(rollouts).where(rollouts.c.workspace == workspace, *conditions)
        with self._records.read() as connection:
            rows = connection.execute(query.order_by(rollouts.c.started.desc(), rollouts.c.id.desc())).all()
            taken = select(decisions).where(
                decisions.c.workspace == workspace, decisions.c.rollout.in_([row.id for row in rows])
            )
            looks = connection.execute(taken.order_by(decisions.c.revision)).all() if rows else []
        return [_rollout(row, [look for look in looks if look.rollout == row.id]) for row in rows]


class _OvertakenError(Exception):
    """Another controller has written since; nothing of this transaction may stay."""


def _update(change: Change, found: Rollout, **values: Any) -> None:
    unchanged = (rollouts.c.id == found.id) & (rollouts.c.revision == found.revision)
    updated = change.execute(
        update(rollouts)
        .where(unchanged, rollouts.c.workspace == change.workspace)
        .values(revision=found.revision + 1, **values)
    )
    if not updated.rowcount:
        raise _OvertakenError


def _record_decision(change: Change, found: Rollout, verdict: Verdict, evidence: dict[str, Any]) -> None:
    change.execute(
        insert(decisions).values(
            rollout=found.id,
            revision=found.revision,
            workspace=change.workspace,
            time=change.time,
            action=verdict.action,
            share=found.weight / BASIS_POINTS,
            reason=verdict.reason,
            evidence=_encode(evidence),
        )
    )


def _worth_a_record(found: Rollout, verdict: Verdict) -> bool:
    """A hold is kept when there is a quarter more evidence than at the last kept look, so that a wait leaves few entries."""
    seen = sum(reading.candidate_units + reading.control_units for reading in verdict.readings)
    if not found.decisions:
        return seen > 0
    last: int = sum(
        reading["candidate_units"] + reading["control_units"] for reading in found.decisions[-1].evidence.values()
    )
    return seen > _GROWTH_WORTH_A_RECORD * last


def _single_control(endpoint: Endpoint) -> Arm:
    serving = [variant for variant in endpoint.variants if variant.weight]
    if len(serving) != 1:
        split = ", ".join(f"{variant.name} {variant.weight / 100:g} %" for variant in serving)
        raise Conflict(
            f"Traffic of endpoint {endpoint.name!r} is split already ({split}).",
            hint="Deploy one version to all of it first: a canary compares a candidate with one control.",
        )
    return _arm(serving[0])


def _arm(variant: Variant) -> Arm:
    return Arm(variant=variant.name, model=variant.model, version=variant.version, package=variant.package)


def _variant(arm: Arm, weight: int) -> Variant:
    return Variant(name=arm.variant, model=arm.model, version=arm.version, package=arm.package, weight=weight)


def _wanted(found: Rollout) -> tuple[Variant, ...]:
    """The candidate first: a ramp then only ever adds units to it."""
    arms = (_variant(found.candidate, found.weight), _variant(found.control, BASIS_POINTS - found.weight))
    return tuple(variant for variant in arms if variant.weight)


def _is_ours(found: Rollout, endpoint: Endpoint) -> bool:
    """Whether the endpoint's traffic is as this rollout found it, or as it may have left it."""
    serving = {_arm(variant) for variant in endpoint.variants}
    left = [{found.candidate, found.control}]
    if found.closing is not None:
        left.append({_arm(variant) for variant in _wanted(found)})
    return endpoint.epoch == found.start_epoch or serving in left


def _rollout(row: Row[Any], looks: list[Row[Any]]) -> Rollout:
    taken = tuple(
        Decision(look.time, look.action, look.share, look.reason, json.decode(look.evidence)) for look in looks
    )
    return Rollout(
        id=row.id,
        workspace=row.workspace,
        endpoint=row.endpoint,
        kind=row.kind,
        status=Status(row.status),
        candidate=json.decode(row.candidate, type=Arm),
        control=json.decode(row.control, type=Arm),
        config=json.decode(row.config, type=CanaryConfig),
        step=row.step,
        started=row.started,
        ended=row.ended,
        decisions=taken,
        reason=row.reason,
        start_epoch=row.start_epoch,
        revision=row.revision,
        closing=Status(row.closing) if row.closing else None,
    )


def _encode(value: Any) -> str:
    return json.encode(value).decode()
