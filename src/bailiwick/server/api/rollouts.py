"""Rollouts: what runs, what was decided on which evidence, and the two verbs a person has."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bailiwick.lifecycle.releasable import releasable
from bailiwick.rollout.canary import CanaryConfig
from bailiwick.rollout.model import Rollout
from bailiwick.server.api.route import Call, Nothing


class RolloutsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Rollouts of one endpoint, or of all."""

    endpoint: str | None = None


class Rollouts(Struct, frozen=True):
    """Rollouts, newest first."""

    items: list[Rollout]


class StartRollout(Struct, frozen=True, forbid_unknown_fields=True):
    """Which registered version is to be tried on which endpoint, and by which rule; what `config` leaves out has its default."""

    endpoint: str
    model: str
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    config: CanaryConfig = CanaryConfig()


class AbortRollout(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; kept in the journal."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


def rollouts(call: Call[RolloutsQuery, Nothing]) -> Rollouts:
    """All rollouts, or those of one endpoint."""
    return Rollouts(call.platform.rollouts.rollouts(call.workspace, call.query.endpoint))


def rollout(call: Call[Nothing, Nothing]) -> Rollout:
    """One rollout with every decision and its evidence."""
    return call.platform.rollouts.rollout(call.workspace, call.path["rollout"])


def start_rollout(call: Call[Nothing, StartRollout]) -> Rollout:
    """Begin a canary. Only a registered version that may go to production can be tried."""
    wanted = call.body
    version = releasable(call.platform, call.actor, wanted.model, wanted.version)
    return call.platform.rollouts.start(
        call.actor,
        wanted.endpoint,
        model=version.model,
        version=version.number,
        package=version.package,
        config=wanted.config,
    )


def abort_rollout(call: Call[Nothing, AbortRollout]) -> Rollout:
    """End a running rollout; the control gets all traffic back."""
    return call.platform.rollouts.abort(call.actor, call.path["rollout"], call.body.reason)
