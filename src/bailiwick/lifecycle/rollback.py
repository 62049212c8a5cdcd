"""Story: an endpoint goes back to the version that it served before, at once and on one word."""

from __future__ import annotations

from bailiwick.core.actor import Actor
from bailiwick.core.errors import Conflict, InvalidInput, NotFound
from bailiwick.endpoints.model import Endpoint, RouteChange, Variant, served_before
from bailiwick.lifecycle.platform import Platform


def roll_back_endpoint(platform: Platform, actor: Actor, name: str, reason: str) -> Endpoint:
    """Send all traffic to what had it before; again, and it goes one further back. A rollout that is under way is aborted,
    which is the same.

    The gate is not asked: the version has served here. Versions deleted since are skipped. Raises NotFound, Conflict when
    nothing is left to go back to, InvalidInput without a reason.
    """
    if not reason.strip():
        raise InvalidInput(f"Rolling back endpoint {name!r} needs a reason; say what went wrong.")
    endpoint = platform.endpoints.endpoint(actor.workspace, name)
    active = platform.rollouts.active(actor.workspace, name)
    if active is not None:
        platform.rollouts.abort(actor, active.id, reason)
        return platform.endpoints.endpoint(actor.workspace, name)
    history = platform.endpoints.history(actor.workspace, name)
    serving = {(each.model, each.version) for each in endpoint.variants}
    for model, number in reversed(served_before(history)):
        if (model, number) in serving and len(serving) == 1:
            continue
        variant = _variant(platform, actor.workspace, history, (model, number))
        if variant is not None:
            return platform.endpoints.roll_back(actor, name, variant, reason=reason)
    raise Conflict(f"Endpoint {name!r} has served no earlier version that is still there to go back to.")


def _variant(platform: Platform, workspace: str, history: list[RouteChange], wanted: tuple[str, int]) -> Variant | None:
    """As it served last; None for a version that was deleted since."""
    try:
        platform.registry.version(workspace, *wanted)
    except NotFound:
        return None
    served = [each for change in history for each in change.variants if (each.model, each.version) == wanted]
    return served[-1]
